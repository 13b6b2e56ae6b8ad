"""Calibrated metering: signed begins and ends of sessions, each archived before anything else is done with it.

The meter signs and holds the only key; nothing here changes a byte. What its answers leave open – a power cut, a lost
answer – is settled by what the meter itself says of its last record and of the transaction it measures.
"""

import asyncio
import logging
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from django.db import DatabaseError

from hardware.runtime.archive import Archive
from hardware.runtime.meter_trust import MeteredPoint, MeterTrust, NotReliable
from hardware.runtime.parameters import Parameters
from hardware.runtime.records import MeterUnreadable, RecordStore
from hardware.runtime.signed_values import (
    SignedValue,
    end_in,
    follows,
    is_end,
    is_signed,
    is_without_time,
    register_of,
)
from hardware.runtime.state import StationState
from hardware.runtime.wake_ups import WakeUps
from station import clock
from station.domain.connector import Permission
from station.domain.meter_values import MeterValue, ReadingContext
from station.domain.moments import EARLIEST_STAMP
from station.domain.ocmf import Finding
from station.domain.ports import (
    DeviceFailed,
    Identification,
    MeterIdentity,
    SignedEnd,
    SignedRecord,
    SigningMeter,
    Synchronisation,
)
from station.domain.signed_identification import identification
from station.host import ClockPort
from station.services import configuration, event_log, sessions
from station.services.signed_archive import ArchiveUnusable, Entry, Kind

logger = logging.getLogger(__name__)

TRY_AGAIN_S = 1.0
# Beyond what the meter may take to sign: a slow line needs a second or two to bring the record.
TRANSFER_S = 5.0
# An archived end is found at once; for so long it is looked for when the time of the meter is over.
LAST_LOOK_S = 2.0
_EXPECTED = (DeviceFailed, ArchiveUnusable, DatabaseError, OSError)


class MeterDoesNotSign(MeterUnreadable):
    """The meter has not signed the begin of a session, or what it has signed cannot be relied on."""


