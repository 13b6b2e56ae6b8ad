"""The durable queue seen from the connection: claim the oldest message, record what became of it.

Everything here is synchronous database work. There is one sender, so a row in `sent` is the one under way.
"""

import logging
import uuid
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from ocpp_client.outgoing import authorization_cache
from ocpp_client.ports import LocalList
from station.domain import facts
from station.domain.authorization import AuthorizationStatus
from station.domain.facts import Fact, FactKind, FactUnreadable, MeterSampled
from station.domain.id_tags import MAX_ID_TAG_LENGTH
from station.domain.meter_values import SignedDialect
from station.models import ChargingSession, OutboxMessage
from station.models.backend import OutboxStatus
from station.services import configuration, event_log, outbox, sessions, signed_archive
from station.services.flushing import without_flush
from station.services.messages import StartAnswered
from station.services.signed_archive import ArchiveUnusable

logger = logging.getLogger(__name__)

LONGEST_RETRY = timedelta(hours=1)
KEPT_FOR = timedelta(days=7)
# Some 30 MB: seven hours of samples every second at two points, a month of those every minute.
MOST_OWED = 50_000
MOST_DELIVERED = 50_000
_AT_ONCE = 500
# While the clock has lost its time, so long between two looks at a message that waits for its true moment.
CLOCK_LOOK_S = 5.0
# After so many attempts without an answer a message is reported; it is tried on for ever (calibration law).
REPORTED_AFTER = 3
REFUSED_CODE = "backend.message.refused"
_MAX_ERROR_LENGTH = 200
# A late answer to an older id than these is not expected any more.
_FORMER_IDS = 10
_INT64 = range(-(2**63), 2**63)
_LONGEST_NUMBER = len(str(-(2**63)))
_CLAIMED_COLUMNS = (
    "status",
    "kind",
    "fact",
    "at",
    "boot_id",
    "steady_ms",
    "attempts",
    "message_id",
    "former_ids",
    "id_was_sent",
    "next_attempt_at",
    "delivered_at",
)


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """A message that is now under way; `repeated`: its id may be known to the backend; `dialect`: of signed values."""

    id: int
    message_id: str
    fact: Fact
    session_id: int | None
    transaction_id: int | None
    repeated: bool
    dialect: SignedDialect = SignedDialect.OCA


@dataclass(frozen=True, kw_only=True)
class Wait:
    """The oldest message is not due yet; nothing may overtake it."""

    seconds: float


def recover() -> None:
    """Take back what was under way when the process ended; it is sent again under its id."""
    OutboxMessage.objects.filter(status=OutboxStatus.SENT).update(status=OutboxStatus.PENDING)


def unheard_refusals() -> list[StartAnswered]:
    """Return the refusals of running sessions that the control loop may not have heard of."""
    refused = OutboxMessage.objects.filter(
        kind=FactKind.SESSION_BEGAN, session__stopped_at=None, last_error__startswith=sessions.REFUSED_PREFIX
    ).select_related("session")
    return [
        StartAnswered(
            session_id=row.session.pk,
            transaction_id=row.session.transaction_id,
            status=sessions.status_in_error(row.last_error),
        )
        for row in refused
        if row.session is not None
    ]


def look(at: datetime, unanswered: int | None) -> Claimed | Wait | None:
    """Claim the oldest message; takes no write lock while nothing is owed."""
    return claim(at, unanswered) if OutboxMessage.objects.filter(status=OutboxStatus.PENDING).exists() else None


