"""What is known of the station as a whole, and who is notified when it, or a charging point, has changed."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from station.domain.faults import CATALOGUE, FaultCode
from station.domain.snapshot import LineSnapshot, SeenCardSnapshot
from station.domain.units import Watt

SEEN_CARDS_KEPT = 5
SEEN_CARDS_LIVE = timedelta(minutes=10)


class PointListener(Protocol):
    """Whoever depends on the present of a charging point. Called at once, so it only takes note."""

    def point_changed(self, number: int) -> None:
        """Take note that phase, session, limit, availability or faults of a charging point have changed."""


class StationListener(Protocol):
    """Whoever depends on the present of the station as a whole. Called at once, so it only takes note."""

    def station_changed(self) -> None:
        """Take note that faults or availability of the station have changed."""


class Changes:
    """Passes changes on to those who depend on them, in their order here."""

    def __init__(self) -> None:
        self._of_points: tuple[PointListener, ...] = ()
        self._of_station: tuple[StationListener, ...] = ()

    def listen(self, *, points: tuple[PointListener, ...], station: tuple[StationListener, ...]) -> None:
        """Add a listener."""
        self._of_points, self._of_station = points, station

    def point_changed(self, number: int) -> None:
        """Tell that a charging point has changed."""
        for listener in self._of_points:
            listener.point_changed(number)

    def station_changed(self) -> None:
        """Tell that the station as a whole has changed."""
        for listener in self._of_station:
            listener.station_changed()


@dataclass(kw_only=True)
class LineRecord:
    """How it goes on the line to a device; written by whoever polls it."""

    heard_at: datetime | None = None
    errors: int = 0

    def snapshot(self) -> LineSnapshot:
        """Return how it is now."""
        return LineSnapshot(heard_at=self.heard_at, errors=self.errors)


@dataclass(kw_only=True)
class ReaderRecord:
    """A card reader and whether it works."""

    connector_id: int | None
    ok: bool = True
    line: LineRecord = field(default_factory=LineRecord)


class SeenCards:
    """The last cards held to a reader, for whoever enters them into the whitelist; kept for minutes, never stored."""

    def __init__(self) -> None:
        self._seen: tuple[SeenCardSnapshot, ...] = ()

    def note(self, id_tag: str, at: datetime) -> None:
        """Take a card; one that was seen before moves to the front."""
        others = (each for each in self._seen if each.id_tag != id_tag)
        self._seen = (SeenCardSnapshot(at=at, id_tag=id_tag), *others)[:SEEN_CARDS_KEPT]

    def newest(self, now: datetime) -> tuple[SeenCardSnapshot, ...]:
        """Return those of the last minutes, the newest first."""
        return tuple(each for each in self._seen if abs(now - each.at) < SEEN_CARDS_LIVE)


def infos_by_code(faults: Mapping[str, frozenset[FaultCode]], infos: Mapping[str, str]) -> Mapping[FaultCode, str]:
    """Return what was said of each fault; where several sources report one, the first that says something."""
    said: dict[FaultCode, str] = {}
    for source, codes in faults.items():
        for code in codes:
            said[code] = said.get(code) or infos.get(source, "")
    return said


class StationState:
    """Faults, availability and readiness of the station; its charging points have their own."""

    def __init__(self, changes: Changes, *, started_at: datetime) -> None:
        self.started_at = started_at
        self._changes = changes
        self._faults: dict[str, frozenset[FaultCode]] = {}
        self._infos: dict[str, str] = {}
        self._operative = True
        self._recovery_is_over = asyncio.Event()
        self._statuses_are_written = False
        # What the grid operator allows; None: it does not dim.
        self.dimmed_to: Watt | None = None
        # The master of the cluster says that the grid operator dims all of its stations, and this one has less for it.
        self.is_dimmed_with_others = False
        self.seen_cards = SeenCards()
        self.readers: list[ReaderRecord] = []

    @property
    def operative(self) -> bool:
        """Whether the station as a whole is in service."""
        return self._operative

    def set_operative(self, *, operative: bool) -> None:
        """Take the station into or out of service."""
        self._operative = operative
        self._changes.station_changed()

    def set_dimmed_to(self, power: Watt | None) -> None:
        """Take what the grid operator allows the station."""
        if power != self.dimmed_to:
            self.dimmed_to = power
            self._changes.station_changed()

    def set_dimmed_with_others(self, *, is_dimmed: bool) -> None:
        """Take whether the grid operator leaves this station less because it dims the cluster."""
        if is_dimmed is not self.is_dimmed_with_others:
            self.is_dimmed_with_others = is_dimmed
            self._changes.station_changed()

    # --- faults

    @property
    def active_faults(self) -> frozenset[FaultCode]:
        """All faults of the station as a whole."""
        return frozenset[FaultCode]().union(*self._faults.values())

    @property
    def blocked(self) -> bool:
        """Whether a fault puts the whole station out of order."""
        return any(CATALOGUE[code].faulted for code in self.active_faults)

    def faults_from(self, source: str) -> frozenset[FaultCode]:
        """Return what one source has reported."""
        return self._faults.get(source, frozenset())

    def set_faults(self, source: str, codes: frozenset[FaultCode], *, info: str = "") -> None:
        """Take what one source reports to be wrong with the station; it replaces what the source reported before.

        `info`: what the backend's people shall do about it, where the catalogue's words do not say it.
        """
        if self.faults_from(source) == codes:
            return
        self._faults[source] = codes
        self._infos[source] = info
        self._changes.station_changed()

    @property
    def fault_infos(self) -> Mapping[FaultCode, str]:
        """What sources have said of their faults beyond the catalogue's words."""
        return infos_by_code(self._faults, self._infos)

    # --- the start

    @property
    def recovered(self) -> bool:
        """Whether every session of before is resumed or closed, so that hardware may be commanded."""
        return self._recovery_is_over.is_set()

    @property
    def started(self) -> bool:
        """Whether the station has recovered and the statuses in the table are those of now."""
        return self.recovered and self._statuses_are_written

    def end_recovery(self) -> None:
        """Accept commands and cards from now on."""
        self._recovery_is_over.set()

    async def until_recovered(self) -> None:
        """Wait until the past is settled; cards and commands of before would meet points that look free."""
        await self._recovery_is_over.wait()

    def first_statuses_are_written(self) -> None:
        """Note that the statuses in the table are those of now."""
        self._statuses_are_written = True
        self._changes.station_changed()
