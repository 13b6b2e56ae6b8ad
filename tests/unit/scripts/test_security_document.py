"""docs/security.md names every attack once, and tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", TEXT)))
ROW = re.compile(r"^\| (\d+) \| ([^|]+) \| ([^\n]+) \|$", re.MULTILINE)


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[f"{file}::{name}" for file, name in NAMED])
def test_a_test_that_is_named_exists(file: str, name: str) -> None:
    source = (ROOT / file).read_text()

    assert not name or re.search(rf"^(async )?def {name}\(", source, re.MULTILINE)


def test_each_of_the_32_attacks_is_refused_by_a_test_or_says_why_not() -> None:
    rows = {int(number): answer for number, _attack, answer in ROW.findall(TEXT)}

    assert list(rows) == list(range(1, 33))
    for number, answer in rows.items():
        assert "::test_" in answer or re.search(r"\b(Hardware|Open): \w", answer), number
