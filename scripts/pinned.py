"""Reads the pinned packages: `requirements*.txt` as scripts/lock writes them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
_ENTRY = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>[^\s;\\]+)(?:\s*;\s*(?P<marker>[^\\\n]+))?"
    r"(?P<rest>.*?)(?=^[A-Za-z0-9]|\Z)",
    re.MULTILINE | re.DOTALL,
)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
# A station is CPython on Linux; what only some of these need is still part of the product.
_STATION = {"sys_platform": "linux", "platform_python_implementation": "CPython", "implementation_name": "cpython"}
_ENVIRONMENTS = tuple(
    _STATION | {"python_version": version, "python_full_version": f"{version}.{patch}"}
    for version, patch in (("3.11", 2), ("3.11", 9), ("3.12", 3), ("3.13", 5))
)
DEBIAN_12 = _STATION | {"python_version": "3.11", "python_full_version": "3.11.2"}


class NothingIsPinned(ValueError):
    """A file names no version of any package, so a judgement of it would be worthless."""


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """One package: its canonical name, the version, and the SHA-256 of every file that may be installed for it."""

    name: str
    version: Version
    hashes: tuple[str, ...]


def read(file: Path, environments: Iterable[Mapping[str, str]] = _ENVIRONMENTS) -> list[Pinned]:
    """Return the packages of a station in any of the environments. Raises NothingIsPinned."""
    found = list(_entries(file.read_text(encoding="utf-8"), tuple(environments)))
    if not found:
        raise NothingIsPinned(f"{file} pins no package")
    return found


def _entries(text: str, environments: tuple[Mapping[str, str], ...]) -> Iterator[Pinned]:
    for entry in _ENTRY.finditer(text):
        marker = (entry["marker"] or "").strip()
        if not marker or any(Marker(marker).evaluate(dict(station)) for station in environments):
            yield Pinned(
                name=canonicalize_name(entry["name"]),
                version=Version(entry["version"]),
                hashes=tuple(_HASH.findall(entry["rest"])),
            )
