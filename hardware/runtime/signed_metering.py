"""Calibrated metering: signed begins and ends of sessions, each archived before anything else is done with it.

The meter signs and holds the only key; nothing here changes a byte. What its answers leave open – a power cut, a lost
answer – is settled by what the meter itself says of its last record and of the transaction it measures.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from django.db import DatabaseError

from hardware.runtime.records import MeterUnreadable, RecordStore
from hardware.runtime.state import StationState
from station import clock
from station.domain import ocmf
from station.domain.connector import Permission
from station.domain.faults import FaultCode
from station.domain.moments import EARLIEST_STAMP
from station.domain.ocmf import Finding, RecordMalformed
from station.domain.ports import (
    DeviceFailed,
    Identification,
    MeterIdentity,
    SignatureFormat,
    SignedEnd,
    SignedRecord,
    SigningMeter,
    Synchronisation,
)
from station.domain.signed_identification import identification
from station.domain.units import WattHour
from station.host import ClockPort
from station.services import configuration, event_log, sessions, signed_archive
from station.services.signed_archive import Archived, ArchiveUnusable, Entry, Kind

logger = logging.getLogger(__name__)

ARCHIVE_FAULT, CONTENT_FAULT, SIGNING_FAULT = "signed archive", "content of the signed archive", "signing of point {}"
ARCHIVE_CODE = "signed_archive.unusable"
TRY_AGAIN_S = 1.0
# An archive that works is asked so often whether it still can be written, one that does not every second time.
PROBE_S, PROBE_AGAIN_S = 60.0, 2.0
# The clock of the meter, and the order of what it has signed, are not what makes energy wrong.
_HARMLESS = frozenset(
    {Finding.TIME_UNKNOWN, Finding.TIME_SOURCES_DIFFER, Finding.TIME_GOES_BACK, Finding.SIGNATURE_UNVERIFIABLE}
)
# What a meter says of itself, truthfully signed. It concerns its own point, and the next begin asks it again.
_SAID_BY_THE_METER = frozenset(
    {Finding.REGISTER_UNREADABLE, Finding.NOT_IMPORTED_ENERGY, Finding.METER_NOT_GOOD, Finding.METER_ERROR}
)


class MeterDoesNotSign(MeterUnreadable):
    """The meter has not signed the begin of a session, or what it has signed cannot be relied on."""


@dataclass(frozen=True, kw_only=True)
class SignedValue:
    """A signed record that is in the archive, under `number`; `register` None: of a format that is not read."""

    record: SignedRecord
    number: int
    public_key: str
    register: WattHour | None


class MeteredPoint(Protocol):
    """A charging point as its calibrated meter sees it."""

    number: int

    @property
    def meter_identity(self) -> MeterIdentity | None:
        """What the meter has said about itself; None: nothing yet."""


class Archive:
    """The archive as the control loop sees it: while it is unusable, no session begins."""

    def __init__(self, records: RecordStore, state: StationState) -> None:
        self._records = records
        self._state = state
        self._checked = asyncio.Event()
        self._is_usable = True

    async def until_in_order(self) -> None:
        """Wait until the archive was read through; raises ArchiveUnusable where it is not in order."""
        await self._checked.wait()
        if not self._is_usable or self._state.faults_from(CONTENT_FAULT):
            raise ArchiveUnusable("the archive of signed meter data is not in order")

    async def check(self) -> None:
        """Read the whole archive; what is missing or changed in it is a fault until the next start."""
        newest = await self._records.attempt(sessions.newest_signed_begin)
        # Beside the database's thread: an archive of years takes seconds.
        verdict = await asyncio.to_thread(signed_archive.check, at_least=newest or 0)
        if self._is_usable:
            # What was found at an earlier start is mended, or is told again as it is now.
            await self._records.attempt(event_log.end, ARCHIVE_CODE, at=clock.now())
        if verdict.problems:
            await self._report("; ".join(verdict.details))
            self._state.set_faults(CONTENT_FAULT, frozenset({FaultCode.REGULATORY_COMPLIANCE_FAILURE}))
        self._checked.set()

    async def keep(self, entry: Entry) -> int:
        """Archive a record; raises ArchiveUnusable. A record that is missing before it is a fault."""
        try:
            kept = await self._records.execute(signed_archive.append, entry)
        except (ArchiveUnusable, DatabaseError, OSError) as error:
            await self._failed(str(error))
            raise ArchiveUnusable(str(error)) from error
        if not kept.follows:
            await self._report(f"pagination_gap: {kept.number}")
            self._state.set_faults(CONTENT_FAULT, frozenset({FaultCode.REGULATORY_COMPLIANCE_FAILURE}))
        return kept.number

    async def of_session(self, begin_number: int) -> list[Archived]:
        """Read what is kept of a session; raises ArchiveUnusable."""
        try:
            return await self._records.execute(signed_archive.of_session, begin_number)
        except (DatabaseError, OSError) as error:
            raise ArchiveUnusable(str(error)) from error

    async def holds(self, record: SignedRecord, serial: str) -> bool:
        """Return whether the newest record of a meter is kept; raises ArchiveUnusable."""
        return await self._records.execute(signed_archive.holds, record.raw, serial)

    async def open_begin(self, serial: str) -> int | None:
        """Return the newest begin of a meter whose end is not kept; raises ArchiveUnusable."""
        return await self._records.execute(signed_archive.open_begin, serial)

    async def run(self) -> None:
        """Check once, then find out for ever whether the archive can be written."""
        await self.check()
        while True:
            try:
                await self._records.execute(signed_archive.probe, clock.now())
            except (ArchiveUnusable, DatabaseError, OSError) as error:
                await self._failed(str(error))
            else:
                await self._works()
            await asyncio.sleep(PROBE_S if self._is_usable else PROBE_AGAIN_S)

    async def _failed(self, reason: str) -> None:
        if self._is_usable:
            logger.error("signed meter data cannot be archived, no session begins: %s", reason)
            self._is_usable = False
            self._state.set_faults(ARCHIVE_FAULT, frozenset({FaultCode.REGULATORY_COMPLIANCE_FAILURE}))
            await self._report(reason)

    async def _works(self) -> None:
        if not self._is_usable:
            logger.warning("signed meter data can be archived again")
            self._is_usable = True
            self._state.set_faults(ARCHIVE_FAULT, frozenset())
            await self._records.attempt(event_log.end, ARCHIVE_CODE, at=clock.now())

    async def _report(self, reason: str) -> None:
        await self._records.attempt(event_log.begin, ARCHIVE_CODE, at=clock.now(), reason=reason[:200])


class Signing:
    """The calibrated meter of one charging point; one order at a time."""

    def __init__(
        self,
        point: MeteredPoint,
        meter: SigningMeter,
        archive: Archive,
        *,
        records: RecordStore,
        state: StationState,
        wall_clock: ClockPort,
    ) -> None:
        self._point = point
        self._meter = meter
        self._archive = archive
        self._records = records
        self._state = state
        self._wall_clock = wall_clock
        self._lock = asyncio.Lock()

    async def begin(self, permission: Permission) -> SignedValue:
        """Let the meter begin, and archive what it signs; raises MeterDoesNotSign. Whatever goes wrong is undone."""
        async with self._lock:
            try:
                await self._archive.until_in_order()
                identity = self._known_identity()
                await self._settle(identity, SignedEnd.ABORT)
                await self._set_time()
                who = await self._records.execute(_identification, permission, self._point.number)
                record = await self._meter.begin_transaction(who)
                value = await self._archived(record, Kind.BEGIN, identity, facts=_facts_of(permission))
                self._judge([record.raw], identity.public_key, allowed={Finding.NO_END})
            except (DeviceFailed, ArchiveUnusable, DatabaseError, OSError, _NotReliable) as error:
                with suppress(DeviceFailed, ArchiveUnusable, DatabaseError, OSError):
                    await self._settle(self._known_identity(), SignedEnd.ABORT)
                await self._log("signing.begin_failed", error)
                raise MeterDoesNotSign(str(error)) from error
        return value

    async def end(self, begin_number: int, end: SignedEnd) -> SignedValue | None:
        """Return the signed end of a session; None when the meter has none, or does not answer in its time.

        As often as it is called, whatever was interrupted: a record that was signed before is found again.
        """
        deadline_s = clock.monotonic_s() + self._meter.longest_signing_s
        while True:
            try:
                async with self._lock:
                    return await self._end(begin_number, end)
            except (DeviceFailed, ArchiveUnusable, DatabaseError, OSError) as error:
                logger.warning("point %d: no signed end yet: %s", self._point.number, error)
                if clock.monotonic_s() >= deadline_s:
                    return None
            await asyncio.sleep(TRY_AGAIN_S)

    async def _end(self, begin_number: int, end: SignedEnd) -> SignedValue | None:
        kept = await self._archive.of_session(begin_number)
        begin = next((each for each in kept if each.number == begin_number), None)
        known = next((each for each in kept if each.entry.kind is Kind.END), None)
        if known is not None:
            # It was archived, and the power went before it was queued.
            return _value_of(known)
        identity = self._known_identity()
        if begin is None or identity.serial != begin.entry.meter_serial:
            logger.error("point %d: the begin of the session is not of this meter", self._point.number)
            return None
        if await self._meter.open_transaction() is not None:
            record: SignedRecord | None = await self._meter.end_transaction(end)
        else:
            record = await self._meter.last_record()
        if record is None or not _follows(begin.entry.raw, record):
            logger.error("point %d: the meter knows no end of the session", self._point.number)
            return None
        value = await self._archived(record, Kind.END, identity, begin_number=begin_number)
        try:
            self._judge([begin.entry.raw, record.raw], begin.entry.public_key, allowed=set())
        except _NotReliable as error:
            # It is what was signed all the same.
            await self._log("signing.end_unreliable", error)
        return value

    async def _log(self, code: str, error: Exception) -> None:
        await self._records.attempt(
            event_log.log, code, at=clock.now(), connector_id=self._point.number, reason=str(error)[:200]
        )

    async def abandon(self) -> None:
        """End a transaction whose session could not be written down."""
        async with self._lock:
            with suppress(DeviceFailed, ArchiveUnusable, DatabaseError, OSError):
                await self._settle(self._known_identity(), SignedEnd.ABORT)

    async def settle(self) -> bool:
        """Archive and end what a loss of power has left open; return whether that is done."""
        async with self._lock:
            try:
                await self._settle(self._known_identity(), SignedEnd.POWER_FAILURE)
            except (DeviceFailed, ArchiveUnusable, DatabaseError, OSError) as error:
                logger.debug("point %d: its calibrated meter is not settled yet: %s", self._point.number, error)
                return False
        return True

    async def _settle(self, identity: MeterIdentity, end: SignedEnd) -> None:
        await self._keep_last(identity)
        if await self._meter.open_transaction() is not None:
            logger.warning("point %d: a transaction of the meter without a session is ended", self._point.number)
            record = await self._meter.end_transaction(end)
            await self._keep_stray(record, identity)

    async def _keep_last(self, identity: MeterIdentity) -> None:
        record = await self._meter.last_record()
        if record is not None and not await self._archive.holds(record, identity.serial):
            await self._keep_stray(record, identity)

    async def _keep_stray(self, record: SignedRecord, identity: MeterIdentity) -> None:
        """Archive a record nobody waits for; the end of a session finds its begin."""
        begin = await self._archive.open_begin(identity.serial) if _is_end(record) else None
        await self._archived(record, Kind.OTHER if begin is None else Kind.END, identity, begin_number=begin)

    async def _archived(
        self,
        record: SignedRecord,
        kind: Kind,
        identity: MeterIdentity,
        *,
        begin_number: int | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> SignedValue:
        entry = Entry(
            at=clock.now(),
            kind=kind,
            connector_id=self._point.number,
            meter_serial=identity.serial,
            public_key=identity.public_key,
            raw=record.raw,
            format=record.format,
            begin_number=begin_number,
            facts=facts or {},
        )
        number = await self._archive.keep(entry)
        return SignedValue(
            record=record, number=number, public_key=identity.public_key, register=_register_of(record.raw)
        )

    def _known_identity(self) -> MeterIdentity:
        identity = self._point.meter_identity
        if identity is None:
            raise DeviceFailed("the calibrated meter has not told who it is")
        return identity

    def _judge(self, raws: Sequence[bytes], public_key: str, *, allowed: set[Finding]) -> None:
        """Check what was signed; raises _NotReliable. One that is not what the meter signed is the station's fault."""
        if not _is_read(raws[0]):
            return
        findings = [each for each in ocmf.check_session(raws, public_key) if each not in allowed | _HARMLESS]
        source = SIGNING_FAULT.format(self._point.number)
        if not findings:
            self._state.set_faults(source, frozenset())
            return
        logger.error("point %d: signed meter data that cannot be relied on: %s", self._point.number, findings)
        if not _SAID_BY_THE_METER.issuperset(findings):
            self._state.set_faults(source, frozenset({FaultCode.REGULATORY_COMPLIANCE_FAILURE}))
        raise _NotReliable(", ".join(findings))

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


