"""Archives for the operator: `tar.gz`, made piece by piece, bounded, without secrets."""

import gzip
import os
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, TypeAlias

from station.host.redaction import Redaction

Part: TypeAlias = tuple[str, Iterable[str]]
MOST_BYTES_PER_PART = 8_000_000
MOST_BYTES = 48_000_000
# An OCPP frame has 65000 bytes at most; a line that is cut could show half a secret, so longer ones are left out.
_LONGEST_LINE = 256 * 1024
# How log lines begin, see `station.host.logs.UtcFormatter`; text order is time order.
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z?")


@dataclass(frozen=True, kw_only=True)
class Window:
    """The time somebody asks for; None: no bound."""

    start: datetime | None = None
    stop: datetime | None = None

    def bounds(self) -> tuple[str, str]:
        """Return the bounds as log lines write moments."""
        start, stop = (moment and f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}" for moment in (self.start, self.stop))
        return start or "", f"{stop}~" if stop else "~"


def build(
    target: Path,
    parts: Iterable[Part],
    *,
    secrets: Iterable[str],
    at: datetime,
    check: Callable[[], None],
) -> None:
    """Write an archive of these parts; it appears under its name when it is complete.

    `check` is called often and may raise to give up. What does not fit is left out, and named in `left_out.txt`.
    """
    redaction = Redaction(secrets)
    draft = target.with_name(f"{target.name}.part")
    room = MOST_BYTES
    left_out: list[str] = []
    try:
        with draft.open("wb") as raw:
            os.fchmod(raw.fileno(), 0o600)
            with tarfile.open(draft, mode="w:gz", fileobj=raw, compresslevel=6, format=tarfile.PAX_FORMAT) as archive:
                for name, lines in parts:
                    if room <= 0:
                        left_out.append(name)
                        continue
                    room -= _add(archive, name, _bounded(lines, min(room, MOST_BYTES_PER_PART), check), redaction, at)
                if left_out:
                    _add(archive, "left_out.txt", (f"{name}\n" for name in left_out), redaction, at)
            raw.flush()
            os.fsync(raw.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _bounded(lines: Iterable[str], most: int, check: Callable[[], None]) -> Iterator[str]:
    size = 0
    for number, line in enumerate(lines):
        if number % 256 == 0:
            check()
        size += len(line)
        if size > most:
            yield "… left out: too long\n"
            return
        yield line


def _add(archive: tarfile.TarFile, name: str, lines: Iterable[str], redaction: Redaction, at: datetime) -> int:
    # A member's size stands before its contents, so the contents wait in a file, not in memory.
    with tempfile.TemporaryFile(dir=Path(os.fsdecode(archive.name or ".")).parent) as file:
        for line in lines:
            file.write(redaction.line(line).encode(errors="replace"))
        member = tarfile.TarInfo(redaction.line(name))
        member.size = file.tell()
        member.mtime = int(at.timestamp())
        member.mode = 0o600
        file.seek(0)
        archive.addfile(member, file)
        return member.size


def log_parts(directory: Path, window: Window) -> Iterator[Part]:
    """Yield the log files of a directory, the newest first, rotated and packed ones included."""
    files = [path for path in directory.iterdir() if path.is_file() and not path.is_symlink()]
    for path in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True):
        name = path.name.removesuffix(".gz")
        with suppress(FileNotFoundError):
            # Log rotation may remove a file meanwhile.
            yield f"logs/{name}", within(_lines_of(path), window)


def within(lines: Iterable[str], window: Window) -> Iterator[str]:
    """Yield the lines whose time stamp lies in the window, with the unstamped lines that follow them."""
    start, stop = window.bounds()
    is_inside = window.start is None
    for line in lines:
        stamp = _STAMP.match(line)
        if stamp:
            is_inside = start <= stamp[0] <= stop
        if is_inside:
            yield line


def _lines_of(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as raw:
            if path.suffix == ".gz":
                with gzip.open(raw) as unpacked:
                    yield from _text(unpacked)  # type: ignore[arg-type]
                return
            # The end of a long log is what matters.
            size = raw.seek(0, os.SEEK_END)
            if size > MOST_BYTES_PER_PART:
                raw.seek(size - MOST_BYTES_PER_PART)
                # The rest of a line that began earlier.
                raw.readline()
            else:
                raw.seek(0)
            yield from _text(raw)
    except (OSError, EOFError) as error:
        yield f"… unreadable: {type(error).__name__}\n"


def _text(file: BinaryIO) -> Iterator[str]:
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = file.readline(_LONGEST_LINE)
            yield "… a line left out: too long\n"
            continue
        text = line.decode(errors="replace")
        yield text if text.endswith("\n") else f"{text}\n"
