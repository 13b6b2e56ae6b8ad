"""Sessions of calibrated meters in a new database: rebuilt from the archive of what their meters have signed.

The archive knows begin and end of each session, who charged, and what the backend has taken of it. What the backend
has not taken is queued again, a begin under the id it had, so that nothing is billed twice. A session whose end was
never signed runs on in the books, and the control loop brings it to its end as after a power cut. Nothing is made up:
what the archive does not know is missing.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from django.db import transaction

from station.domain import ocmf
from station.domain.facts import SessionBegan, SessionEnded
from station.domain.meter_values import Measurand, MeterValue, Quantity, ReadingContext, SignedRecord
from station.domain.ocmf import RecordMalformed
from station.domain.stamps import Stamp
from station.domain.units import WattHour
from station.models import ChargingSession
from station.services import outbox, sessions, signed_archive
from station.services.signed_archive import Archived, ArchiveUnusable, Kind

logger = logging.getLogger(__name__)

# Without a word about it, as a power cut ends a session.
_UNKNOWN_REASON = "PowerLoss"


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """How many sessions were rebuilt, and how many messages the backend has not taken."""

    sessions: int = 0
    owed: int = 0


@dataclass(kw_only=True)
class _Told:
    """What the backend has taken of a session: its number, and what it was told of its begin and its end."""

    transaction_id: int | None = None
    began: Mapping[str, Any] | None = None
    end: Mapping[str, Any] | None = None


@dataclass(kw_only=True)
class _Known:
    """What the archive knows."""

    begins: list[Archived] = field(default_factory=list)
    ends: dict[int, Archived] = field(default_factory=dict)
    told: dict[int, _Told] = field(default_factory=dict)
    newest_of_point: dict[int, int] = field(default_factory=dict)

    def take(self, row: Archived) -> None:
        """Take the next row."""
        begin, facts = row.entry.begin_number, row.entry.facts
        match row.entry.kind:
            case Kind.BEGIN:
                self.begins.append(row)
                self.newest_of_point[row.entry.connector_id] = row.number
            case Kind.END if begin is not None:
                self.ends[begin] = row
            case Kind.TOLD if begin is not None:
                told = self.told.setdefault(begin, _Told())
                told.transaction_id = facts.get("transaction", told.transaction_id)
                told.began = facts.get("began", told.began)
                told.end = facts.get("end", told.end)
            case Kind.TOLD if facts.get("reset"):
                # Deleted on order; what was left then is to be found again.
                left = set(facts.get("left", ()))
                self.begins = [each for each in self.begins if each.number in left]
            case _:
                pass


@dataclass(frozen=True, kw_only=True)
class _Owed:
    """What the backend has not taken; told in the order in which it happened, which is that of the `row`s."""

    row: int
    fact: SessionBegan | SessionEnded
    session: ChargingSession
    at: Stamp
    message_id: str | None = None


@transaction.atomic
def rebuild() -> Rebuilt:
    """Write the sessions that are in the archive and not in the database; done twice it changes nothing."""
    known = _Known()
    alive: Stamp | None = None
    try:
        alive = signed_archive.last_sign_of_life()
        for row in signed_archive.everything():
            known.take(row)
    except ArchiveUnusable as error:
        # What stands before the damage is of use; the damage itself is found and told by the control loop.
        logger.warning("the archive of signed meter data cannot be read to its end: %s", error)
    written = [each for each in (_Session(known, begin) for begin in _of_sessions(known)) if each.write(alive)]
    owed = sorted((message for each in written for message in each.owed), key=lambda message: message.row)
    for message in owed:
        outbox.enqueue(message.fact, session=message.session, at=message.at, message_id=message.message_id)
    return Rebuilt(sessions=len(written), owed=len(owed))


def _of_sessions(known: _Known) -> Iterable[Archived]:
    """Yield the begins that a session was written with; what was begun and taken back at once was none."""
    for begin in known.begins:
        end = known.ends.get(begin.number)
        was_none = end is not None and end.entry.facts.get("session") is False
        if not was_none and not sessions.has_begun_with(begin.number):
            yield begin


class _Session:
    """One session of the archive."""

    def __init__(self, known: _Known, begin: Archived) -> None:
        self._begin = begin
        self._end = known.ends.get(begin.number)
        self._told = known.told.get(begin.number, _Told())
        is_newest = known.newest_of_point[begin.entry.connector_id] == begin.number
        self._runs = self._end is None and self._told.end is None and is_newest
        if self._runs and ChargingSession.objects.running().filter(connector_id=begin.entry.connector_id).exists():
            # An older copy of the database came back with a session of its own.
            self._runs = False
        self.owed: list[_Owed] = []

    def write(self, alive: Stamp | None) -> bool:
        """Write it, and find what the backend has not taken; return whether its begin can be read."""
        entry, facts = self._begin.entry, self._begin.entry.facts
        start = _register(self._begin)
        if start is None:
            logger.error("row %d of the archive: no register, no session is rebuilt", self._begin.number)
            return False
        # What was told is what is known: the clock may have been wrong when the meter signed.
        at = _decoded(self._told.began) or _stamp(self._begin)
        seen = _later(at, alive) if self._runs else at
        session = ChargingSession.objects.create(
            connector_id=entry.connector_id,
            id_tag=facts.get("id_tag", ""),
            parent_id_tag=facts.get("parent_id_tag", ""),
            authorized_by=facts.get("reason", ""),
            origin=facts.get("origin", ""),
            transaction_id=self._told.transaction_id,
            started_at=at.at,
            started_boot_id=at.boot_id,
            started_steady_ms=at.steady_ms,
            meter_start_wh=start,
            meter_last_wh=start,
            meter_last_at=seen.at,
            meter_last_boot_id=seen.boot_id,
            meter_last_steady_ms=seen.steady_ms,
            meter_serial=entry.meter_serial,
            signed_begin=self._begin.number,
            # Over from the first moment on: two sessions cannot run on one connector.
            stopped_at=None if self._runs else seen.at,
        )
        # Before the archive kept it, nothing was known of what the backend had taken: that is not told again.
        can_be_told = "message" in facts and self._told.end is None
        if can_be_told and self._told.transaction_id is None:
            began = SessionBegan(
                at=at.at, connector_id=entry.connector_id, id_tag=facts.get("id_tag", ""), register=start
            )
            self.owed.append(
                _Owed(row=self._begin.number, fact=began, session=session, at=at, message_id=facts["message"])
            )
        if can_be_told:
            sessions.keep_value(session, _value(self._begin, start, at, ReadingContext.TRANSACTION_BEGIN), at)
        if not self._runs:
            self._close(session, start, at, is_owed=can_be_told)
        return True

    def _close(self, session: ChargingSession, start: WattHour, began: Stamp, *, is_owed: bool) -> None:
        facts: Mapping[str, Any] = self._end.entry.facts if self._end is not None else {}
        stop = self._stopped() or began
        # As long as the steady clock says, whatever was told in between.
        at = replace(stop, at=began.at + max(stop.since(began), timedelta()))
        signed = _register(self._end) if self._end is not None else None
        told = self._told.end or {}
        # What was never signed is worth what the backend was told, else nothing.
        register = WattHour(max(signed if signed is not None else told.get("register_wh", start), start))
        reason = facts.get("reason") or told.get("reason") or _UNKNOWN_REASON
        id_tag = facts.get("id_tag") or told.get("id_tag", "")
        owes = self._end is None
        session.end(wh=register, at=at, reason=reason, id_tag=id_tag, limited_by={}, owes_signed_end=owes)
        if not is_owed:
            return
        row = self._begin.number
        if self._end is not None:
            row = self._end.number
            sessions.keep_value(session, _value(self._end, register, at, ReadingContext.TRANSACTION_END), at)
        ended = SessionEnded(at=at.at, register=register, reason=reason, id_tag=id_tag)
        self.owed.append(_Owed(row=row, fact=ended, session=session, at=at))

    def _stopped(self) -> Stamp | None:
        if self._end is None:
            return _decoded(self._told.end)
        return _decoded(self._told.end) or _decoded(self._end.entry.facts.get("stopped")) or _stamp(self._end)


def _decoded(noted: Mapping[str, Any] | None) -> Stamp | None:
    try:
        return None if noted is None else Stamp.decode(noted)
    except (KeyError, TypeError, ValueError) as error:
        logger.warning("a moment in the archive cannot be read: %s", error)
        return None


def _stamp(row: Archived) -> Stamp:
    facts = row.entry.facts
    return Stamp(at=row.entry.at, boot_id=facts.get("boot_id", ""), steady_ms=facts.get("steady_ms"))


def _later(at: Stamp, alive: Stamp | None) -> Stamp:
    """Return the last moment at which the session was running for sure."""
    return alive if alive is not None and alive.since(at).total_seconds() > 0 else at


def _register(row: Archived) -> WattHour | None:
    try:
        readings = ocmf.parse(row.entry.raw).readings
    except RecordMalformed:
        return None
    return readings[-1].register_wh if readings else None


def _value(row: Archived, register: WattHour, at: Stamp, context: ReadingContext) -> MeterValue:
    """Return what the end of the session tells: the signed record, with its key."""
    entry = row.entry
    signed = SignedRecord(encoding=entry.format.value, data=entry.raw, public_key=entry.public_key)
    energy = Quantity(measurand=Measurand.ENERGY, value=register)
    return MeterValue(at=at.at, context=context, quantities=(energy,), signed=signed)