# A claim that a power cut undoes is what `recover` would have undone anyway.
@without_flush()
@transaction.atomic(savepoint=False)
def claim(at: datetime, unanswered: int | None) -> Claimed | Wait | None:
    """Claim the oldest message; None when nothing is owed.

    `unanswered` is the row sent over this very connection before, without an answer: a strict backend refuses a second
    message under the same id on one connection, so that it gets another one.
    """
    pending = OutboxMessage.objects.filter(status=OutboxStatus.PENDING).order_by("id").select_related("session")
    # Of the session's many columns one is needed; writing the query takes longer than answering it.
    pending = pending.only(*_CLAIMED_COLUMNS, "session__transaction_id")
    while (row := pending.first()) is not None:
        rest = row.next_attempt_at - at if row.next_attempt_at is not None else timedelta(0)
        # More than the whole pause is left only when the clock was set back: a minute must not become a day.
        if timedelta(0) < rest <= _pause(max(row.attempts, row.refusals)):
            return Wait(seconds=rest.total_seconds())
        if _follows_its_start(row):
            continue
        if row.stamp.is_to_be_corrected and not row.id_was_sent:
            # It would be wrong for ever; when the clock arrives (hardware.runtime.clock_watch) it is right.
            return Wait(seconds=CLOCK_LOOK_S)
        try:
            fact = fact_of(row)
        except FactUnreadable as error:
            # It can never be sent; whatever stands behind it can.
            outbox.set_aside(row, str(error), at)
            continue
        if row.pk == unanswered and row.id_was_sent:
            _take_new_id(row)
        repeated, row.id_was_sent = row.id_was_sent, True
        row.status, row.attempts = OutboxStatus.SENT, row.attempts + 1
        row.save(update_fields=["status", "attempts", "message_id", "former_ids", "id_was_sent"])
        number = row.session.transaction_id if row.session is not None else None
        return Claimed(
            id=row.pk,
            message_id=row.message_id,
            fact=fact,
            session_id=row.session_id,
            transaction_id=number,
            repeated=repeated,
            dialect=SignedDialect(configuration.get("/ocpp/signedValueDialect")),
        )
    return None


def _follows_its_start(row: OutboxMessage) -> bool:
    """Set a message aside together with the start of its session; return whether that was done.

    The end of the session is told once, without a number (OCPP 1.6 errata 3.18), and stays to be told again with it.
    """
    if not _start_is_set_aside(row) or (row.kind == FactKind.SESSION_ENDED and row.delivered_at is None):
        return False
    OutboxMessage.objects.filter(id=row.pk).update(status=OutboxStatus.SET_ASIDE)
    return True


def _start_is_set_aside(row: OutboxMessage) -> bool:
    if row.session is None or row.kind == FactKind.SESSION_BEGAN or row.session.transaction_id is not None:
        return False
    start = OutboxMessage.objects.filter(session=row.session, kind=FactKind.SESSION_BEGAN)
    return start.filter(status=OutboxStatus.SET_ASIDE).exists()


def _take_new_id(row: OutboxMessage) -> None:
    row.former_ids = " ".join([*row.former_ids.split(), row.message_id][-_FORMER_IDS:])
    row.message_id, row.id_was_sent = str(uuid.uuid4()), False


def fact_of(row: OutboxMessage) -> Fact:
    """Read what a row tells, with the values kept for the end of its session; raises FactUnreadable.

    A session never ends before the begin that was told: that is not corrected any more when the clock was set since.
    """
    if row.session is None or row.kind != FactKind.SESSION_ENDED:
        return facts.decode(row.kind, row.at, row.fact)
    values = sessions.kept_values(row.session.pk)
    start = OutboxMessage.objects.filter(session=row.session, kind=FactKind.SESSION_BEGAN).only("at").first()
    at = row.at if start is None else max(row.at, start.at)
    return facts.decode(row.kind, at, row.fact, values)


def settle_and_claim(
    claimed: Claimed, answer: dict[str, Any], at: datetime, local_list: LocalList
) -> Claimed | Wait | None:
    """Record an answer and claim the next message in one commit.

    Only what begins and ends a session waits for the disk: meter values that a power cut makes undelivered again are
    repeated under their id.
    """
    with without_flush() if isinstance(claimed.fact, MeterSampled) else nullcontext(), transaction.atomic():
        if not _sample_is_settled(claimed, at):
            settle(claimed.id, claimed.message_id, answer, at, local_list)
        return claim(at, None)


def _sample_is_settled(claimed: Claimed, at: datetime) -> bool:
    """Record that a meter value was taken, as nearly every message is one; False: there is more to do about it."""
    if not isinstance(claimed.fact, MeterSampled) or claimed.transaction_id is None:
        return False
    smooth = OutboxMessage.objects.filter(
        id=claimed.id,
        message_id=claimed.message_id,
        status=OutboxStatus.SENT,
        attempts__lte=REPORTED_AFTER,
        refusals=0,
        last_error="",
    )
    return bool(smooth.update(status=OutboxStatus.DELIVERED, delivered_at=at, next_attempt_at=None))


