"""The search for known weaknesses finds a planted one, and never takes missing data for good news."""

import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scripts import audit
from scripts.pinned import ROOT, read

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HASH = f" \\\n    --hash=sha256:{'ab' * 32}\n"


def advisory(package: str = "Planted_Package", **changes: object) -> dict[str, object]:
    events = changes.pop("events", [{"introduced": "0"}, {"fixed": "2.4.1"}])
    affected = {
        "package": {"ecosystem": changes.pop("ecosystem", "PyPI"), "name": package},
        "ranges": [{"type": "ECOSYSTEM", "events": events}],
        "versions": changes.pop("versions", []),
    }
    known = {
        "id": "PYSEC-2026-1",
        "aliases": ["CVE-2026-0001"],
        "modified": "2026-11-20T00:00:00Z",
        "summary": "Anybody becomes root",
        "affected": [affected],
    }
    return known | changes


class Data:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = folder / "advisories"
        self.place.mkdir()

    def holds(self, *advisories: dict[str, object]) -> None:
        for number, entry in enumerate(advisories):
            (self.place / f"{number}.json").write_text(json.dumps(entry))

    def judge(self, version: str, *arguments: str, name: str = "planted-package", now: datetime = NOW) -> int:
        file = self.folder / "requirements.txt"
        file.write_text(f"{name}=={version}{HASH}    # via -r requirements.in\nother==1.0{HASH}")
        return audit.main([str(self.place), "--requirements", str(file), *arguments], now=now)


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path)


@pytest.mark.parametrize(("version", "status"), [("2.4.0", 1), ("2.4.1rc1", 1), ("2.4.1", 0), ("10.0", 0)])
def test_a_planted_weak_version_is_found_and_the_mended_one_is_not(data: Data, capsys, version: str, *, status: int):
    data.holds(advisory())

    assert data.judge(version) == status

    said = capsys.readouterr().out
    assert ("planted-package" in said) is bool(status)
    assert "1 advisories, the newest of 2026-11-20 (1 days old)" in said
    if status:
        assert "PYSEC-2026-1 = CVE-2026-0001 – Anybody becomes root (mended in 2.4.1)" in said


@pytest.mark.parametrize(
    ("events", "version", "status"),
    [
        ([{"introduced": "2.0"}, {"fixed": "2.1"}, {"introduced": "3.0"}, {"fixed": "3.2"}], "2.5", 0),
        ([{"introduced": "2.0"}, {"fixed": "2.1"}, {"introduced": "3.0"}, {"fixed": "3.2"}], "3.1", 1),
        ([{"introduced": "3.0"}, {"fixed": "3.2"}, {"introduced": "2.0"}, {"fixed": "2.1"}], "2.0.5", 1),
        ([{"introduced": "2.0"}], "1.9", 0),
        ([{"introduced": "2.0"}], "99", 1),
        ([{"introduced": "0"}, {"last_affected": "2.5"}], "2.5", 1),
        ([{"introduced": "0"}, {"last_affected": "2.5"}], "2.6", 0),
    ],
)
def test_a_range_means_what_the_format_says(data: Data, events: list[dict[str, str]], version: str, *, status: int):
    data.holds(advisory(events=events))

    assert data.judge(version) == status


def test_versions_that_are_listed_one_by_one_count_too(data: Data):
    data.holds(advisory(events=[], versions=["1.0", "1.1.0"]))

    assert [data.judge(version) for version in ("1.1", "1.2")] == [1, 0]


def test_what_was_withdrawn_or_concerns_something_else_is_no_finding(data: Data):
    data.holds(
        advisory(withdrawn="2026-11-01T00:00:00Z"), advisory(ecosystem="npm"), advisory(package="planted-package-two")
    )

    assert data.judge("1.0") == 0


def test_the_export_may_be_one_zip_file(data: Data):
    data.place.rmdir()
    with zipfile.ZipFile(data.place, "w") as archive:
        archive.writestr("PYSEC-2026-1.json", json.dumps(advisory()))

    assert data.judge("1.0") == 1


def test_an_accepted_weakness_is_named_by_whoever_accepts_it(data: Data):
    data.holds(advisory())

    assert data.judge("1.0", "--accept", "CVE-2026-0001") == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda place: None,
        lambda place: (place / "0.json").write_text("{}"),
        lambda place: (place / "0.json").write_text("[]"),
        lambda place: (place / "0.json").write_text("{"),
        lambda place: (place / "0.json").write_text(json.dumps(advisory(ecosystem="npm"))),
        lambda place: place.rmdir(),
    ],
    ids=["empty", "another format", "a list", "no JSON", "nothing about Python", "absent"],
)
def test_data_that_says_nothing_is_no_good_news(data: Data, capsys, spoil):
    spoil(data.place)

    assert data.judge("1.0") == 2
    assert "No judgement" in capsys.readouterr().err


def test_old_data_is_no_judgement_and_says_how_old_it_is(data: Data, capsys):
    data.holds(advisory())
    later = NOW + timedelta(days=60)

    assert data.judge("9.0", now=later) == 2
    assert "61 days old" in capsys.readouterr().err
    assert data.judge("9.0", "--oldest", "90", now=later) == 0


def test_a_file_that_pins_nothing_is_no_good_news_either(data: Data, tmp_path: Path):
    data.holds(advisory())
    empty = tmp_path / "empty.txt"
    empty.write_text("# nothing\n")

    assert audit.main([str(data.place), "--requirements", str(empty)], now=NOW) == 2


def test_every_package_of_a_station_is_looked_at(data: Data, capsys):
    packages = read(ROOT / "requirements.txt")
    data.holds(*(advisory(package=package.name, events=[{"introduced": "0"}]) for package in packages))

    assert audit.main([str(data.place), "--requirements", str(ROOT / "requirements.txt")], now=NOW) == 1

    assert f"{len(packages)} known weaknesses in {len(packages)} packages" in capsys.readouterr().out
