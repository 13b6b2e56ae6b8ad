"""The Debian packages of an image: deploy/packages.txt and deploy/image/packages.txt."""

import hashlib
import re
from collections.abc import Iterable

_LINE = re.compile(r"(?P<minus>-?)(?P<name>[a-z0-9][a-z0-9.+-]+)(?:\s+\[(?P<architecture>amd64|arm64)\])?")


class PackageLineNotUnderstood(Exception):
    """A line of a package list is neither NAME nor -NAME nor NAME [ARCHITECTURE]."""

    def __init__(self, line: str) -> None:
        super().__init__(f"The line {line!r} of a package list is not understood: write NAME, -NAME or NAME [amd64].")


def chosen(lists: Iterable[str], architecture: str) -> tuple[str, ...]:
    """Return the names for an architecture, sorted; a line with "-" leaves out what an earlier list names."""
    names: set[str] = set()
    for text in lists:
        for raw in text.splitlines():
            line = raw.partition("#")[0].strip()
            if not line:
                continue
            match = _LINE.fullmatch(line)
            if match is None:
                raise PackageLineNotUnderstood(line)
            if match["architecture"] not in {None, architecture}:
                continue
            if match["minus"]:
                names.discard(match["name"])
            else:
                names.add(match["name"])
    return tuple(sorted(names))


def fingerprint(names: Iterable[str], *recipe: str) -> str:
    """Return what changes with the packages and with how they are installed."""
    return hashlib.sha256("\n".join([*names, "", *recipe]).encode()).hexdigest()[:12]
