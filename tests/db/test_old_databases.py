"""What older versions have left in the database is told to the backend as they would have told it."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from ocpp_client.outgoing import outbox_store
from ocpp_client.outgoing.rendering import render
from ocpp_client.rpc.messages import payload_of
from station.domain.meter_values import ReadingContext, Sample, meter_value, parse_measurands
from station.domain.ports import MeterReading
from station.domain.stamps import Stamp
from station.domain.units import PAUSE, MilliAmpere, MilliHertz, MilliVolt, Watt, WattHour
from station.models import ChargingSession, OutboxMessage
from station.services import sessions

OLD = Path(__file__).parent / "old_databases"
# What the session in the middle of which the station was updated is ended with.
LISTS = (
    "Energy.Active.Import.Register,Energy.Active.Import.Interval,Power.Active.Import,Power.Active.Import.L2,"
    "Power.Offered,Current.Import,Current.Offered,Voltage,Voltage.L1-N,Frequency"
)
END = MeterReading(
    read_at_s=1.0,
    import_energy=WattHour(1600),
    power=Watt(10_987),
    voltages=(MilliVolt(230_100), MilliVolt(229_950), None),
    currents=(MilliAmpere(16_000), MilliAmpere(15_999), MilliAmpere(5)),
    phase_powers=(None, Watt(-3), None),
    frequency=MilliHertz(49_980),
)


def migrate(*targets: tuple[str, str]) -> None:
    executor = MigrationExecutor(connection)
    executor.migrate(list(targets) or executor.loader.graph.leaf_nodes())


@pytest.fixture
def old_database(transactional_db):
    """The database as commit e765f1b wrote it."""
    migrate(("station", "0002_account"))
    with connection.cursor() as cursor:
        for line in (OLD / "e765f1b.sql").read_text().splitlines():
            if line.startswith("INSERT"):
                # There, %s is the place of a parameter.
                cursor.execute(line.replace("%", "%%"), ())
    yield
    migrate()


def rows_as_written() -> list[tuple[Any, ...]]:
    names = "id, message_id, action, payload, session_id, created_at, status, attempts, next_attempt_at, last_error"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {names} FROM station_outboxmessage ORDER BY id")  # noqa: S608 - names of this test
        return [(*row[:3], json.loads(row[3]), *row[4:]) for row in cursor.fetchall()]


def samples_as_written() -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute('SELECT session_id, at, context, "values" FROM station_metersample ORDER BY id')
        return [(*row[:3], json.loads(row[3])) for row in cursor.fetchall()]


def on_the_wire() -> list[dict[str, Any]]:
    found = []
    for row in OutboxMessage.objects.exclude(status="delivered").select_related("session").order_by("id"):
        number = row.session.transaction_id if row.session else None
        message = render(outbox_store.fact_of(row), transaction_id=number)
        payload = payload_of(message)
        found.append({"id": row.pk, "message_id": row.message_id, "action": type(message).__name__, "payload": payload})
    return found


def test_a_backlog_of_wire_payloads_becomes_facts_and_goes_out_as_the_same_messages(old_database: None) -> None:
    expected = json.loads((OLD / "e765f1b_wire.json").read_text())
    migrate()

    assert on_the_wire() == expected[:-1]
    facts = json.dumps(list(OutboxMessage.objects.values_list("fact", flat=True)))
    assert not re.search("sampledValue|transactionId|meterStart|idTag", facts)


def test_a_session_running_through_the_update_ends_with_all_that_was_kept_before(old_database: None) -> None:
    expected = json.loads((OLD / "e765f1b_wire.json").read_text())[-1]
    migrate()
    session = ChargingSession.objects.running().get()
    at = session.started_at + timedelta(minutes=4)
    end = Sample(at=at, reading=END, context=ReadingContext.TRANSACTION_END, offered=PAUSE)
    sessions.end_session(
        session.pk,
        reason="Remote",
        meter=WattHour(1600),
        at=Stamp(at=at),
        end=meter_value(end, parse_measurands(LISTS, 50)),
    )

    last = on_the_wire()[-1]
    assert (last["action"], last["payload"]) == (expected["action"], expected["payload"])


def test_the_way_back_restores_every_message_that_is_owed(old_database: None) -> None:
    messages, samples = rows_as_written(), samples_as_written()
    migrate()
    migrate(("station", "0002_account"))

    def without_data(row: tuple[Any, ...]) -> tuple[Any, ...]:
        # What the backend has taken need not be kept in full.
        return (*row[:3], {key: row[3][key] for key in row[3] if key != "transactionData"}, *row[4:])

    assert [row if row[6] != "delivered" else without_data(row) for row in messages] == rows_as_written()
    assert samples_as_written() == samples


def test_a_message_nobody_can_read_is_kept_and_set_aside(old_database: None) -> None:
    odd = {
        "connectorId": 1,
        "meterValue": [{"timestamp": "2026-11-20T08:00:00.000Z", "sampledValue": [{"value": "x"}]}],
    }
    with connection.cursor() as cursor:
        cursor.execute("UPDATE station_outboxmessage SET payload = %s WHERE id = 6", (json.dumps(odd),))
    migrate()

    row = OutboxMessage.objects.get(id=6)
    assert row.fact == {"payload": odd}
    assert row.status == "set_aside"
    migrate(("station", "0002_account"))
    assert next(row[3] for row in rows_as_written() if row[0] == 6) == odd
