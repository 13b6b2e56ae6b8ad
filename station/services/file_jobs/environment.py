"""What the work on file jobs needs from the rest of the station."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from station.domain.commands import Command, Outcome
from station.domain.software_trial import Health
from station.host.ports import UpdatePort
from station.services.transfers import Exchange


class RebootRefused(Exception):
    """The computer cannot be restarted."""


class Packer(Protocol):
    """Writes an archive of the logs; `is_security`: of the security log only.

    `check` may raise to give up; `progress` is told how many percent are done.
    """

    def __call__(
        self,
        target: Path,
        *,
        start: datetime | None,
        stop: datetime | None,
        is_security: bool,
        at: datetime,
        check: Callable[[], None],
        progress: Callable[[int], None],
    ) -> None: ...


@dataclass(frozen=True, kw_only=True)
class JobEnvironment:
    """What the work needs from the rest of the station.

    `directory` holds the files of running jobs, `archives` what somebody may fetch; `exchange` is the template for
    transfers; `health` looks at what the running software does.
    """

    directory: Path
    archives: Path
    locks: Path
    exchange: Exchange
    pack: Packer
    updates: UpdatePort
    reboot: Callable[[], None]
    health: Callable[[], Health]
    submit: Callable[[Command, datetime], Outcome]
    now: Callable[[], datetime]
    wait: Callable[[float], None]