@transaction.atomic(savepoint=False)
def settle(row_id: int, message_id: str, answer: dict[str, Any], at: datetime, local_list: LocalList) -> None:
    """Record that the backend has taken a message under this id."""
    row = OutboxMessage.objects.select_related("session").get(id=row_id)
    if row.status == OutboxStatus.DELIVERED:
        return
    if message_id not in {row.message_id, *row.former_ids.split()}:
        _tell_again(row)
        return
    info = _info_in(answer)
    if "status" in info and (tag := _tag_of(row)):
        authorization_cache.note(tag, info, at, local_list)
    started: StartAnswered | None = None
    error = ""
    if row.kind == FactKind.SESSION_BEGAN and row.session is not None:
        started = read_start(row.session.pk, answer)
        refused = started.status is not AuthorizationStatus.ACCEPTED
        error = f"{sessions.REFUSED_PREFIX}{started.status}" if refused else ""
        if started.transaction_id is None:
            _set_aside_without_number(row, answer, error, at)
            return
        ChargingSession.objects.filter(id=row.session.pk).update(transaction_id=started.transaction_id)
    status_after = _status_once_taken(row)
    told_in_full = status_after is OutboxStatus.DELIVERED
    OutboxMessage.objects.filter(id=row_id).update(
        status=status_after,
        delivered_at=at,
        next_attempt_at=None,
        last_error=error,
    )
    if started is not None:
        _take_followers_back(started.session_id)
        _archive_told(row, {"transaction": started.transaction_id, "began": row.stamp.encode()}, at)
    if row.kind == FactKind.SESSION_ENDED and row.session is not None and told_in_full:
        _archive_told(row, {"end": {**row.fact, **row.stamp.encode()}}, at)
        sessions.forget_values(row.session.pk)
    if row.attempts > REPORTED_AFTER or row.last_error:
        event_log.end(REFUSED_CODE, at=at)
    if row.status == OutboxStatus.SET_ASIDE or row.refusals:
        outbox.note_nothing_aside(at)


def _archive_told(row: OutboxMessage, facts: dict[str, Any], at: datetime) -> None:
    """Keep, with what the meter has signed of a session, what the backend knows of it, should the database be lost.

    Before the commit: what is told once more under its id does less harm than what is forgotten to have been told.
    """
    session = row.session
    if session is None or session.signed_begin is None:
        return
    try:
        signed_archive.note_told(at, connector_id=session.connector_id, begin_number=session.signed_begin, facts=facts)
    except ArchiveUnusable as error:
        # The control loop finds that, too, and lets no session begin; the backend's answer counts all the same.
        logger.warning("what the backend has taken of session %d is not archived: %s", session.pk, error)


def _status_once_taken(row: OutboxMessage) -> OutboxStatus:
    """Return what becomes of a message the backend has taken; an end that was told without its number is told again.

    Its start may have been queued again while the answer was awaited: then the end waits for it, in order.
    """
    if _start_is_set_aside(row):
        return OutboxStatus.SET_ASIDE
    if row.kind == FactKind.SESSION_ENDED and row.session is not None and row.session.transaction_id is None:
        start = OutboxMessage.objects.filter(session=row.session, kind=FactKind.SESSION_BEGAN)
        if start.exclude(status=OutboxStatus.DELIVERED).exists():
            return OutboxStatus.PENDING
    return OutboxStatus.DELIVERED


def _take_followers_back(session_id: int) -> None:
    """Queue what was set aside with a start that the backend has taken after all.

    What was sent meanwhile told no number. It gets another id, and an answer to that telling, whenever it comes, is
    none to the one that is still to be made.
    """
    followers = OutboxMessage.objects.filter(session=session_id).exclude(status=OutboxStatus.DELIVERED)
    followers.filter(status=OutboxStatus.SET_ASIDE).update(status=OutboxStatus.PENDING, next_attempt_at=None)
    for row in followers.exclude(kind=FactKind.SESSION_BEGAN).filter(Q(id_was_sent=True) | ~Q(former_ids="")):
        row.message_id, row.id_was_sent, row.former_ids = str(uuid.uuid4()), False, ""
        row.save(update_fields=["message_id", "id_was_sent", "former_ids"])


