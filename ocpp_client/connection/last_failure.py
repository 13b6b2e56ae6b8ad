"""The last attempt that failed, over restarts: whoever comes to the station wants to know what was wrong, and when."""

from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from django.conf import settings

from station.domain import snapshot
from station.domain.backend_ladder import Observation

# The same failure is written down anew after so long: a station without a backend tries for years.
_KEPT_FOR = timedelta(minutes=30)


def _file() -> Path:
    return Path(settings.DATA.logs) / "backend_failure.json"


def load() -> Observation | None:
    """Read what failed last; None where nothing has, or where it cannot be read."""
    try:
        return snapshot.decode(Observation, _file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def keep(failed: Observation) -> None:
    """Write a failure down, unless it is the one of a moment ago. Not flushed: the next attempt says it again."""
    before = load()
    if before is not None and _is_the_same(before, failed):
        return
    with suppress(OSError):
        _file().write_text(snapshot.encode(failed), encoding="utf-8")


def _is_the_same(before: Observation, failed: Observation) -> bool:
    if (before.url, before.step, before.failure) != (failed.url, failed.step, failed.failure):
        return False
    return abs(failed.at - before.at) < _KEPT_FOR
