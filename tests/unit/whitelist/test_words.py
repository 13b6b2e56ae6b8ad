"""Every refusal has its words."""

import re
from pathlib import Path

from whitelist import words

SOURCES = [
    Path(words.__file__).with_name(f"{name}.py") for name in ("normalise", "editing", "csv_text", "csv_file", "draft")
]
RAISED = re.compile(r'(?:CardRefused\(|FileRefused\([^"]*?|Mistake\([^"]*?)f?"([a-z{}_]+)"')


def test_every_code_that_is_raised_can_be_said_and_no_other() -> None:
    found = {code for source in SOURCES for code in RAISED.findall(source.read_text())}
    raised = {code.replace("{field}", field) for code in found for field in ("uid", "group")}

    assert raised == set(words.REFUSALS)


def test_a_refusal_is_said_with_its_line_and_data() -> None:
    said = words.describe_line(3, "uid_twice", {"uid": "aa", "first": 2})

    assert said == "Line 3: The card aa already stands in line 2."