class Signing:
    """The calibrated meter of one charging point; one order at a time.

    `is_settled`: the meter holds nothing that is not archived, as far as is known.
    """

    def __init__(
        self,
        point: MeteredPoint,
        meter: SigningMeter,
        archive: Archive,
        *,
        records: RecordStore,
        parameters: Parameters,
        wake_ups: WakeUps,
        wall_clock: ClockPort,
    ) -> None:
        self._point = point
        self._meter = meter
        self._archive = archive
        self._records = records
        self._parameters = parameters
        self._wake_ups = wake_ups
        self._wall_clock = wall_clock
        self._lock = asyncio.Lock()
        self.is_settled = False
        self._trust = MeterTrust(point, archive)

    async def begin(self, permission: Permission) -> SignedValue:
        """Let the meter begin, and archive what it signs; raises MeterDoesNotSign. Whatever goes wrong is undone."""
        async with self._lock:
            try:
                await self._archive.until_in_order()
                identity = self._known_identity()
                await self._settle(identity, SignedEnd.ABORT)
                await self._set_time()
                who = await self._records.execute(_identification, permission, self._point.number)
                record = await self._as_signed(await self._meter.begin_transaction(who), identity)
                facts = _facts_of(permission)
                value = await self._archived(record, Kind.BEGIN, identity, facts=facts)
                await self._trust.judge(
                    [record.raw], identity.public_key, identity=identity, allowed=frozenset({Finding.NO_END})
                )
            except (*_EXPECTED, NotReliable) as error:
                self.is_settled = False
                with suppress(*_EXPECTED):
                    await self._settle(self._known_identity(), SignedEnd.ABORT)
                    self.is_settled = True
                await self._log("signing.begin_failed", error)
                raise MeterDoesNotSign(str(error)) from error
        return replace(value, message_id=facts["message"])

    async def end(self, begin_number: int, end: SignedEnd, facts: Mapping[str, Any]) -> SignedValue | None:
        """Return the signed end of a session; None when the meter has none within what it may take to sign.

        As often as it is called, whatever was interrupted: a record that was signed before is found again. `facts`:
        what the archive has to know of the end beside it.
        """
        found = None
        try:
            async with asyncio.timeout(self._meter.longest_signing_s + TRANSFER_S):
                found = await self._until_signed(begin_number, end, facts)
        except TimeoutError:
            # It may have been archived at the very last moment.
            with suppress(TimeoutError, *_EXPECTED):
                async with asyncio.timeout(LAST_LOOK_S):
                    found = end_in(await self._archive.of_session(begin_number))
        # What is missing is asked for again and again, whoever charges next.
        self.is_settled = found is not None
        return found

    async def _until_signed(self, begin_number: int, end: SignedEnd, facts: Mapping[str, Any]) -> SignedValue | None:
        while True:
            try:
                async with self._lock:
                    return await self._end(begin_number, end, facts)
            except _EXPECTED as error:
                logger.warning("point %d: no signed end yet: %s", self._point.number, error)
            await asyncio.sleep(TRY_AGAIN_S)

    async def _end(self, begin_number: int, end: SignedEnd, facts: Mapping[str, Any]) -> SignedValue | None:
        kept = await self._archive.of_session(begin_number)
        begin = next((each for each in kept if each.number == begin_number), None)
        known = end_in(kept)
        if known is not None:
            # It was archived, and the power went before it was queued.
            return known
        identity = self._known_identity()
        if begin is None or identity.serial != begin.entry.meter_serial:
            logger.error("point %d: the begin of the session is not of this meter", self._point.number)
            return None
        if await self._meter.open_transaction() is not None:
            if is_without_time(begin.entry.raw):
                # It has arrived since, perhaps. A meter that had one keeps it: set back, it would end before it began.
                await self._set_time()
            record: SignedRecord | None = await self._meter.end_transaction(end)
        else:
            record = await self._meter.last_record()
        if record is None or not follows(begin.entry.raw, record):
            logger.error("point %d: the meter knows no end of the session", self._point.number)
            return None
        record = await self._as_signed(record, identity)
        value = await self._archived(record, Kind.END, identity, begin_number=begin_number, facts=facts)
        try:
            await self._trust.judge(
                [begin.entry.raw, record.raw], begin.entry.public_key, identity=identity, allowed=frozenset()
            )
        except NotReliable as error:
            # It is what was signed all the same.
            await self._log("signing.end_unreliable", error)
        return value

    async def _as_signed(self, record: SignedRecord, identity: MeterIdentity) -> SignedRecord:
        """Return a record, asked for once more when it is damaged: the line may have done that, and not the meter."""
        if is_signed(record, identity):
            return record
        again = await self._meter.last_record()
        return again if again is not None and is_signed(again, identity) else record

    async def _log(self, code: str, error: Exception) -> None:
        await self._records.attempt(
            event_log.log, code, at=clock.now(), connector_id=self._point.number, reason=str(error)[:200]
        )

    async def abandon(self) -> None:
        """End a transaction whose session could not be written down."""
        async with self._lock:
            self.is_settled = False
            with suppress(*_EXPECTED):
                await self._settle(self._known_identity(), SignedEnd.ABORT)
                self.is_settled = True

    async def settle(self) -> None:
        """Archive and end what a loss of power, or a meter that was away, has left open, as far as it answers now."""
        async with self._lock:
            try:
                identity = self._known_identity()
                await self._settle(identity, SignedEnd.POWER_FAILURE)
                await self._trust.look(await self._meter.last_record(), identity)
            except _EXPECTED as error:
                logger.debug("point %d: its calibrated meter is not settled yet: %s", self._point.number, error)
            else:
                self.is_settled = True

    async def reconsider(self) -> None:
        """Find out, now and then, whether a meter that is distrusted is in order again."""
        if not self._trust.is_to_be_asked:
            return
        async with self._lock:
            with suppress(*_EXPECTED):
                identity = self._known_identity()
                await self._trust.look(await self._meter.last_record(), identity)

    async def _settle(self, identity: MeterIdentity, end: SignedEnd) -> None:
        await self._keep_last(identity)
        if await self._meter.open_transaction() is not None:
            logger.warning("point %d: a transaction of the meter without a session is ended", self._point.number)
            record = await self._meter.end_transaction(end)
            await self._keep_stray(record, identity)
        await self._tell_owed()

    async def _keep_last(self, identity: MeterIdentity) -> None:
        record = await self._meter.last_record()
        if record is not None and not await self._archive.holds(record, identity.serial):
            await self._keep_stray(record, identity)

    async def _keep_stray(self, record: SignedRecord, identity: MeterIdentity) -> None:
        """Archive a record nobody waits for; the end of a session finds its begin."""
        begin = await self._archive.open_begin(identity.serial) if is_end(record) else None
        if begin is None:
            await self._archived(record, Kind.OTHER, identity)
            return
        has_session = await self._records.execute(sessions.has_begun_with, begin)
        facts = {} if has_session else {"session": False}
        await self._archived(record, Kind.END, identity, begin_number=begin, facts=facts)

    async def _tell_owed(self) -> None:
        """Tell the backend the ends that were archived after their sessions were closed.

        The session says whether it still owes its end, and tells it in the transaction that notes it as told: whatever
        ends the process between the archive and that, it is told once.
        """
        for begin in await self._records.execute(sessions.owing_signed_ends, self._point.number):
            value = end_in(await self._archive.of_session(begin))
            if value is not None:
                await self._tell_late(begin, value)

    async def _tell_late(self, begin: int, value: SignedValue) -> None:
        logger.warning("point %d: the signed end of a session that is over was found", self._point.number)
        told = None
        wanted, context = self._parameters.signed_readings, ReadingContext.TRANSACTION_END
        if context in wanted.in_stop:
            told = MeterValue(at=clock.now(), context=context, quantities=(), signed=value.told(context, wanted.key))
        if await self._records.execute(sessions.take_late_end, begin, told=told, at=clock.stamp()) is not None:
            self._wake_ups.outbox_changed()

    async def _archived(
        self,
        record: SignedRecord,
        kind: Kind,
        identity: MeterIdentity,
        *,
        begin_number: int | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> SignedValue:
        at = clock.stamp()
        entry = Entry(
            at=at.at,
            kind=kind,
            connector_id=self._point.number,
            meter_serial=identity.serial,
            public_key=identity.public_key,
            raw=record.raw,
            format=record.format,
            begin_number=begin_number,
            facts={"boot_id": at.boot_id, "steady_ms": at.steady_ms, **(facts or {})},
        )
        number = await self._archive.keep(entry)
        return SignedValue(
            record=record, number=number, public_key=identity.public_key, register=register_of(record.raw)
        )

    def _known_identity(self) -> MeterIdentity:
        identity = self._point.meter_identity
        if identity is None:
            raise DeviceFailed("the calibrated meter has not told who it is")
        return identity

    async def _set_time(self) -> None:
        now = clock.now()
        known = Synchronisation.SYNCHRONISED if self._wall_clock.is_trustworthy() else Synchronisation.INFORMATIVE
        if now < EARLIEST_STAMP:
            known = Synchronisation.UNKNOWN
        zone = await self._records.execute(configuration.zone)
        offset = now.astimezone(zone).utcoffset()
        try:
            await self._meter.set_time(now, int(offset.total_seconds()) if offset else 0, known)
        except DeviceFailed as error:
            # Not every meter takes a time, and none of them measures less for it.
            logger.warning("point %d: the meter does not take the time: %s", self._point.number, error)


def _identification(permission: Permission, number: int) -> Identification:
    return identification(
        permission,
        over_tls=configuration.get("/ocpp/url").startswith("wss:"),
        evse_id=configuration.get(f"/hw/connectors/{number}/evseId"),
        charge_box_id=configuration.get("/ocpp/chargeBoxIdentity"),
        number=number,
    )


def _facts_of(permission: Permission) -> dict[str, str]:
    """Return what a rebuilt database has to know of a session besides what the meter has signed."""
    return {
        "id_tag": permission.id_tag,
        "parent_id_tag": permission.parent_id_tag,
        "origin": permission.origin,
        "reason": permission.reason,
        "message": str(uuid.uuid4()),
    }


class SignedMetering:
    """The calibrated meters of a station: at its start, and while it runs."""

    def __init__(self, archive: Archive, state: StationState, idle: Mapping[int, "IdlePoint"]) -> None:
        self._archive = archive
        self._state = state
        self._points = idle

    async def run(self) -> None:
        """Check the archive, settle what is left behind as soon as its meter answers, and look at the archive."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._archive.run())
            group.create_task(self._settle_idle_points())

    async def _settle_idle_points(self) -> None:
        await self._state.until_recovered()
        while True:
            for point in self._points.values():
                # A session that runs settles its own.
                if not point.busy:
                    await point.settle_signing()
            await asyncio.sleep(TRY_AGAIN_S)


class IdlePoint(Protocol):
    """A charging point with a calibrated meter."""

    @property
    def busy(self) -> bool:
        """Whether somebody uses it."""

    async def settle_signing(self) -> None:
        """Settle what its meter has left open, if anything."""
