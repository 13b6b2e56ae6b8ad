"""Looks for known weaknesses in the pinned packages, without a network: `python -m scripts.audit ADVISORIES`.

ADVISORIES is a file or directory with advisories in the OSV format: the export of the ecosystem PyPI that the OSV
project offers as one zip file, for instance. Somebody with a network fetches it; nothing of it belongs to this
repository, where it would grow old unnoticed. The answer says how old the data is, and data older than `--oldest` days
(30) is no answer:

    0  none of the packages has a weakness the data knows
    1  weaknesses found
    2  no judgement: the data is missing, empty, unreadable or too old
"""

import argparse
import json
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from scripts.pinned import ROOT, NothingIsPinned, Pinned, read

FILES = (ROOT / "requirements-station.txt", ROOT / "requirements.txt", ROOT / "requirements-dev.txt")
_FOUND, _NO_JUDGEMENT = 1, 2
_OLDEST_DAYS = 30


class NoJudgement(Exception):
    """The data cannot answer the question; the message says what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class Weakness:
    """What the data knows about one pinned package."""

    package: Pinned
    names: tuple[str, ...]
    summary: str
    mended_in: tuple[str, ...]

    def __str__(self) -> str:
        names, mended = " = ".join(self.names), ", ".join(self.mended_in) or "no version yet"
        return f"{self.package.name} {self.package.version}: {names} – {self.summary} (mended in {mended})"


@dataclass(frozen=True, kw_only=True)
class Advisories:
    """All advisories of the data, by package, and when the newest of them was written."""

    by_package: Mapping[str, tuple[Mapping[str, Any], ...]]
    count: int
    newest: datetime

    def about(self, package: Pinned) -> Iterator[Weakness]:
        """Return what is known about a package in this version."""
        for advisory in self.by_package.get(package.name, ()):
            affected = [entry for entry in _affected(advisory) if _name(entry) == package.name]
            if any(_is_hit(entry, package.version) for entry in affected):
                yield Weakness(
                    package=package,
                    names=(str(advisory["id"]), *map(str, advisory.get("aliases", ()))),
                    summary=str(advisory.get("summary") or advisory.get("details", ""))
                    .strip()
                    .partition("\n")[0][:100],
                    mended_in=tuple(dict.fromkeys(fixed for entry in affected for fixed in _fixes(entry))),
                )


def load(place: Path) -> Advisories:
    """Read advisories in the OSV format from a zip file, a directory or one file. Raises NoJudgement."""
    by_package: dict[str, list[Mapping[str, Any]]] = {}
    newest, count = datetime.min.replace(tzinfo=UTC), 0
    for name, content in _documents(place):
        try:
            advisory = json.loads(content)
            newest = max(newest, _moment(advisory["modified"]))
            count += 1
            if not advisory.get("withdrawn"):
                for package in {_name(entry) for entry in _affected(advisory)}:
                    by_package.setdefault(package, []).append(advisory)
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            raise NoJudgement(f"{name} is no advisory in the OSV format: {problem!r}") from problem
    if not by_package:
        raise NoJudgement(f"{place} holds no advisory about a package of PyPI")
    return Advisories(by_package={name: tuple(rows) for name, rows in by_package.items()}, count=count, newest=newest)


def _documents(place: Path) -> Iterator[tuple[str, bytes]]:
    try:
        if place.is_dir():
            for file in sorted(place.rglob("*.json")):
                yield str(file), file.read_bytes()
        elif zipfile.is_zipfile(place):
            with zipfile.ZipFile(place) as archive:
                for name in sorted(archive.namelist()):
                    if name.endswith(".json"):
                        yield name, archive.read(name)
        else:
            yield str(place), place.read_bytes()
    except (OSError, zipfile.BadZipFile) as problem:
        raise NoJudgement(f"{place} cannot be read: {problem}") from problem


def _affected(advisory: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [entry for entry in advisory.get("affected", ()) if entry.get("package", {}).get("ecosystem") == "PyPI"]


def _name(affected: Mapping[str, Any]) -> str:
    return canonicalize_name(affected["package"]["name"])


def _is_hit(affected: Mapping[str, Any], version: Version) -> bool:
    if any(_version(listed) == version for listed in affected.get("versions", ())):
        return True
    return any(
        _in_range(span.get("events", ()), version)
        for span in affected.get("ranges", ())
        if span.get("type") in {"ECOSYSTEM", "SEMVER"}
    )


def _in_range(events: Iterable[Mapping[str, str]], version: Version) -> bool:
    """Follow the events up to a version: `introduced` opens, `fixed` closes, `last_affected` closes behind itself."""
    steps = [(kind, text) for event in events for kind, text in event.items()]
    opened = [_version(text) for kind, text in steps if kind == "introduced"]
    closed = [_version(text) for kind, text in steps if kind == "fixed"]
    last = [_version(text) for kind, text in steps if kind == "last_affected"]
    before = [moment for moment in opened if moment is not None and moment <= version]
    if not before:
        return False
    since = max(before)
    mended = any(moment is not None and since < moment <= version for moment in closed)
    outlived = any(moment is not None and since <= moment < version for moment in last)
    return not (mended or outlived)


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _fixes(affected: Mapping[str, Any]) -> Iterator[str]:
    for span in affected.get("ranges", ()):
        for event in span.get("events", ()):
            if span.get("type") in {"ECOSYSTEM", "SEMVER"} and "fixed" in event:
                yield event["fixed"]


def _age(advisories: Advisories, now: datetime, *, oldest: timedelta) -> timedelta:
    age = now - advisories.newest
    if age > oldest:
        raise NoJudgement(f"the newest of the {advisories.count} advisories is {age.days} days old; fetch newer ones")
    return age


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def main(arguments: list[str], *, now: datetime) -> int:
    """Judge the pinned packages; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.audit", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("advisories", type=Path)
    parser.add_argument("--requirements", type=Path, action="append", help="default: all requirements*.txt")
    parser.add_argument("--oldest", type=int, default=_OLDEST_DAYS, metavar="DAYS")
    parser.add_argument("--accept", action="append", default=[], metavar="ID", help="a weakness that is no danger here")
    options = parser.parse_args(arguments)
    try:
        advisories = load(options.advisories)
        age = _age(advisories, now, oldest=timedelta(days=options.oldest))
        packages = {package for file in options.requirements or FILES for package in read(file)}
    except (NoJudgement, NothingIsPinned, OSError) as refusal:
        print(f"No judgement: {refusal}.", file=sys.stderr)
        return _NO_JUDGEMENT
    found = [
        weakness
        for package in sorted(packages, key=lambda package: package.name)
        for weakness in advisories.about(package)
        if not set(weakness.names) & set(options.accept)
    ]
    for weakness in found:
        print(weakness)
    print(
        f"{len(found)} known weaknesses in {len(packages)} packages; {advisories.count} advisories, "
        f"the newest of {advisories.newest:%Y-%m-%d} ({max(age.days, 0)} days old)."
    )
    return _FOUND if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], now=datetime.now(UTC)))
