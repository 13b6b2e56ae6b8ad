"""The pinned packages: each with hashes, none from a place that is written down."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PINNED = ("requirements.txt", "requirements-dev.txt")
_ENTRY = re.compile(
    r"^(?P<name>[a-z0-9-]+)(\[[a-z,-]+\])?==(?P<version>\S+)(?P<rest>.*?)(?=^[a-z0-9]|\Z)",
    re.MULTILINE | re.DOTALL,
)
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")


def entries(name: str) -> dict[str, list[re.Match[str]]]:
    found: dict[str, list[re.Match[str]]] = {}
    for entry in _ENTRY.finditer((ROOT / name).read_text()):
        found.setdefault(entry["name"], []).append(entry)
    return found


@pytest.mark.parametrize("name", PINNED)
def test_every_package_is_pinned_with_the_hashes_of_its_files(name):
    pinned = entries(name)

    assert len(pinned) > 50
    assert [entry[0] for same in pinned.values() for entry in same if not _HASH.search(entry["rest"])] == []


@pytest.mark.parametrize("name", PINNED)
def test_every_package_that_is_asked_for_is_pinned(name):
    asked = re.findall(r"^([A-Za-z][A-Za-z0-9-]*)", (ROOT / name.replace(".txt", ".in")).read_text(), re.MULTILINE)

    assert {wanted.lower() for wanted in asked} - set(entries(name)) == set()


@pytest.mark.parametrize("name", PINNED)
def test_no_pinned_package_names_a_place_to_fetch_it_from(name):
    text = (ROOT / name).read_text()

    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host|^-e ", text, re.MULTILINE)


def test_what_is_compiled_has_files_for_more_than_one_computer_and_python():
    # One source archive and wheels for at least x86_64 and aarch64 on Python 3.11, 3.12 and 3.13.
    pinned = entries("requirements.txt")

    for name in ("cffi", "cryptography", "msgpack", "rpds-py", "ujson"):
        assert len(_HASH.findall(pinned[name][0]["rest"])) >= 7, name


def test_the_development_packages_do_not_change_what_a_station_runs():
    station, development = (entries(name) for name in PINNED)

    for name, versions in station.items():
        assert [entry["version"] for entry in development[name]] == [entry["version"] for entry in versions]


@pytest.mark.parametrize("place", ["scripts/setup.sh", "deploy/README.md"])
def test_whoever_installs_insists_on_the_hashes(place):
    installs = re.findall(r"pip install [^\n]*--requirement", (ROOT / place).read_text())

    assert installs
    assert all("--require-hashes" in line for line in installs)
