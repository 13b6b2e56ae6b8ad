"""The mobile modem of a real station, as one process was told last by ModemManager and all of them read it."""

import json
import logging
import os
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from station import clock
from station.domain.mobile import DataLink, ModemStatus, Registration, SimState

REPORT_FILE = "modem.json"
# It is asked every ten seconds; a report that was not renewed for so long says nothing about the present.
FRESH_S = 60.0
_ENUMERATIONS: dict[str, type[StrEnum]] = {"sim": SimState, "registration": Registration, "link": DataLink}
logger = logging.getLogger(__name__)


def report_for_settings() -> "ReportedModem | None":
    """Return where a real modem is reported; the simulated one is asked by everybody."""
    from django.conf import settings

    return None if settings.SIMULATE else ReportedModem(settings.DATA.run / REPORT_FILE)


@dataclass(frozen=True)
class ReportedModem:
    """Reads the report; never waits for the modem, which may hang."""

    path: Path

    def status(self) -> ModemStatus | None:
        try:
            report = json.loads(self.path.read_text(encoding="utf-8"))
            age_s = clock.monotonic_s() - float(report["steady_s"])
            if report["boot_id"] != clock.boot_id() or age_s > FRESH_S:
                return None
            return _decode(report["modem"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def report(self, status: ModemStatus | None) -> None:
        """Write down what the modem says now."""
        content = {
            "boot_id": clock.boot_id(),
            "steady_s": clock.monotonic_s(),
            "modem": asdict(status) if status is not None else None,
        }
        try:
            draft = self.path.with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps(content), encoding="utf-8")
            draft.replace(self.path)
        except OSError as problem:
            logger.warning("what the modem says cannot be written down: %s", problem)


def _decode(fields: dict[str, Any] | None) -> ModemStatus | None:
    if fields is None:
        return None
    enumerations = {name: kind(fields[name]) for name, kind in _ENUMERATIONS.items()}
    return ModemStatus(**(fields | enumerations))
