"""The end of a session that has been sampled every second for hours."""

import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest

from ocpp_client.outgoing import outbox_store
from ocpp_client.outgoing.outbox_store import Claimed
from ocpp_client.outgoing.rendering import render
from ocpp_client.rpc.messages import payload_of
from station.domain import facts
from station.domain.authorization import Reason
from station.domain.connector import Permission
from station.domain.meter_values import Measurand, MeterValue, Quantity, ReadingContext
from station.domain.stamps import Stamp
from station.domain.units import WattHour
from station.models import MeterSample, OutboxMessage
from station.services import sessions

pytestmark = pytest.mark.django_db

BEGAN = datetime(2026, 11, 20, 12, tzinfo=UTC)
SAMPLES, AT_ONCE = 20_000, 2_000
# Loaded at once the samples took 35 MiB.
MOST_BYTES = 4 * 1024 * 1024


def value(register: int, at: datetime, context: ReadingContext = ReadingContext.SAMPLE_PERIODIC) -> MeterValue:
    measurands = (Measurand.ENERGY, Measurand.POWER, Measurand.CURRENT, Measurand.VOLTAGE)
    quantities = tuple(Quantity(measurand=each, value=register) for each in measurands)
    return MeterValue(at=at, context=context, quantities=quantities)


def test_the_end_of_a_long_session_takes_little_memory_and_is_told_in_a_message_of_bounded_length() -> None:
    session = sessions.begin_session(
        connector_id=1,
        permission=Permission(id_tag="CARD", reason=Reason.WHITELIST_ACCEPTED, origin="local"),
        meter=WattHour(0),
        at=Stamp(at=BEGAN),
        begin=value(0, BEGAN, ReadingContext.TRANSACTION_BEGIN),
    )
    OutboxMessage.objects.all().delete()
    quantities = facts.encode_quantities(value(1, BEGAN).quantities)
    for first in range(1, SAMPLES, AT_ONCE):
        MeterSample.objects.bulk_create(
            MeterSample(
                session=session,
                at=BEGAN + timedelta(seconds=second),
                context=ReadingContext.SAMPLE_PERIODIC,
                quantities=quantities,
            )
            for second in range(first, first + AT_ONCE)
        )
    ends_at = BEGAN + timedelta(seconds=SAMPLES + 1)

    tracemalloc.start()
    try:
        sessions.end_session(
            session.pk,
            reason="Local",
            meter=WattHour(9),
            at=Stamp(at=ends_at),
            end=value(9, ends_at, ReadingContext.TRANSACTION_END),
        )
        claimed = outbox_store.claim(ends_at, None)
        assert isinstance(claimed, Claimed)
        message = render(claimed.fact, transaction_id=7)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < MOST_BYTES
    told = payload_of(message)["transactionData"]
    contexts = [each["sampledValue"][0]["context"] for each in told]
    assert sessions.MOST_STOP_VALUES / 2 <= len(told) <= sessions.MOST_STOP_VALUES + 2
    assert (contexts[0], contexts[-1]) == ("Transaction.Begin", "Transaction.End")
