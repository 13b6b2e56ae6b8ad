"""The limits that an energy manager sets over Modbus, from before its first word to after its last one.

What holds while nobody is heard needs no server: the limits are asked from here whether it listens or not.
"""

import asyncio
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ParamSpec

from django.db import DatabaseError

from hardware.runtime.records import RecordStore
from loadmgmt import set_points, settings
from loadmgmt.energy_manager import Controls, SetPoint, Watchdog
from loadmgmt.settings import ServerSettings
from station import clock
from station.domain.limits import LimitSource
from station.domain.snapshot import ModbusClientSnapshot, ModbusPointSnapshot, ModbusRefusalSnapshot, ModbusSnapshot
from station.domain.units import MilliAmpere
from station.services import event_log

_Parameters = ParamSpec("_Parameters")

# Energy managers write every few seconds, some with every reading of their meter. What is kept is the first change
# after a pause at once, and of those that follow the newest in each span.
TRAIL_SPAN_S = 10.0
SILENT_CODE = "energy_manager.silent"
# So long it is heard without a break before the event log calls it heard again.
STEADY_S = 60.0


@dataclass(frozen=True, kw_only=True)
class _Heard:
    at: datetime | None = None
    written_at: datetime | None = None
    written_by: str = ""


@dataclass(frozen=True, kw_only=True)
class _Noted:
    set_point: SetPoint
    at_s: float


