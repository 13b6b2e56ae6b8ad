"""Stamps of a clock that was wrong: what is told is possible, in order, and true as soon as the time is known."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from ocpp_client.outgoing import outbox_store
from ocpp_client.outgoing.outbox_store import Claimed, Wait
from station.domain.authorization import Reason
from station.domain.commands import Origin
from station.domain.connector import Permission
from station.domain.facts import SessionEnded
from station.domain.meter_values import Measurand, MeterValue, Quantity, ReadingContext
from station.domain.stamps import Stamp
from station.domain.units import WattHour
from station.models import ChargingSession, MeterSample, OutboxMessage
from station.services import interrupted_sessions, outbox, sessions, stamps

pytestmark = pytest.mark.django_db

BOOTED = datetime(2026, 11, 20, 12, tzinfo=UTC)
LOST = datetime(1970, 1, 1, tzinfo=UTC) - BOOTED
SETTLED = {"transactionId": 7, "idTagInfo": {"status": "Accepted"}}


def stamp(seconds: float, *, error: timedelta = timedelta(), boot: str = "now", booted: datetime = BOOTED) -> Stamp:
    moment = booted + timedelta(seconds=seconds) + error
    return Stamp(at=moment, boot_id=boot, steady_ms=round(seconds * 1000))


def begin(at: Stamp, connector_id: int = 1) -> ChargingSession:
    permission = Permission(id_tag="CARD", reason=Reason.WHITELIST_ACCEPTED, origin="local")
    return sessions.begin_session(
        connector_id=connector_id, permission=permission, meter=WattHour(0), at=at, begin=value()
    )


def value() -> MeterValue:
    energy = Quantity(measurand=Measurand.ENERGY, value=5)
    return MeterValue(at=BOOTED, context=ReadingContext.SAMPLE_PERIODIC, quantities=(energy,))


def sample(of: ChargingSession, at: Stamp) -> None:
    sessions.record_meter_values(
        connector_id=of.connector_id,
        session_id=of.pk,
        context=ReadingContext.SAMPLE_PERIODIC,
        at=at,
        register=5,
        told=value(),
        kept=value(),
    )


def end(of: ChargingSession, at: Stamp) -> ChargingSession:
    sessions.end_session(of.pk, reason="Local", meter=WattHour(9), at=at)
    return ChargingSession.objects.get(pk=of.pk)


def correct(now: Stamp, *, trusted: bool = True) -> list[int]:
    return list(stamps.correcting(now, trusted=trusted))


def claim() -> Claimed | Wait | None:
    return outbox_store.claim(BOOTED + timedelta(days=1), None)


def claim_and_settle() -> Claimed:
    claimed = claim()
    assert isinstance(claimed, Claimed)
    outbox_store.settle(claimed.id, claimed.message_id, SETTLED, BOOTED, NoList())
    return claimed


class NoList:
    """A local list without members."""

    def version(self) -> int:
        return 0

    def apply(self, version: int, update_type: str, entries: object, at: datetime) -> str:
        raise NotImplementedError

    def contains(self, id_tag: str) -> bool:
        return False


# --- what a power cut ended


def test_a_session_ends_with_the_last_sign_of_the_boot_it_was_alive_in_whatever_other_clocks_said() -> None:
    begin(stamp(0, boot="before", booted=BOOTED - timedelta(hours=3)), 2)
    alive = begin(stamp(40, error=LOST))
    sample(alive, stamp(55, error=LOST))
    row = ChargingSession.objects.get(pk=alive.pk)

    assert interrupted_sessions.last_sign_of_life(row) == stamp(55, error=LOST)


def test_what_ends_with_its_boot_is_not_moved_to_the_words_of_the_next_one() -> None:
    died = begin(stamp(10, error=LOST))
    begin(stamp(25, boot="next", error=LOST), 2)

    row = end(died, stamp(15, error=LOST))

    assert (row.stopped_boot_id, row.stopped_at) == ("now", stamp(15, error=LOST).at)


# --- the order of messages


@pytest.mark.parametrize("waited_s", [1, 31, 75])
def test_an_end_that_had_to_wait_is_told_in_the_order_of_the_messages(waited_s: int) -> None:
    one, other = begin(stamp(0)), begin(stamp(1), 2)
    sample(other, stamp(20 + waited_s))

    assert end(one, stamp(20)).stopped_at == stamp(20 + waited_s).at


def test_an_end_that_waited_for_minutes_keeps_its_true_moment() -> None:
    one, other = begin(stamp(0)), begin(stamp(1), 2)
    sample(other, stamp(320))

    assert end(one, stamp(20)).stopped_at == stamp(20).at


def test_a_wall_clock_set_back_by_seconds_does_not_move_what_comes_later_to_what_it_said_before() -> None:
    one, other = begin(stamp(0)), begin(stamp(1), 2)
    sample(other, stamp(20, error=timedelta(seconds=25)))

    assert end(one, stamp(30)).stopped_at == stamp(30).at


def test_a_clock_that_loses_its_time_within_a_session_does_not_lose_how_long_it_took() -> None:
    row = end(begin(stamp(10)), stamp(70, error=LOST))

    assert row.stopped_at == stamp(70).at
    assert OutboxMessage.objects.latest("id").stamp == stamp(70)


def test_an_end_remembered_from_before_the_correction_is_told_with_its_true_moment() -> None:
    ahead = timedelta(days=300)
    session = begin(stamp(10, error=ahead))
    correct(stamp(80))

    row = end(session, stamp(70, error=ahead))

    assert row.stopped_at == OutboxMessage.objects.latest("id").at == stamp(70).at


# --- what is told


def test_what_a_clock_without_time_has_stamped_is_not_sent_before_it_is_true() -> None:
    end(begin(stamp(10, error=LOST)), stamp(70, error=LOST))
    assert claim() == Wait(seconds=outbox_store.CLOCK_LOOK_S)

    correct(stamp(100))

    began = claim_and_settle()
    ended = claim_and_settle()
    assert began.fact.at == stamp(10).at
    assert isinstance(ended.fact, SessionEnded)
    assert ended.fact.at == stamp(70).at
    assert claim() is None


def test_by_a_clock_that_nobody_vouches_for_only_what_cannot_be_is_corrected() -> None:
    earlier = BOOTED - timedelta(days=2)
    right, lost = begin(stamp(10, boot="a", booted=earlier + timedelta(days=9))), None
    lost = begin(stamp(20, boot="b", error=LOST), 2)
    correct(stamp(100), trusted=False)

    assert ChargingSession.objects.get(pk=right.pk).started_at == stamp(10, booted=earlier + timedelta(days=9)).at
    assert ChargingSession.objects.get(pk=lost.pk).started_at == BOOTED


def test_a_start_that_was_sent_is_repeated_as_it_was_told_and_its_end_is_not_before_it() -> None:
    error = timedelta(hours=1)
    session = begin(stamp(10, error=error))
    first = claim()
    assert isinstance(first, Claimed)
    outbox_store.put_back(first)
    correct(stamp(20))
    end(session, stamp(70))

    again = claim_and_settle()
    ended = claim_and_settle()
    assert again.fact == first.fact
    assert isinstance(ended.fact, SessionEnded)
    assert ended.fact.at == first.fact.at
    row = ChargingSession.objects.get()
    assert (row.started_at, row.stopped_at) == (stamp(10).at, stamp(70).at)


def test_a_start_that_was_answered_without_a_number_is_repeated_as_it_was_told() -> None:
    """The backend may have begun a transaction: with another moment it would be another one."""
    begin(stamp(10, error=timedelta(hours=1)))
    first = claim()
    assert isinstance(first, Claimed)
    outbox_store.settle(first.id, first.message_id, {"idTagInfo": {"status": "Accepted"}}, BOOTED, NoList())
    correct(stamp(20))
    outbox.send_again(origin=Origin.LOCAL, actor="BootNotification", at=stamp(30).at)

    again = claim_and_settle()
    assert again.fact == first.fact
    assert again.message_id != first.message_id


def test_an_end_that_was_sent_is_repeated_as_it_was_told_with_its_values() -> None:
    error = timedelta(hours=1)
    session = begin(stamp(10, error=error))
    claim_and_settle()
    sample(session, stamp(40, error=error))
    claim_and_settle()
    sessions.end_session(
        session.pk, reason="Local", meter=WattHour(9), at=stamp(70, error=error), end=replace(value(), at=BOOTED)
    )
    first = claim()
    assert isinstance(first, Claimed)
    told = sessions.kept_values(session.pk)
    outbox_store.put_back(first)

    correct(stamp(100))

    again = claim()
    assert isinstance(again, Claimed)
    assert (again.fact, sessions.kept_values(session.pk)) == (first.fact, told)
    assert len(told) == 3


def test_a_start_that_was_refused_is_corrected_before_it_is_sent_again() -> None:
    begin(stamp(10, error=timedelta(days=300)))
    first = claim()
    assert isinstance(first, Claimed)
    outbox_store.refuse(first, "CALLERROR", BOOTED)
    correct(stamp(20))

    assert OutboxMessage.objects.get().at == stamp(10).at


def test_what_was_stamped_impossibly_and_sent_by_earlier_software_holds_nobody_up() -> None:
    begin(stamp(10, error=LOST))
    OutboxMessage.objects.update(id_was_sent=True)

    assert isinstance(claim(), Claimed)


# --- portions


def a_month(rows: int) -> None:
    session = begin(stamp(0, error=LOST))
    first = OutboxMessage.objects.get()
    messages = [
        OutboxMessage(
            message_id=f"m{number}",
            kind="meter_sampled",
            fact=first.fact,
            session=session,
            at=stamp(number, error=LOST).at,
            boot_id="now",
            steady_ms=number * 1000,
        )
        for number in range(1, rows)
    ]
    OutboxMessage.objects.bulk_create(messages)


def all_true() -> bool:
    told = [message.at == stamp((message.steady_ms or 0) / 1000).at for message in OutboxMessage.objects.all()]
    return all(told) and all(each.at == stamp((each.steady_ms or 0) / 1000).at for each in MeterSample.objects.all())


def test_a_long_queue_is_corrected_in_portions_none_of_which_takes_long() -> None:
    a_month(1_500)

    changed = correct(stamp(10_000))

    assert sum(changed) == 1_500 + 1 + 1
    assert max(changed) <= 200
    assert all_true()
    assert sum(correct(stamp(10_000))) == 0


@pytest.mark.parametrize("portions", [1, 4, 9])
def test_a_correction_that_was_interrupted_is_made_good_by_the_next_one(portions: int) -> None:
    a_month(1_200)
    correction = stamps.correcting(stamp(10_000))
    for _ in range(portions):
        assert stamps.portion(correction) is not None
    del correction
    # The next one comes after another boot, which knows of the time of this one only what was written down.
    correct(replace(stamp(60, boot="next", booted=BOOTED + timedelta(days=1))))

    if portions > 3:
        assert all_true()
    else:
        moments = list(OutboxMessage.objects.order_by("id").values_list("at", flat=True))
        assert moments == sorted(moments)
        assert moments[-1] == BOOTED + timedelta(days=1)


def test_a_message_that_is_delivered_meanwhile_stays_as_it_was_told() -> None:
    session = begin(stamp(10, error=timedelta(hours=1)))
    correction = stamps.correcting(stamp(50))
    stamps.portion(correction)
    told = claim_and_settle()
    while stamps.portion(correction) is not None:
        continue

    assert OutboxMessage.objects.get().at == told.fact.at
    with transaction.atomic():
        assert outbox.moment_in_order(stamp(60)) == stamp(60)
    assert ChargingSession.objects.get(pk=session.pk).started_at == stamp(10).at
