"""A database that is lost: what calibrated meters have signed brings its sessions back, and the backend hears once."""

from typing import Any

import pytest
from django.forms.models import model_to_dict

from hardware.runtime import archive
from ocpp_client.outgoing import outbox_store
from station import clock
from station.domain.facts import FactKind
from station.models import BackendState, ChargingSession, Connector, LogEntry, MeterSample, OutboxMessage
from station.services import session_rebuilding, signed_archive
from tests.db.hardware.runtime.bench import CARD, ControlLoopBench, in_virtual_time
from tests.db.hardware.runtime.test_signed_metering import _meter, _signed_in, _signing, _stop  # noqa: F401 - a fixture
from tests.db.ocpp_client.conftest import FakeList
from tests.fakes import Car

pytestmark = pytest.mark.django_db
TRANSACTION = 4711


@pytest.fixture(autouse=True)
def _signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "PROBE_S", 5.0)


def _deliver(most: int = 100) -> list[str]:
    """Let the backend take what is owed; return what that was."""
    taken: list[str] = []
    while len(taken) < most:
        claimed = outbox_store.claim(clock.now(), None)
        if not isinstance(claimed, outbox_store.Claimed):
            break
        is_start = OutboxMessage.objects.get(id=claimed.id).kind == FactKind.SESSION_BEGAN
        answer: dict[str, Any] = {"idTagInfo": {"status": "Accepted"}, "transactionId": TRANSACTION} if is_start else {}
        outbox_store.settle(claimed.id, claimed.message_id, answer, clock.now(), FakeList())
        taken.append(type(claimed.fact).__name__)
    return taken


def _lose_the_database() -> None:
    for model in (MeterSample, OutboxMessage, ChargingSession, LogEntry, Connector, BackendState):
        model.objects.all().delete()


async def _crash_without_database(bench: ControlLoopBench) -> session_rebuilding.Rebuilt:
    await bench.kill()
    _lose_the_database()
    rebuilt = session_rebuilding.rebuild()
    assert session_rebuilding.rebuild() == session_rebuilding.Rebuilt()
    await bench.start()
    return rebuilt


@in_virtual_time
async def test_an_open_transaction_gets_its_stop_with_the_signed_end(bench: ControlLoopBench) -> None:
    await bench.charge()
    assert _deliver() == ["SessionBegan"]
    bench.hall.outlets[1].unplug()
    assert await _crash_without_database(bench) == session_rebuilding.Rebuilt(sessions=1, owed=0)
    await bench.until(lambda: bench.messages("StopTransaction"), seconds=60)
    (name, stop), *more = bench.messages()
    assert (name, more, stop["transactionId"]) == ("StopTransaction", [], TRANSACTION)
    assert [raw for _, raw in _signed_in(stop)] == _meter(bench).records
    row = ChargingSession.objects.get()
    assert (row.id_tag, row.transaction_id, row.signed_begin) == (CARD, TRANSACTION, 1)
    assert signed_archive.check().problems == ()


@in_virtual_time
async def test_a_session_goes_on_when_only_the_software_was_away(bench: ControlLoopBench) -> None:
    await bench.charge()
    _deliver()
    await bench.until(lambda: (bench.control_loop.points[1].register_wh or 0) > 20, seconds=60)
    await _crash_without_database(bench)
    await bench.phase("charging")
    assert not bench.control_loop.points[1].active_faults
    await _stop(bench)
    assert [name for name, _ in bench.messages()] == ["StopTransaction"]


@in_virtual_time
async def test_what_the_backend_has_taken_is_not_told_again(bench: ControlLoopBench) -> None:
    await bench.charge()
    await _stop(bench)
    assert _deliver() == ["SessionBegan", "SessionEnded"]
    before = model_to_dict(ChargingSession.objects.get())
    assert await _crash_without_database(bench) == session_rebuilding.Rebuilt(sessions=1, owed=0)
    assert bench.messages() == []
    after = model_to_dict(ChargingSession.objects.get())
    same = ("id_tag", "transaction_id", "meter_start_wh", "meter_stop_wh", "stop_reason", "stop_id_tag", "meter_serial")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert after["stopped_at"] == before["stopped_at"]


@in_virtual_time
async def test_what_the_backend_has_not_taken_is_told_once_and_its_begin_under_the_same_id(
    bench: ControlLoopBench,
) -> None:
    await bench.charge()
    await _stop(bench)
    before = bench.messages()
    start_id = OutboxMessage.objects.earliest("id").message_id
    assert await _crash_without_database(bench) == session_rebuilding.Rebuilt(sessions=1, owed=2)
    after = bench.messages()
    assert [name for name, _ in after] == ["StartTransaction", "StopTransaction"]
    assert OutboxMessage.objects.earliest("id").message_id == start_id
    for (_, told), (_, again) in zip(before, after, strict=True):
        for name in ("meterStart", "meterStop", "idTag", "reason"):
            assert told.get(name) == again.get(name)
        assert told["timestamp"][:19] == again["timestamp"][:19]
    assert _signed_in(before[-1][1]) == _signed_in(after[-1][1])
    assert _deliver() == ["SessionBegan", "SessionEnded"]


@in_virtual_time
async def test_a_begin_that_became_no_session_is_none_afterwards_either(bench: ControlLoopBench) -> None:
    meter = _meter(bench)
    meter.loses_answers = 1
    bench.hall.outlets[1].plug(Car())
    await bench.until(lambda: bench.control_loop.points[1].waits_for_card)
    assert not (await bench.control_loop.admission.present_tag(CARD, None, origin="reader")).succeeded
    assert await _crash_without_database(bench) == session_rebuilding.Rebuilt()


@in_virtual_time
async def test_a_power_cut_and_the_loss_of_the_database_end_a_session_at_the_last_sign_of_life(
    bench: ControlLoopBench,
) -> None:
    await bench.charge()
    _deliver()
    began = clock.now()
    await bench.until(lambda: (clock.now() - began).total_seconds() > 30, seconds=40)
    last = clock.now()
    bench.hall.outlets[1].unplug()
    bench.hall.outlets[1].released = False
    await _crash_without_database(bench)
    await bench.until(lambda: bench.messages("StopTransaction"), seconds=60)
    row = ChargingSession.objects.get()
    assert row.stopped_at is not None
    assert -10 < (row.stopped_at - last).total_seconds() < 10


@in_virtual_time
async def test_a_database_that_has_a_running_session_of_its_own_does_not_stop_the_start(
    bench: ControlLoopBench,
) -> None:
    await bench.charge()
    await bench.kill()
    # The copy holds an earlier session, and nothing of the one the meter measures.
    MeterSample.objects.all().delete()
    OutboxMessage.objects.all().delete()
    ChargingSession.objects.update(signed_begin=None)

    assert session_rebuilding.rebuild().sessions == 1

    (running,) = ChargingSession.objects.running()
    assert running.signed_begin is None