class _NotReliable(Exception):
    """A record has findings."""


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
    return {"id_tag": permission.id_tag, "origin": permission.origin, "reason": permission.reason}


def _is_read(raw: bytes) -> bool:
    return raw.startswith(b"OCMF|")


def _register_of(raw: bytes) -> WattHour | None:
    try:
        readings = ocmf.parse(raw).readings
    except RecordMalformed:
        return None
    return readings[-1].register_wh if readings else None


def _value_of(row: Archived) -> SignedValue:
    record = SignedRecord(raw=row.entry.raw, format=row.entry.format, signed_at_s=clock.monotonic_s())
    return SignedValue(
        record=record, number=row.number, public_key=row.entry.public_key, register=_register_of(row.entry.raw)
    )


def _is_end(record: SignedRecord) -> bool:
    try:
        return ocmf.parse(record.raw).end is not None
    except RecordMalformed:
        return False


def _follows(begin: bytes, record: SignedRecord) -> bool:
    """Return whether a record is the end of what this begin began; where it cannot be read the meter is believed."""
    if record.format is not SignatureFormat.OCMF:
        return record.raw != begin
    try:
        first, last = ocmf.parse(begin), ocmf.parse(record.raw)
    except RecordMalformed:
        return False
    return last.end is not None and last.pagination.follows(first.pagination)


class SignedMetering:
    """The calibrated meters of a station: at its start, and while it runs."""

    def __init__(self, archive: Archive, state: StationState, idle: Mapping[int, "IdlePoint"]) -> None:
        self._archive = archive
        self._state = state
        self._points = idle

    async def run(self) -> None:
        """Check the archive, settle what a restart left behind, and go on looking at the archive."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._archive.run())
            group.create_task(self._settle_idle_points())

    async def _settle_idle_points(self) -> None:
        await self._state.until_recovered()
        unsettled = dict(self._points)
        while unsettled:
            for number, point in list(unsettled.items()):
                if point.busy or await point.signing_settled():
                    # A session that runs settles its own.
                    del unsettled[number]
            if unsettled:
                await asyncio.sleep(TRY_AGAIN_S)


class IdlePoint(Protocol):
    """A charging point with a calibrated meter."""

    @property
    def busy(self) -> bool:
        """Whether somebody uses it."""

    async def signing_settled(self) -> bool:
        """Settle what its meter has left open; return whether that is done."""
