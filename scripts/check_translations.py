"""Fail when the German texts do not fit the sources: missing, uncertain or no longer used."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import django
from django.core.management import call_command
from django.test.utils import override_settings

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = Path("locale/de/LC_MESSAGES/django.po")
SOURCES = ("station", "ocpp_client", "hardware", "whitelist", "loadmgmt", "templates")


def main() -> int:
    """Collect the texts anew in a copy and name what the catalogue lacks."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "station.settings")
    sys.path.insert(0, str(ROOT))
    django.setup()
    with tempfile.TemporaryDirectory() as scratch:
        fresh = collect(Path(scratch))
    problems = list(find_problems(fresh))
    for problem in problems:
        print(f"{CATALOGUE}: {problem}", file=sys.stderr)
    return 1 if problems else 0


def collect(copy: Path) -> str:
    """Return the catalogue as the sources would make it, without touching the real one."""
    for name in SOURCES:
        (copy / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "locale", copy / "locale")
    before = Path.cwd()
    os.chdir(copy)
    try:
        with override_settings(LOCALE_PATHS=[copy / "locale"]):
            call_command("makemessages", locale=["de"], symlinks=True, no_location=True, verbosity=0)
    finally:
        os.chdir(before)
    return (copy / CATALOGUE).read_text(encoding="utf-8")


def find_problems(catalogue: str) -> Iterator[str]:
    """Name the entries that are not in order."""
    header, *entries = catalogue.strip().split("\n\n")
    if "Language: de" not in header:
        yield "the header does not name the language"
    for entry in entries:
        lines = entry.splitlines()
        if any(line.startswith("#~") for line in lines):
            yield f"no longer used: {_quoted(entry.replace('#~ ', ''), 'msgid')}"
        elif any(line.startswith("#,") and "fuzzy" in line for line in lines):
            yield f"uncertain: {_quoted(entry, 'msgid')}"
        elif any(not _quoted(entry, key) for key in _translation_keys(lines)):
            yield f"missing: {_quoted(entry, 'msgid')}"


def _translation_keys(lines: list[str]) -> list[str]:
    return [line.split(" ", 1)[0] for line in lines if line.startswith("msgstr")]


def _quoted(entry: str, key: str) -> str:
    """Join the quoted text after a key, over as many lines as it takes."""
    found = ""
    inside = False
    for line in entry.splitlines():
        if line.startswith(f"{key} "):
            inside = True
            found += line[len(key) + 2 : -1]
        elif inside and line.startswith('"'):
            found += line[1:-1]
        else:
            inside = False
    return found


if __name__ == "__main__":
    raise SystemExit(main())
