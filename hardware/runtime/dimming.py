"""The grid operator's control box: what it leaves the station at this moment, and the record of every intervention.

Limits ask `budget_total` at every computation, from the first one after a start on; a cluster's leader asks it for the
whole cluster. What is known of the contact comes from the poll of the input module.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from hardware.runtime.records import RecordStore
from hardware.runtime.state import StationState
from hardware.runtime.wake_ups import WakeUps
from station import clock
from station.concurrency import until_tick_s, wait_or_timeout
from station.domain.dimming import (
    SILENT_AFTER_S,
    Cause,
    Contact,
    Drawn,
    Judgement,
    Settings,
    is_carried_out,
    judge,
)
from station.domain.ports import MeterReading
from station.domain.snapshot import DimmingSnapshot
from station.domain.stamps import Stamp
from station.domain.units import MilliAmpere, Watt
from station.services import dimming

# What was drawn is sampled as often as meters are read while they measure a session.
STEP_S = 1.0
# What was drawn is written down so often: a power cut loses no more, and a flash chip is spared.
NOTE_S = 60.0
# The process looks at itself so often, and has stood still when it has not come to that for so long.
LOOK_S, LOOK_DISABLED_S = 0.5, 5.0
STOOD_STILL_S = 1.0
# A meter that has not answered for so long tells nothing of the present.
READING_LIVES_S = 5.0


class Metered(Protocol):
    """What of a charging point tells what it draws."""

    @property
    def reading(self) -> MeterReading | None:
        """The newest reading of its meter."""


@dataclass(kw_only=True)
class _Intervention:
    """One that holds, or has ended and is not written down yet. `number` None: its begin is not, either."""

    power: Watt
    begun_by: Cause
    began: Stamp
    number: int | None = None
    drawn: Drawn = field(default_factory=Drawn)
    carried_out: Stamp | None = None
    measured_s: float | None = None
    noted_s: float = 0.0
    is_proof_kept: bool = False
    ended: Stamp | None = None
    ended_by: Cause = Cause.CONTACT

    def is_to_be_noted(self, now_s: float) -> bool:
        """Return whether what was drawn is to be written down; that the order was carried out is at once."""
        return now_s - self.noted_s >= NOTE_S or (self.carried_out is not None and not self.is_proof_kept)


class Dimming:
    """Whether the grid operator dims, and what is kept of it."""

    def __init__(
        self,
        points: Mapping[int, Metered],
        state: StationState,
        records: RecordStore,
        wake_ups: WakeUps,
        *,
        has_input: bool,
    ) -> None:
        self._points = points
        self._state = state
        self._records = records
        self._wake_ups = wake_ups
        self._has_input = has_input
        self._contact = Contact()
        self._settings = Settings()
        # Until then a contact that nobody has read may still be read: nothing is written down of its silence.
        self._undecided_until_s = clock.monotonic_s() + SILENT_AFTER_S
        self._is_decided = asyncio.Event()
        # When this process was last seen to be running.
        self._alive_at_s = clock.monotonic_s()
        self._is_loaded = False
        self._present: _Intervention | None = None
        self._unwritten: deque[_Intervention] = deque()
        self._told_silent: bool | None = None
        self._due = asyncio.Event()

    # --- what limits ask

    @property
    def enabled(self) -> bool:
        """Whether the installer has switched it on."""
        return self._settings.enabled

    @property
    def reads_again_soon(self) -> bool:
        """Whether the contact has just changed, or bounces: a few readings at a longer pace could agree by chance."""
        return self._settings.enabled and self._contact.is_in_doubt(clock.monotonic_s())

    def budget_total(self, now_s: float) -> MilliAmpere | None:
        """Return what may be drawn on all phases together; None: the grid operator does not dim."""
        return self._settings.total if self.is_active(now_s) else None

    def is_active(self, now_s: float) -> bool:
        """Return whether the grid operator dims, or counts as dimming because nobody knows."""
        self._look(now_s)
        judgement = self._judged(now_s)
        if self._is_undecided(now_s):
            # What held before a restart holds until the contact was read.
            return judgement.active or (self._settings.enabled and self._present is not None)
        return judgement.active

    def next_change_s(self, now_s: float) -> float | None:
        """Return when it next changes by itself, because nothing is heard of the contact."""
        if not self._settings.enabled:
            return None
        self._look(now_s)
        if self._is_undecided(now_s):
            return self._undecided_until_s
        return self._contact.falls_silent_s(now_s)

    async def until_decided(self) -> None:
        """Wait until the contact was read, for as long as a module may take before it counts as silent.

        Limits that are computed before would let the cars dip although nobody dims.
        """
        if self._settings.enabled:
            await wait_or_timeout(self._is_decided, max(self._undecided_until_s - clock.monotonic_s(), 0.0))

    def _look(self, now_s: float) -> None:
        """Notice that the process itself stood still: what it did not ask for, the module did not refuse."""
        if now_s - self._alive_at_s > max(STOOD_STILL_S, 2 * self._look_s):
            self._contact = self._contact.stood_still(self._alive_at_s, now_s)
        self._alive_at_s = max(self._alive_at_s, now_s)

    @property
    def _look_s(self) -> float:
        return LOOK_S if self._settings.enabled else LOOK_DISABLED_S

    def _judged(self, now_s: float) -> Judgement:
        return judge(self._settings, self._contact.position(now_s))

    def _is_undecided(self, now_s: float) -> bool:
        return now_s < self._undecided_until_s and self._contact.position(now_s) is None

    # --- what others tell

    async def load(self) -> None:
        """Read the settings; raises DatabaseError. An intervention from before a restart is taken up once."""
        found = await self._records.execute(dimming.settings)
        if not self._is_loaded:
            row = await self._records.execute(dimming.running)
            if row is not None:
                self._present = _Intervention(
                    number=row.pk,
                    power=Watt(row.power_w),
                    begun_by=Cause(row.begun_by),
                    began=row.began,
                    drawn=row.drawn,
                    carried_out=row.carried_out,
                    is_proof_kept=row.carried_out is not None,
                )
            self._is_loaded = True
        self._settings = found
        self._tell(clock.monotonic_s())
        self._due.set()

    def read(self, *, closed: bool) -> None:
        """Take a reading of the contact."""
        now_s = clock.monotonic_s()
        before = self.is_active(now_s)
        self._contact = self._contact.read(closed=closed, at_s=now_s)
        if self._contact.position(now_s) is not None:
            self._is_decided.set()
        if self.is_active(now_s) is not before:
            self._tell(now_s)
            self._due.set()

    def _tell(self, now_s: float) -> None:
        """Let limits, status and pages follow at once; nobody is told of the moment before the first reading."""
        is_told = self.is_active(now_s) and (self._present is not None or not self._is_undecided(now_s))
        self._state.set_dimmed_to(self._settings.power if is_told else None)

    # --- what is kept

    async def run(self) -> None:
        """Keep the record for ever; without anything to keep nothing runs."""
        while True:
            self._due.clear()
            await self.step()
            if self._settings.enabled or self._present is not None or self._unwritten:
                await wait_or_timeout(self._due, until_tick_s(STEP_S, clock.monotonic_s()))
            else:
                await self._due.wait()

    async def watch(self) -> None:
        """Look for ever whether this process stands still at times."""
        while True:
            self._look(clock.monotonic_s())
            await asyncio.sleep(until_tick_s(self._look_s, clock.monotonic_s()))

    async def step(self) -> None:
        """Begin, go on with or end the record of an intervention."""
        now, now_s = clock.stamp(), clock.monotonic_s()
        self._look(now_s)
        self._tell(now_s)
        if not self._is_undecided(now_s) or not self._settings.enabled:
            self._follow(self._judged(now_s), now)
            await self._tell_silence(now, now_s)
        if self._present is not None:
            self._measure(self._present, now, now_s)
        await self._write(now_s)

    def _follow(self, judged: Judgement, now: Stamp) -> None:
        present = self._present
        if present is not None and not (judged.active and present.power == self._settings.power):
            present.ended = now
            present.ended_by = Cause.SETTINGS if judged.active else judged.cause
            self._unwritten.append(present)
            self._present = None
        if judged.active and self._present is None:
            self._present = _Intervention(power=self._settings.power, begun_by=judged.cause, began=now)

    def _measure(self, present: _Intervention, now: Stamp, now_s: float) -> None:
        drawn = self._drawn(now_s)
        before_s, present.measured_s = present.measured_s, now_s if drawn is not None else None
        if drawn is None:
            return
        power, current = drawn
        if present.carried_out is None and is_carried_out(self._settings, power, current):
            present.carried_out = now
        present.drawn = present.drawn.measured(
            power,
            for_ms=round((now_s - before_s) * 1000) if before_s is not None else 0,
            is_carried_out_now=present.carried_out is not None,
        )

    def _drawn(self, now_s: float) -> tuple[Watt, MilliAmpere] | None:
        """Return what all charging points draw together; None: one of them is not known."""
        power, current = 0, 0
        for point in self._points.values():
            reading = point.reading
            if reading is None or reading.power is None or now_s - reading.read_at_s > READING_LIVES_S:
                return None
            power += max(reading.power, 0)
            current += sum(each or 0 for each in reading.currents)
        return Watt(power), MilliAmpere(current)

    async def _write(self, now_s: float) -> None:
        """Write down what is due, the oldest first; what cannot be written stays due."""
        while self._unwritten:
            if not await self._close(self._unwritten[0]):
                return
            self._unwritten.popleft()
            self._wake_ups.dimming_changed()
        present = self._present
        if present is None:
            return
        if present.number is None:
            if await self._open(present):
                present.noted_s = now_s
                self._wake_ups.dimming_changed()
        elif present.is_to_be_noted(now_s):
            carried_out = present.carried_out
            if await self._records.attempt(dimming.note, present.number, present.drawn, carried_out):
                present.noted_s, present.is_proof_kept = now_s, carried_out is not None

    async def _open(self, one: _Intervention) -> bool:
        one.number = await self._records.attempt(dimming.begin, power=one.power, by=one.begun_by, at=one.began)
        return one.number is not None

    async def _close(self, one: _Intervention) -> bool:
        if one.number is None and not await self._open(one):
            return False
        if one.number is None or one.ended is None:
            return False
        return bool(
            await self._records.attempt(
                dimming.end, one.number, one.drawn, one.carried_out, by=one.ended_by, at=one.ended
            )
        )

    async def _tell_silence(self, now: Stamp, now_s: float) -> None:
        silent = self._settings.enabled and self._contact.position(now_s) is None
        if silent is self._told_silent:
            return
        counts_as = self._settings.when_silent
        if await self._records.attempt(dimming.note_silence, silent=silent, at=now.at, counts_as=counts_as.value):
            self._told_silent = silent

    # --- what is shown

    def snapshot(self) -> DimmingSnapshot:
        """Return the present."""
        now, now_s = clock.stamp(), clock.monotonic_s()
        self._look(now_s)
        judged, present = self._judged(now_s), self._present
        drawn = self._drawn(now_s) if self._settings.enabled else None
        active = self.is_active(now_s)
        return DimmingSnapshot(
            enabled=self._settings.enabled,
            has_input=self._has_input,
            power_w=self._settings.power,
            active=active,
            cause=judged.cause.value,
            closed=self._contact.position(now_s),
            since=_as_told_now(present.began, now) if active and present is not None else None,
            carried_out_at=_as_told_now(present.carried_out, now) if active and present is not None else None,
            drawn_w=None if drawn is None else drawn[0],
        )


def _as_told_now(stamp: Stamp | None, now: Stamp) -> datetime | None:
    """Return a moment by the clock as it goes now, whatever it told then."""
    return None if stamp is None else now.at - max(now.since(stamp), timedelta())
