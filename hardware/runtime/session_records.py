"""Where both ends of a session are written: the record and its StartTransaction or StopTransaction, in one commit.

What is queued is the fact; it becomes the message when it is sent.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from django.db import DatabaseError, IntegrityError

from hardware.runtime.parameters import Parameters
from hardware.runtime.records import RecordStore, RecordUnwritable
from hardware.runtime.session import RunningSession
from hardware.runtime.signed_values import SignedValue
from hardware.runtime.wake_ups import WakeUps
from station import clock
from station.domain.connector import Permission
from station.domain.meter_values import MeterValue, ReadingContext, Sample, meter_value
from station.domain.ports import MeterReading
from station.domain.stamps import Stamp
from station.domain.units import PAUSE, WattHour
from station.services import sessions

# Between two attempts to write the end of a session.
WRITE_AGAIN_S = 1.0


class UsedReservations(Protocol):
    """Knows which reservation a session redeems."""

    def reservation_used(self, number: int, id_tag: str, parent_id_tag: str) -> int | None:
        """Return the reservation that a session of this card at this point redeems."""


class Reloadable(Protocol):
    """Something that comes and goes with a session: the profiles of its own, the reservation it used."""

    async def reload(self) -> None:
        """Read it anew."""


@dataclass(frozen=True, kw_only=True)
class SessionEnd:
    """Everything a session is closed with. Writing it twice closes the session once."""

    session: RunningSession
    reason: str
    id_tag: str
    at: Stamp
    register: WattHour
    values: MeterValue | None
    is_signed: bool = False
    owes_signed_end: bool = False


class SessionRecords:
    """Writes the two ends of sessions."""

    def __init__(
        self,
        records: RecordStore,
        parameters: Parameters,
        wake_ups: WakeUps,
        *,
        reservations: UsedReservations,
        dependents: Sequence[Reloadable],
    ) -> None:
        self._records = records
        self._parameters = parameters
        self._wake_ups = wake_ups
        self._reservations = reservations
        self._dependents = dependents

    async def begin(
        self,
        number: int,
        permission: Permission,
        reading: MeterReading,
        *,
        meter_serial: str,
        signed: SignedValue | None = None,
    ) -> RunningSession:
        """Write a session and its StartTransaction; raises RecordUnwritable. A signed begin is archived already."""
        # A card may have waited for its car while reservations came and went, or at another point.
        used = self._reservations.reservation_used(number, permission.id_tag, permission.parent_id_tag)
        permission = replace(permission, reservation_id=used)
        at = clock.stamp()
        sample = Sample(at=at.at, reading=reading, context=ReadingContext.TRANSACTION_BEGIN, offered=PAUSE)
        try:
            row = await self._records.execute(
                sessions.begin_session,
                connector_id=number,
                permission=permission,
                meter=reading.import_energy,
                at=at,
                begin=self._values(sample, signed),
                meter_serial=meter_serial,
                signed_begin=None if signed is None else signed.number,
                message_id=None if signed is None else signed.message_id,
                told=self._told_at_start(sample, signed),
            )
        except (DatabaseError, IntegrityError, OSError) as error:
            raise RecordUnwritable(str(error)) from error
        self._wake_ups.outbox_changed()
        return RunningSession.of(row)

    async def request_stop(self, session: RunningSession, *, reason: str, id_tag: str, at: Stamp) -> None:
        """Write down that a session was stopped, before anybody is told; energy has been withdrawn already."""
        try:
            await self._records.execute(sessions.request_stop, session.id, reason=reason, id_tag=id_tag, at=at)
        except (DatabaseError, OSError) as error:
            self._records.report_failure(error)
        else:
            session.note_stop_recorded()

    def end_of(
        self,
        session: RunningSession,
        *,
        reason: str,
        id_tag: str,
        at: Stamp,
        reading: MeterReading | None,
        signed: SignedValue | None = None,
    ) -> SessionEnd:
        """Return what a session is closed with: the register its meter has signed, whatever was noted or told.

        Without a signed one it is that of the final reading, but never less than what was noted or told.
        """
        register = WattHour(max(reading.import_energy if reading else 0, session.highest_wh))
        is_signed = signed is not None and signed.register is not None
        if signed is not None and signed.register is not None:
            register = signed.register
        if reading is None:
            reading = MeterReading(read_at_s=clock.monotonic_s(), import_energy=register)
        sample = Sample(at=clock.now(), reading=reading, context=ReadingContext.TRANSACTION_END, offered=PAUSE)
        return SessionEnd(
            session=session,
            reason=reason,
            id_tag=id_tag,
            at=at,
            register=register,
            values=self._values(sample, signed),
            is_signed=is_signed,
            owes_signed_end=session.signed_begin is not None and signed is None,
        )

    async def end(self, end: SessionEnd) -> bool:
        """Write the end of a session and its StopTransaction; return whether it is written."""
        try:
            await self._records.execute(
                sessions.end_session,
                end.session.id,
                reason=end.reason,
                id_tag=end.id_tag,
                at=end.at,
                meter=end.register,
                end=end.values,
                limited_by=end.session.limited_by,
                is_signed=end.is_signed,
                owes_signed_end=end.owes_signed_end,
            )
        except (DatabaseError, OSError) as error:
            self._records.report_failure(error)
            return False
        self._wake_ups.outbox_changed()
        return True

    async def close_orphan(self, session: RunningSession, *, reason: str, id_tag: str, at: Stamp) -> None:
        """Close a session of a connector that is no longer there, with the register that was noted last."""
        end = self.end_of(session, reason=reason, id_tag=id_tag, at=at, reading=None)
        while not await self.end(end):
            await asyncio.sleep(WRITE_AGAIN_S)

    async def reload_dependents(self) -> None:
        """Read anew what comes and goes with a session."""
        for dependent in self._dependents:
            await dependent.reload()

    def _values(self, sample: Sample, signed: SignedValue | None = None) -> MeterValue | None:
        """Select what the end of a session will tell; what is signed goes out even where nothing else is asked for."""
        value = meter_value(sample, self._parameters.meter_schedule.stop_both)
        if signed is None or sample.context not in self._parameters.signed_readings.in_stop:
            return value
        return self._with_signed(value, sample, signed)

    def _told_at_start(self, sample: Sample, signed: SignedValue | None) -> MeterValue | None:
        """Select what the backend is told right behind the begin (OCA, Signed Meter Values, section 3.1.2)."""
        value = meter_value(sample, self._parameters.meter_schedule.start)
        if signed is None or sample.context not in self._parameters.signed_readings.in_meter_values:
            return value
        return self._with_signed(value, sample, signed)

    def _with_signed(self, value: MeterValue | None, sample: Sample, signed: SignedValue) -> MeterValue:
        value = value or MeterValue(at=sample.at, context=sample.context, quantities=())
        return replace(value, signed=signed.told(sample.context, self._parameters.signed_readings.key))
