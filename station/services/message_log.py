"""The messages to and from the backend as the log of the OCPP process holds them: its newest part."""

from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from station.domain.message_log import Exchange, exchanges
from station.host.redaction import Redaction

NAME = "ocpp.log"
# Some fifteen hundred exchanges, which are read within a few hundredths of a second.
_READ_BYTES = 400_000
# Each portion of a download is a turn of the server: line by line, two megabytes take eight seconds.
_PORTION_CHARACTERS = 64 * 1024


def read() -> list[Exchange]:
    """Return what was said lately, oldest first."""
    return exchanges(_lines(_READ_BYTES))


def download() -> Iterator[str]:
    """Return the whole log, oldest first, with the numbers of cards shortened: it leaves the station."""
    redaction = Redaction(())
    for path in reversed(_files()):
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                while lines := file.readlines(_PORTION_CHARACTERS):
                    yield "".join(redaction.line(line) for line in lines)
        except OSError:
            continue


def redacted(text: str) -> str:
    """Return a frame with the numbers of cards shortened."""
    return Redaction(()).line(text)


def _files() -> list[Path]:
    """Return the files, newest first."""
    logs = Path(settings.DATA.logs)
    older = sorted(logs.glob(f"{NAME}.[0-9]"))
    return [logs / NAME, *older]


def _lines(most_bytes: int) -> list[str]:
    portions: list[str] = []
    for path in _files():
        if most_bytes <= 0:
            break
        try:
            with path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - most_bytes))
                portions.append(file.read(most_bytes).decode("utf-8", "replace"))
        except OSError:
            continue
        most_bytes -= size
    return "".join(reversed(portions)).split("\n")
