"""What a software image says about itself, and whether this station may take it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import total_ordering
from typing import Any

# Semantic versioning 2.0.0, items 2, 9 and 10.
_VERSION = re.compile(
    r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(?:-([0-9A-Za-z.-]{1,64}))?(?:\+([0-9A-Za-z.-]{1,64}))?",
    re.ASCII,
)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PART = re.compile(r"[\w.+-]{1,120}", re.ASCII)
MOST_FILES = 10_000
LONGEST_PATH = 400


class ImageRefused(Exception):
    """The image must not be installed; `code` says why."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code


@total_ordering
@dataclass(frozen=True)
class Version:
    """A semantic version; build metadata does not count in comparisons."""

    text: str

    def __post_init__(self) -> None:
        if not _VERSION.fullmatch(self.text):
            raise ImageRefused("version_unreadable", self.text[:80])

    @property
    def _order(self) -> tuple[Any, ...]:
        match = _VERSION.fullmatch(self.text)
        assert match is not None  # noqa: S101 - checked when it was made
        major, minor, patch, before, _ = match.groups()
        # A version without a pre-release comes after all of its pre-releases; numbers come before words.
        parts = (
            tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in before.split("."))
            if before
            else ()
        )
        return int(major), int(minor), int(patch), not before, parts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._order == other._order

    def __lt__(self, other: "Version") -> bool:
        return bool(self._order < other._order)

    def __hash__(self) -> int:
        return hash(self._order)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """One file of an image."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What `manifest.json` says. `security_floor`: once installed, nothing older than this is taken any more."""

    product: str
    version: Version
    hardware: tuple[str, ...]
    security_floor: Version
    files: tuple[ImageFile, ...]

    @classmethod
    def read(cls, raw: Any) -> "Manifest":
        """Read the JSON form; raises `ImageRefused`."""
        try:
            files = tuple(_file(entry) for entry in raw["files"])
            manifest = cls(
                product=_text(raw["product"]),
                version=Version(_text(raw["version"])),
                hardware=tuple(_text(one) for one in raw["hardware"]),
                security_floor=Version(_text(raw.get("security_floor", "0.0.0"))),
                files=files,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ImageRefused("manifest_unreadable", str(error)) from error
        if not files or len(files) > MOST_FILES or len({one.path for one in files}) != len(files):
            raise ImageRefused("manifest_unreadable", "no files, too many, or one named twice")
        return manifest

    @property
    def size(self) -> int:
        """How many bytes the files take."""
        return sum(one.size for one in self.files)


@dataclass(frozen=True, kw_only=True)
class Target:
    """The station an image is meant for: `floor` is the highest security floor of all it has ever installed."""

    product: str
    hardware: str
    floor: Version
    room: int


def check(manifest: Manifest, target: Target) -> None:
    """Raise `ImageRefused` when the image is not for this station, too old or too large."""
    if manifest.product != target.product:
        raise ImageRefused("other_product", manifest.product)
    if target.hardware not in manifest.hardware:
        raise ImageRefused("other_hardware", ", ".join(manifest.hardware)[:80])
    if manifest.version < target.floor:
        raise ImageRefused("older_than_floor", f"{manifest.version} < {target.floor}")
    if manifest.size > target.room:
        raise ImageRefused("no_room", f"{manifest.size} bytes")


def check_path(path: str) -> None:
    """Raise `ImageRefused` unless the path stays below the directory it is unpacked into."""
    parts = path.split("/")
    if len(path) > LONGEST_PATH or not all(_PART.fullmatch(part) and part not in {".", ".."} for part in parts):
        raise ImageRefused("path_forbidden", path[:80])


def _text(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_PATH:
        raise ImageRefused("manifest_unreadable", repr(value)[:80])
    return value


def _file(raw: Mapping[str, Any]) -> ImageFile:
    path, size, digest = _text(raw["path"]), raw["size"], _text(raw["sha256"])
    if isinstance(size, bool) or not isinstance(size, int) or size < 0 or not _DIGEST.fullmatch(digest):
        raise ImageRefused("manifest_unreadable", path[:80])
    check_path(path)
    return ImageFile(path=path, size=size, sha256=digest)