def _tell_again(row: OutboxMessage) -> None:
    """Take back a message under way that told no number, which has become known since."""
    OutboxMessage.objects.filter(id=row.pk, status=OutboxStatus.SENT).update(status=OutboxStatus.PENDING)


def read_start(session_id: int, answer: dict[str, Any]) -> StartAnswered:
    """Read what the backend says to a StartTransaction; a refusal is one with whatever number it comes."""
    info = _info_in(answer)
    parent = info.get("parentIdTag")
    return StartAnswered(
        session_id=session_id,
        transaction_id=_number_in(answer),
        status=_status_of(info),
        parent_id_tag=parent[:MAX_ID_TAG_LENGTH] if isinstance(parent, str) else None,
    )


def _info_in(answer: dict[str, Any]) -> dict[str, Any]:
    info = answer.get("idTagInfo")
    return info if isinstance(info, dict) else {}


def _number_in(answer: dict[str, Any]) -> int | None:
    """Read the transactionId; None when there is none to stop a transaction by."""
    number = answer.get("transactionId")
    if isinstance(number, str) and len(number) <= _LONGEST_NUMBER and number.removeprefix("-").isdecimal():
        number = int(number)
    elif isinstance(number, float) and number.is_integer():
        # JSON knows one kind of number: 7.0 is an integer.
        number = int(number)
    return number if isinstance(number, int) and not isinstance(number, bool) and number in _INT64 else None


def _status_of(info: dict[str, Any]) -> AuthorizationStatus:
    """Read the status of a card; what is none of the standard's accepts nothing, as in an answer to Authorize."""
    try:
        return AuthorizationStatus(info.get("status", ""))
    except ValueError:
        return AuthorizationStatus.INVALID


def _set_aside_without_number(row: OutboxMessage, answer: dict[str, Any], refusal: str, at: datetime) -> None:
    """Set a start aside whose answer names no transaction; `refusal`: what the answer says of the card.

    The backend may have begun a transaction, which has no number we could stop it by. A repetition under the same id
    would get the same answer, and one under another id might begin another transaction: it waits for the next boot.
    """
    error = f"{outbox.NO_NUMBER}: {str(answer.get('transactionId'))[:40]!r}"
    if refusal:
        error = f"{refusal}, {error}"
    if row.status == OutboxStatus.SET_ASIDE:
        OutboxMessage.objects.filter(id=row.pk).update(last_error=error)
        return
    _take_new_id(row)
    row.save(update_fields=["message_id", "former_ids", "id_was_sent"])
    outbox.set_aside(row, error, at)
    event_log.end(REFUSED_CODE, at=at)


def _tag_of(row: OutboxMessage) -> str:
    return str(row.fact.get("id_tag", ""))


def put_back(claimed: Claimed) -> None:
    """Return a message whose connection broke: it goes first over the next one, under the same id."""
    OutboxMessage.objects.filter(id=claimed.id, status=OutboxStatus.SENT).update(status=OutboxStatus.PENDING)


@transaction.atomic
def postpone(claimed: Claimed, error: str, at: datetime) -> None:
    """Come back later: no answer is no refusal, and is no reason ever to give up."""
    row = _under_way(claimed)
    if row is None:
        return
    row.status, row.last_error = OutboxStatus.PENDING, error[:_MAX_ERROR_LENGTH]
    row.next_attempt_at = at + _pause(row.attempts)
    row.save(update_fields=["status", "last_error", "next_attempt_at"])
    if row.attempts >= REPORTED_AFTER:
        _report(row, at)


@transaction.atomic
def refuse(claimed: Claimed, error: str, at: datetime) -> None:
    """Take a CALLERROR: try again under another id (errata 3.7 of OCPP-J), or set the message aside.

    A refusal of a repeated id may speak of the id instead of the message: it does not count.
    """
    row = _under_way(claimed)
    if row is None:
        return
    _take_new_id(row)
    row.status, row.last_error = OutboxStatus.PENDING, error[:_MAX_ERROR_LENGTH]
    if not claimed.repeated:
        row.refusals += 1
        row.next_attempt_at = at + _pause(row.refusals)
    row.save(
        update_fields=["status", "last_error", "message_id", "former_ids", "id_was_sent", "refusals", "next_attempt_at"]
    )
    if row.refusals >= outbox.most_refusals():
        outbox.set_aside(row, error, at)
        event_log.end(REFUSED_CODE, at=at)
    elif row.refusals:
        _report(row, at)