class EnergyManager:
    """What is set, by whom, and what holds by it."""

    def __init__(self, numbers: Iterable[int], records: RecordStore, *, metered: Collection[int]) -> None:
        self._numbers = tuple(numbers)
        self._metered = frozenset(metered)
        self._started_s = clock.monotonic_s()
        self._records = records
        self.controls = Controls(self._numbers)
        self.settings = ServerSettings()
        # Set when settings have changed or a lower set-point is to be kept; whoever serves them clears it.
        self.is_changed = asyncio.Event()
        self._is_loaded = False
        self._heard = dict.fromkeys(self._numbers, _Heard())
        self._noted: dict[int, _Noted] = {}
        # Since when each point is controlled, silent (False) or heard (True), and what the event log was told last.
        self._since: dict[int, tuple[bool, float]] = {}
        self._told_silent: dict[int, bool] = {}
        # What the server tells: where it listens, why it does not, who is connected, who was refused last.
        self.ports: tuple[int, ...] = ()
        self.problem: tuple[int, str] | None = None
        self.clients: Mapping[object, ModbusClientSnapshot] = {}
        self.refusal: ModbusRefusalSnapshot | None = None

    # --- what limits ask

    def limits_of(self, number: int, now_s: float) -> Mapping[LimitSource, MilliAmpere]:
        """Return what an energy manager, or its silence, leaves a charging point."""
        return self.controls.limits_of(number, now_s)

    def next_change_s(self, now_s: float) -> float | None:
        """Return when a limit next changes because nobody is heard."""
        return self.controls.next_change_s(now_s)

    # --- what is set

    async def load(self) -> None:
        """Read the settings; raises DatabaseError. What was written before a restart is read once."""
        found = await self._records.execute(settings.read)
        if not self._is_loaded:
            for number, set_point in (await self._records.execute(set_points.remembered, self._numbers)).items():
                self.controls.remember(number, set_point)
                self._noted[number] = _Noted(set_point=set_point, at_s=clock.monotonic_s())
            self._is_loaded = True
        if found != self.settings:
            self.settings = found
            self.controls.configure(found.limits)
            self.is_changed.set()

    def heard(self, numbers: Iterable[int], *, written: bool = False) -> bool:
        """Take a valid request about charging points; return whether a limit has changed by that."""
        now, now_s = clock.now(), clock.monotonic_s()
        changed = False
        for number in numbers:
            self._heard[number] = replace(self._heard[number], at=now)
            changed |= self.controls.heard(number, now_s, written=written)
        return changed

    def set(self, number: int, set_point: SetPoint, *, client: str) -> bool:
        """Take a set-point; return whether the limit has changed by that."""
        self._heard[number] = replace(self._heard[number], written_at=clock.now(), written_by=client)
        noted = self._noted.get(number)
        if set_point.is_below(noted.set_point if noted else SetPoint()):
            self.is_changed.set()
        return self.controls.set(number, set_point, clock.monotonic_s())

    # --- what is kept

    async def keep_trail(self) -> None:
        """Write down the set-points that are due: at once those that lower a limit, for a restart takes up the last.

        What could not be written is due again.
        """
        now_s = clock.monotonic_s()
        for number in self._numbers:
            set_point, noted = self.controls[number].set_point, self._noted.get(number)
            if set_point == (noted.set_point if noted else SetPoint()):
                continue
            if noted is not None and now_s - noted.at_s < TRAIL_SPAN_S and not set_point.is_below(noted.set_point):
                continue
            if not await self._write(
                set_points.note, number, set_point, client=self._heard[number].written_by, at=clock.now()
            ):
                continue
            self._noted[number] = _Noted(set_point=set_point, at_s=now_s)
            if self.controls[number].set_point.is_below(set_point):
                # Set while this one was written.
                self.is_changed.set()

    async def tell_silence(self) -> None:
        """Write into the event log that nobody is heard, once when it begins and once when it has surely ended."""
        now_s = clock.monotonic_s()
        for number in self._numbers:
            control = self.controls[number]
            is_heard = not control.settings.limits or control.watchdog(now_s) is not Watchdog.EXPIRED
            was_heard, since_s = self._since.get(number, (None, now_s))
            if was_heard is not is_heard:
                self._since[number] = (is_heard, now_s)
                since_s = now_s
            if is_heard:
                is_due = not control.settings.limits or now_s - since_s >= STEADY_S
            else:
                # After a start, or after it was switched on, an energy manager has the same time to be heard.
                is_due = self._heard[number].at is not None or now_s - since_s >= control.settings.watchdog_s
            if not is_due or self._told_silent.get(number) is (not is_heard):
                continue
            verb = event_log.end if is_heard else event_log.begin
            if await self._write(verb, SILENT_CODE, at=clock.now(), connector_id=number):
                self._told_silent[number] = not is_heard

    async def _write(
        self, verb: Callable[_Parameters, object], /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> bool:
        """Run a verb that returns nothing; return whether it has written."""
        try:
            await self._records.execute(verb, *args, **kwargs)
        except (DatabaseError, OSError) as error:
            self._records.report_failure(error)
            return False
        return True

    # --- what is shown

    def snapshot(self) -> ModbusSnapshot:
        """Return the present."""
        now_s = clock.monotonic_s()
        port, problem = self.problem or (None, "")
        return ModbusSnapshot(
            enabled=self.settings.limits.enabled,
            uptime_s=int(now_s - self._started_s),
            ports=self.ports,
            problem=problem,
            problem_port=port,
            clients=tuple(self.clients.values()),
            refusal=self.refusal,
            points=tuple(self._point(number, now_s) for number in self._numbers),
        )

    def _point(self, number: int, now_s: float) -> ModbusPointSnapshot:
        control, heard = self.controls[number], self._heard[number]
        watchdog = control.watchdog(now_s)
        return ModbusPointSnapshot(
            number=number,
            watchdog=watchdog.value,
            remaining_s=int(control.lease.remaining_s(now_s)) if control.settings.watchdog_s else 0,
            current_ma=control.set_point.current,
            power_w=control.set_point.power,
            limit_ma=self.controls.limit(number, now_s),
            resumes_in_s=math.ceil(self.controls.resumes_in_s(number, now_s)),
            heard_at=heard.at,
            written_at=heard.written_at,
            written_by=heard.written_by,
            has_meter=number in self._metered,
        )
