"""With a calibrated meter a session has a signed begin and a signed end, each archived before it is told."""

import asyncio
import base64
import json
from typing import Any

import pytest

from hardware.runtime import archive, records
from hardware.runtime.signed_metering import Signing
from station import clock
from station.domain import ocmf
from station.domain.commands import Refusal
from station.domain.faults import FaultCode
from station.models import ChargingSession, Connector, LogEntry, OutboxMessage
from station.services import event_log, signed_archive
from station.services.signed_archive import Entry, Kind
from tests.db.hardware.runtime.bench import CARD, ControlLoopBench, configure, in_virtual_time
from tests.fakes import Car, Hall
from tests.ocmf import reading
from tests.signing_meter import FakeSigningMeter

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _signing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every meter on the bench be one that signs."""
    build = Hall.build

    def with_signing_meters(*args: Any) -> Hall:
        hall = build(*args)
        hall.meters = {number: FakeSigningMeter(outlet) for number, outlet in hall.outlets.items()}
        return hall

    monkeypatch.setattr(Hall, "build", with_signing_meters)


def _meter(bench: ControlLoopBench) -> FakeSigningMeter:
    meter = bench.hall.meters[1]
    assert isinstance(meter, FakeSigningMeter)
    return meter


def _kept() -> list[tuple[Kind, bytes]]:
    return [(each.entry.kind, each.entry.raw) for each in signed_archive.everything()]


def _signed_in(message: dict[str, Any]) -> list[tuple[str, bytes]]:
    """Return context and record of every signed value of a message."""
    found = []
    for value in message.get("transactionData") or message.get("meterValue") or []:
        for sampled in value["sampledValue"]:
            if sampled["format"] == "SignedData":
                content = json.loads(sampled["value"])
                found.append((sampled["context"], base64.b64decode(content["signedMeterData"])))
    return found


async def _stop(bench: ControlLoopBench) -> None:
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: not ChargingSession.objects.running().exists(), seconds=60)


async def _stopped_message(bench: ControlLoopBench) -> dict[str, Any]:
    await _stop(bench)
    return bench.messages("StopTransaction")[-1][1]


async def _ended_by_a_silent_meter(bench: ControlLoopBench) -> FakeSigningMeter:
    """Charge, and end without a signed value: the meter says nothing from the end on."""
    await bench.charge()
    meter = _meter(bench)
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: bench.control_loop.points[1].state.phase == "ending")
    meter.silent = True
    await bench.until(lambda: bench.messages("StopTransaction"), seconds=90)
    return meter


@in_virtual_time
async def test_a_session_has_a_signed_begin_and_a_signed_end(bench: ControlLoopBench) -> None:
    await bench.charge()
    message = await _stopped_message(bench)
    meter = _meter(bench)
    begin, end = meter.records
    assert _kept() == [(Kind.BEGIN, begin), (Kind.END, end)]
    assert _signed_in(message) == [("Transaction.Begin", begin), ("Transaction.End", end)]
    assert ocmf.check_session([begin, end], meter.signer.public_key) == ()
    first, last = ocmf.parse(begin).begin, ocmf.parse(end).end
    assert first is not None
    assert last is not None
    (_, start), *_ = bench.messages("StartTransaction")
    assert (start["meterStart"], message["meterStop"]) == (first.register_wh, last.register_wh)
    assert last.transaction == "L"


@in_virtual_time
async def test_signed_values_go_out_when_nothing_else_is_asked_for(bench: ControlLoopBench) -> None:
    configure({"StopTxnSampledData": "", "StopTxnAlignedData": ""})
    await bench.control_loop.informed(_configuration_changed())
    await bench.charge()
    message = await _stopped_message(bench)
    assert [context for context, _ in _signed_in(message)] == ["Transaction.Begin", "Transaction.End"]


@in_virtual_time
async def test_the_begin_is_told_at_once_where_the_backend_wants_it(bench: ControlLoopBench) -> None:
    configure({"SampledDataSignStartedReadings": "true", "MeterValueSampleInterval": "0"})
    await bench.control_loop.informed(_configuration_changed())
    await bench.charge()
    names = [name for name, _ in bench.messages()]
    assert names[:2] == ["StartTransaction", "MeterValues"]
    assert _signed_in(bench.messages("MeterValues")[0][1]) == [("Transaction.Begin", _meter(bench).records[0])]


@in_virtual_time
async def test_nothing_signed_is_told_where_the_backend_does_not_want_it_and_all_is_kept(
    bench: ControlLoopBench,
) -> None:
    configure({"SampledDataSignReadings": "false"})
    await bench.control_loop.informed(_configuration_changed())
    await bench.charge()
    assert _signed_in(await _stopped_message(bench)) == []
    assert [kind for kind, _ in _kept()] == [Kind.BEGIN, Kind.END]


def _configuration_changed() -> Any:
    from station.services.messages import ConfigurationChanged

    return ConfigurationChanged()


@in_virtual_time
async def test_no_energy_flows_and_nothing_is_told_before_the_begin_is_signed(bench: ControlLoopBench) -> None:
    _meter(bench).signs_s = 20.0
    bench.hall.outlets[1].plug(Car())
    await bench.until(lambda: bench.control_loop.points[1].waits_for_card)
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: _meter(bench).opened is not None)
    served = bench.control_loop.points[1].served_at_s
    await bench.until(lambda: bench.control_loop.points[1].served_at_s > served + 10, seconds=12)
    assert not bench.hall.outlets[1].released
    assert bench.messages() == []
    assert not ChargingSession.objects.exists()
    await bench.phase("charging", seconds=15)


@in_virtual_time
async def test_a_meter_that_does_not_begin_refuses_the_session_with_its_reason(bench: ControlLoopBench) -> None:
    _meter(bench).refuses_to_begin = True
    bench.hall.outlets[1].plug(Car())
    await bench.until(lambda: bench.control_loop.points[1].waits_for_card)
    outcome = await bench.control_loop.admission.present_tag(CARD, None, origin="reader")
    assert outcome.reason is Refusal.METER_DOES_NOT_SIGN
    assert not ChargingSession.objects.exists()
    assert bench.messages() == []
    assert LogEntry.objects.filter(code="signing.begin_failed").exists()
    _meter(bench).refuses_to_begin = False
    assert (await bench.control_loop.admission.present_tag(CARD, None, origin="reader")).succeeded


@in_virtual_time
async def test_a_begin_whose_answer_was_lost_is_kept_ended_and_never_a_session(bench: ControlLoopBench) -> None:
    meter = _meter(bench)
    meter.loses_answers = 1
    bench.hall.outlets[1].plug(Car())
    await bench.until(lambda: bench.control_loop.points[1].waits_for_card)
    assert not (await bench.control_loop.admission.present_tag(CARD, None, origin="reader")).succeeded
    assert meter.opened is None
    assert [raw for _, raw in _kept()] == meter.records
    assert ocmf.parse(meter.records[1]).readings[0].transaction == "A"
    assert signed_archive.check().problems == ()


@in_virtual_time
async def test_an_end_whose_answer_was_lost_is_found_again(bench: ControlLoopBench) -> None:
    await bench.charge()
    _meter(bench).loses_answers = 1
    message = await _stopped_message(bench)
    assert [raw for _, raw in _signed_in(message)] == _meter(bench).records
    assert len(_meter(bench).records) == 2


@in_virtual_time
async def test_the_end_waits_for_the_signature_while_the_point_watches_its_plug(bench: ControlLoopBench) -> None:
    await bench.charge()
    _meter(bench).signs_s = 25.0
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: _meter(bench).opened is None)
    bench.hall.outlets[1].unplug()
    await bench.until(lambda: not bench.control_loop.points[1].pilot.connected, seconds=2)
    assert bench.messages("StopTransaction") == []
    await bench.until(lambda: bench.messages("StopTransaction"), seconds=30)
    assert len(_signed_in(bench.messages("StopTransaction")[0][1])) == 2


@in_virtual_time
async def test_a_process_that_dies_while_the_end_is_signed_finds_it_afterwards(bench: ControlLoopBench) -> None:
    await bench.charge()
    _meter(bench).signs_s = 5.0
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: _meter(bench).opened is None)
    await bench.kill()
    await bench.start()
    await bench.until(lambda: bench.messages("StopTransaction"), seconds=30)
    (_, message), *_ = bench.messages("StopTransaction")
    assert [raw for _, raw in _signed_in(message)] == _meter(bench).records
    assert [kind for kind, _ in _kept()] == [Kind.BEGIN, Kind.END]


@in_virtual_time
async def test_a_power_cut_inside_a_session_leaves_a_valid_end(bench: ControlLoopBench) -> None:
    await bench.charge()
    await bench.kill()
    bench.hall.outlets[1].unplug()
    bench.hall.outlets[1].released = False
    await bench.start()
    await bench.until(lambda: bench.messages("StopTransaction"), seconds=30)
    begin, end = _meter(bench).records
    assert ocmf.check_session([begin, end], _meter(bench).signer.public_key) == ()
    assert ocmf.parse(end).readings[0].transaction == "P"
    assert [raw for _, raw in _signed_in(bench.messages("StopTransaction")[0][1])] == [begin, end]


@in_virtual_time
async def test_a_power_cut_before_the_session_was_written_leaves_no_open_transaction(bench: ControlLoopBench) -> None:
    meter = _meter(bench)
    meter.signs_s = 10.0
    bench.hall.outlets[1].plug(Car())
    await bench.until(lambda: bench.control_loop.points[1].waits_for_card)
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: meter.opened is not None)
    await bench.kill()
    await bench.start()
    await bench.until(lambda: len(_kept()) == 2, seconds=30)
    assert meter.opened is None
    assert [raw for _, raw in _kept()] == meter.records
    assert not ChargingSession.objects.exists()


@in_virtual_time
async def test_a_session_without_a_signed_end_gets_no_other_value_in_its_place(bench: ControlLoopBench) -> None:
    meter = await _ended_by_a_silent_meter(bench)
    (_, message), *_ = bench.messages("StopTransaction")
    assert [context for context, _ in _signed_in(message)] == ["Transaction.Begin"]
    assert LogEntry.objects.filter(code="signing.end_missing").exists()
    # What the meter signs later belongs to that session all the same.
    meter.silent = False
    await bench.until(lambda: bench.control_loop.points[1].equipment.meter_ok)
    bench.hall.outlets[1].unplug()
    await bench.phase("available")
    await bench.charge()
    begin = signed_archive.of_session(1)
    assert [each.entry.kind for each in begin] == [Kind.BEGIN, Kind.END]


@in_virtual_time
async def test_an_archive_that_cannot_be_written_refuses_sessions_and_is_told(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise signed_archive.ArchiveUnusable("database or disk is full")

    monkeypatch.setattr(archive, "PROBE_S", 2.0)
    with monkeypatch.context() as patch:
        patch.setattr(signed_archive, "probe", full)
        await bench.until(
            lambda: FaultCode.REGULATORY_COMPLIANCE_FAILURE in bench.control_loop.state.active_faults, seconds=90
        )
        bench.hall.outlets[1].plug(Car())
        await bench.until(lambda: bench.control_loop.points[1].pilot.connected)
        outcome = await bench.control_loop.admission.present_tag(CARD, None, origin="reader")
        assert outcome.reason is Refusal.CONNECTOR_FAULTED
        assert "Faulted" in bench.statuses(0)
        await bench.until(lambda: Connector.objects.get(number=0).info == archive.NOT_WRITABLE)
    await bench.until(lambda: not bench.control_loop.state.active_faults, seconds=10)
    assert (await bench.control_loop.admission.present_tag(CARD, None, origin="reader")).succeeded


@in_virtual_time
async def test_a_record_the_meter_has_not_signed_ends_the_trust_in_it(bench: ControlLoopBench) -> None:
    _meter(bench).falsifies = True
    bench.hall.outlets[1].plug(Car())
    await bench.until(lambda: bench.control_loop.points[1].waits_for_card)
    outcome = await bench.control_loop.admission.present_tag(CARD, None, origin="reader")
    assert outcome.reason is Refusal.METER_DOES_NOT_SIGN
    assert FaultCode.REGULATORY_COMPLIANCE_FAILURE in bench.control_loop.points[1].active_faults
    assert not bench.control_loop.state.active_faults
    assert not ChargingSession.objects.exists()


@in_virtual_time
async def test_a_record_the_line_has_damaged_is_read_once_more(bench: ControlLoopBench) -> None:
    _meter(bench).line_damages = 1
    await bench.charge()
    assert [raw for _, raw in _kept()] == _meter(bench).records
    assert not bench.control_loop.points[1].active_faults


@pytest.mark.parametrize("points", [2])
@in_virtual_time
async def test_a_meter_that_signs_wrongly_stops_its_own_point_only(bench: ControlLoopBench) -> None:
    _meter(bench).falsifies = True
    await _is_turned_back(bench)
    assert FaultCode.REGULATORY_COMPLIANCE_FAILURE in bench.control_loop.points[1].active_faults
    # The backend's people read whose meter it is and what to do; the code is that of the catalogue.
    await bench.until(lambda: Connector.objects.get(number=1).info == "Meter of point 1 signs wrongly: check it")
    assert Connector.objects.get(number=1).vendor_error_code == "RegulatoryComplianceFailure"
    bench.hall.outlets[1].unplug()
    await bench.charge(2)
    assert bench.statuses(2)[-1] == "Charging"


@in_virtual_time
async def test_a_point_whose_meter_signs_as_it_should_again_works_without_a_restart(bench: ControlLoopBench) -> None:
    meter = _meter(bench)
    meter.falsifies = True
    await _is_turned_back(bench)
    meter.falsifies = False
    # Somebody at the meter lets it sign its state.
    meter.records[-1] = meter.signer.record(f"T{len(meter.records)}", reading("E", "5.00"))
    await bench.until(lambda: not bench.control_loop.points[1].active_faults, seconds=70)
    await bench.until(lambda: bench.control_loop.points[1].waits_for_card)


@in_virtual_time
async def test_a_point_whose_meter_was_looked_into_works_without_a_restart(bench: ControlLoopBench) -> None:
    meter = _meter(bench)
    meter.falsifies = True
    await _is_turned_back(bench)
    meter.falsifies = False
    signed_archive.append(
        Entry(at=clock.now(), kind=Kind.NOTE, connector_id=0, meter_serial="M1", public_key="", raw=b"")
    )
    await bench.until(lambda: not bench.control_loop.points[1].active_faults, seconds=70)
    bench.hall.outlets[1].unplug()
    await bench.phase("available")
    await bench.charge()


@in_virtual_time
async def test_a_gap_that_was_noted_stops_nobody_any_more(bench: ControlLoopBench) -> None:
    meter = _meter(bench)
    await bench.charge()
    await _stop(bench)
    bench.hall.outlets[1].unplug()
    await bench.phase("available")
    # Another station has measured with this meter.
    meter.records += meter.records
    bench.hall.outlets[1].plug(Car())
    await bench.until(lambda: bench.control_loop.points[1].waits_for_card)
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: bench.control_loop.state.active_faults)
    signed_archive.append(
        Entry(at=clock.now(), kind=Kind.NOTE, connector_id=0, meter_serial="M1", public_key="", raw=b"")
    )
    await bench.until(lambda: not bench.control_loop.state.active_faults, seconds=70)


async def _is_turned_back(bench: ControlLoopBench) -> None:
    bench.hall.outlets[1].plug(Car())
    await bench.until(lambda: bench.control_loop.points[1].waits_for_card)
    outcome = await bench.control_loop.admission.present_tag(CARD, 1, origin="reader")
    assert outcome.reason is Refusal.METER_DOES_NOT_SIGN


@in_virtual_time
async def test_the_point_is_finishing_while_its_end_is_signed(bench: ControlLoopBench) -> None:
    await bench.charge()
    _meter(bench).signs_s = 25.0
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: _meter(bench).opened is None)
    await bench.until(lambda: bench.statuses()[-1] == "Finishing", seconds=3)
    assert bench.messages("StopTransaction") == []
    await bench.until(lambda: bench.messages("StopTransaction"), seconds=30)
    assert bench.statuses().count("Finishing") == 1


@in_virtual_time
async def test_the_end_waits_no_longer_than_the_meter_may_take(bench: ControlLoopBench) -> None:
    await bench.charge()
    meter = _meter(bench)
    meter.signs_s = 300.0
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: meter.opened is None)
    await bench.until(lambda: bench.messages("StopTransaction"), seconds=meter.longest_signing_s + 8.0)


@in_virtual_time
async def test_a_lost_end_is_fetched_as_soon_as_the_meter_is_back_and_told(bench: ControlLoopBench) -> None:
    meter = await _ended_by_a_silent_meter(bench)
    OutboxMessage.objects.update(attempts=1)
    meter.silent = False
    await bench.until(lambda: len(_kept()) == 2, seconds=30)
    assert _kept() == [(Kind.BEGIN, meter.records[0]), (Kind.END, meter.records[1])]
    await bench.until(lambda: bench.messages("MeterValues"))
    assert _signed_in(bench.messages()[-1][1]) == [("Transaction.End", meter.records[1])]
    await bench.until(lambda: LogEntry.objects.filter(code="signing.end_found", connector_id=1).exists())


@in_virtual_time
async def test_a_late_end_that_was_archived_before_the_process_died_is_told_once(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = await _ended_by_a_silent_meter(bench)
    OutboxMessage.objects.update(attempts=1)

    async def dies(*_: Any) -> None:
        await asyncio.Event().wait()

    with monkeypatch.context() as killed:
        killed.setattr(Signing, "_tell_late", dies)
        meter.silent = False
        await bench.until(lambda: len(_kept()) == 2, seconds=30)
        await bench.kill()
    assert not bench.messages("MeterValues")
    await bench.start()
    await bench.until(lambda: bench.messages("MeterValues"), seconds=30)
    assert _signed_in(bench.messages()[-1][1]) == [("Transaction.End", meter.records[1])]
    # Told and died again: neither the next start nor the next session tells it once more.
    await bench.kill()
    await bench.start()
    bench.hall.outlets[1].unplug()
    await bench.phase("available")
    await bench.charge()
    assert len(bench.messages("MeterValues")) == 1
    assert LogEntry.objects.filter(code="signing.end_found").count() == 1
    assert len(_kept()) == 3


@in_virtual_time
async def test_a_lost_end_goes_with_a_stop_that_still_waits(bench: ControlLoopBench) -> None:
    meter = await _ended_by_a_silent_meter(bench)
    await bench.kill()
    meter.silent = False
    await bench.start()
    await bench.until(lambda: len(_signed_in(bench.messages("StopTransaction")[0][1])) == 2, seconds=30)
    assert [raw for _, raw in _signed_in(bench.messages("StopTransaction")[0][1])] == meter.records
    assert len(_kept()) == 2


@in_virtual_time
async def test_the_contexts_of_safe_say_what_goes_out_signed(bench: ControlLoopBench) -> None:
    configure(
        {"StopTransactionSignatureContexts": "transaction.end", "MeterValuesSignatureContexts": "Transaction.Begin"}
    )
    await bench.control_loop.informed(_configuration_changed())
    await bench.charge()
    message = await _stopped_message(bench)
    assert [context for context, _ in _signed_in(message)] == ["Transaction.End"]
    assert [context for context, _ in _signed_in(bench.messages("MeterValues")[0][1])] == ["Transaction.Begin"]


@in_virtual_time
async def test_a_meter_that_cannot_read_its_register_stops_nobody_but_who_comes_meanwhile(
    bench: ControlLoopBench,
) -> None:
    meter = _meter(bench)
    meter.cannot_read_register = True
    bench.hall.outlets[1].plug(Car())
    await bench.until(lambda: bench.control_loop.points[1].waits_for_card)
    outcome = await bench.control_loop.admission.present_tag(CARD, None, origin="reader")
    assert outcome.reason is Refusal.METER_DOES_NOT_SIGN
    assert not bench.control_loop.state.active_faults
    meter.cannot_read_register = False
    await bench.until(lambda: bench.control_loop.points[1].waits_for_card)
    assert (await bench.control_loop.admission.present_tag(CARD, None, origin="reader")).succeeded


@in_virtual_time
async def test_an_end_without_a_value_is_logged_and_the_next_session_begins(bench: ControlLoopBench) -> None:
    await bench.charge()
    meter = _meter(bench)
    meter.cannot_read_register = True
    await _stop(bench)
    assert LogEntry.objects.filter(code="signing.end_unreliable", connector_id=1).exists()
    meter.cannot_read_register = False
    bench.hall.outlets[1].unplug()
    await bench.phase("available")
    await bench.charge()
    assert ChargingSession.objects.count() == 2


@in_virtual_time
async def test_an_archive_that_is_in_order_again_ends_what_an_earlier_start_told(bench: ControlLoopBench) -> None:
    event_log.begin("signed_archive.unusable", at=clock.now(), reason="rows_missing: 13")
    await archive.Archive(bench.control_loop.records, bench.control_loop.state).check()
    assert not LogEntry.objects.filter(code="signed_archive.unusable", cleared_at=None).exists()


def test_what_the_backend_is_told_of_the_archive_fits_into_a_status() -> None:
    # OCPP 1.6 section 6.47: info is a CiString50Type.
    for told in (archive.NOT_WRITABLE, archive.NOT_COMPLETE, archive.MISSING_OF_POINT.format(number=99)):
        assert len(told) <= 50
    assert len(records.NOT_RECORDED) <= 50