@transaction.atomic
def set_aside(claimed: Claimed, error: str, at: datetime) -> None:
    """Set a message aside that has no lawful form."""
    row = _under_way(claimed)
    if row is not None:
        outbox.set_aside(row, error, at)


def _under_way(claimed: Claimed) -> OutboxMessage | None:
    """Read the row of a message, unless a late answer has settled it meanwhile, or its start."""
    row = OutboxMessage.objects.filter(id=claimed.id, status=OutboxStatus.SENT).first()
    if row is not None and row.message_id != claimed.message_id:
        _tell_again(row)
        return None
    return row


def _pause(times: int) -> timedelta:
    return min(timedelta(seconds=configuration.get_int("TransactionMessageRetryInterval")) * times, LONGEST_RETRY)


def _report(row: OutboxMessage, at: datetime) -> None:
    event_log.begin(REFUSED_CODE, at=at, fact=row.kind, outbox_id=row.pk, error=row.last_error)


def undelivered(message_id: str) -> tuple[int, int | None] | None:
    """Find the message that a late answer belongs to, under whichever of its ids it was sent.

    Return its row, and for a start its session.
    """
    owed = OutboxMessage.objects.exclude(status=OutboxStatus.DELIVERED)
    found = owed.filter(Q(message_id=message_id) | Q(former_ids__contains=message_id)).order_by("id").first()
    if found is None:
        return None
    return found.pk, found.session_id if found.kind == FactKind.SESSION_BEGAN else None


def thin_backlog(at: datetime, *, most: int = MOST_OWED) -> int:
    """Drop every second meter value in between while more than `most` messages are owed; return how many went.

    Starts, stops, the first and the last meter values of a session and signed ones always stay; so does what was sent
    before, because its answer may still come.
    """
    owed = OutboxMessage.objects.filter(status=OutboxStatus.PENDING)
    dropped = 0
    while (excess := owed.count() - most) > 0:
        rows = owed.filter(kind=FactKind.METER_SAMPLED, attempts=0).order_by("id").values_list("id", "session_id")
        unsigned = list(rows.exclude(fact__has_key="signed"))
        ends = _ends_of_sessions(unsigned)
        between = [row_id for row_id, _ in unsigned if row_id not in ends][1::2]
        if not between:
            break
        for first in range(0, len(between), _AT_ONCE):
            # In portions, so that the control loop never waits long for its turn to write.
            dropped += OutboxMessage.objects.filter(id__in=between[first : first + _AT_ONCE]).delete()[0]
        logger.info("The backlog was %d messages too long", excess)
    if dropped:
        event_log.log("backend.backlog.thinned", at=at, dropped=dropped)
    return dropped


def _ends_of_sessions(rows: Iterable[tuple[int, int | None]]) -> set[int]:
    """Find the first and the last message of each session; those outside sessions are all in between."""
    firsts: dict[int, int] = {}
    lasts: dict[int, int] = {}
    for row_id, session_id in rows:
        if session_id is not None:
            firsts.setdefault(session_id, row_id)
            lasts[session_id] = row_id
    return {*firsts.values(), *lasts.values()}


def forget_delivered(at: datetime, *, most: int = MOST_DELIVERED) -> int:
    """Delete what the backend took more than a week or `most` messages ago; return how many rows went.

    The start of a running session stays: it holds what the backend said of the card.
    """
    delivered = OutboxMessage.objects.filter(status=OutboxStatus.DELIVERED)
    newest = delivered.order_by("-id").values_list("id", flat=True)
    beyond = next(iter(newest[most : most + 1]), 0)
    old = delivered.filter(Q(delivered_at__lt=at - KEPT_FOR) | Q(id__lte=beyond)).exclude(
        kind=FactKind.SESSION_BEGAN, session__stopped_at=None
    )
    deleted = 0
    # In portions, so that the control loop never waits long for its turn to write.
    while portion := list(old.values_list("id", flat=True)[:_AT_ONCE]):
        deleted += OutboxMessage.objects.filter(id__in=portion).delete()[0]
    return deleted
