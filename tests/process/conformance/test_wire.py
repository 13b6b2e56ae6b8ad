"""The frames themselves: OCPP-J, and what must not disturb the station."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.backend import Backend, BackendCallError, CallError, Delay, Frame, Garbage, Silence, Twice
from tests.process.conformance.bench import CARD, KEY, PATIENCE_S, ConformanceBench, Payload, never, section


def answer_to(bench: ConformanceBench, text: str, message_id: str) -> Frame:
    """Send a text as it is and give the frame the station answers with."""
    mark = bench.mark()
    bench.backend.send_raw(text)

    def answered(backend: Backend) -> Frame | None:
        fits = (one for one in backend.frames[mark:] if one.from_station and one.message_id == message_id)
        return next((one for one in fits if one.kind in {"result", "error"}), None)

    return bench.backend.wait_until(answered, timeout=PATIENCE_S)


def still_well(bench: ConformanceBench) -> None:
    assert bench.value("NumberOfConnectors") == "2"


def silent_after(bench: ConformanceBench, text: str | bytes) -> None:
    mark = bench.mark()
    bench.backend.send_raw(text)
    still_well(bench)
    answers = [one for one in bench.backend.frames[mark:] if one.from_station]
    assert len(answers) == 1


@section("J 3.1.1", "J 3.3")
def test_the_station_asks_for_the_subprotocol_and_appends_its_identity_to_the_path(bench: ConformanceBench) -> None:
    connection = bench.backend.wait_connected()

    assert connection.headers["sec-websocket-protocol"] == "ocpp1.6"
    assert connection.path == f"/{connection.station}"
    assert connection.station.startswith("TE")


@section("J 6.2.2", "W A00.FR.203")
def test_basic_authentication_carries_identity_and_key(bench: ConformanceBench) -> None:
    import base64

    connection = bench.backend.wait_connected()
    scheme, _, credentials = connection.headers["authorization"].partition(" ")

    assert scheme == "Basic"
    assert base64.b64decode(credentials) == f"{connection.station}:{KEY}".encode()


@section("J 4.1.4", "J 4.2.1")
def test_message_ids_of_the_station_are_unique_and_at_most_36_characters(bench: ConformanceBench) -> None:
    bench.configure(HeartbeatInterval=1)
    bench.charge()
    bench.wait_for("Heartbeat")
    # Only the repetition of a message that was not answered may carry the id of the first attempt.
    contents = {(frame.message_id, frame.text) for frame in bench.backend.received()}

    ids = [message_id for message_id, _ in contents]
    assert len(set(ids)) == len(ids)
    assert all(one and len(one) <= 36 for one in ids)


@section("J 4.2.3")
@pytest.mark.parametrize(
    "action", ["FlyToTheMoon", "Authorize", "BootNotification", "StatusNotification", "getConfiguration", ""]
)
def test_an_action_no_station_knows_is_not_implemented(bench: ConformanceBench, action: str) -> None:
    assert bench.refusal(action) == "NotImplemented"


@section("J 4.2.3")
@pytest.mark.parametrize(
    ("action", "payload", "code"),
    [
        ("ChangeAvailability", {"connectorId": 1}, "OccurenceConstraintViolation"),
        ("ChangeAvailability", {"connectorId": "1", "type": "Operative"}, "TypeConstraintViolation"),
        ("ChangeAvailability", {"connectorId": 1.5, "type": "Operative"}, "TypeConstraintViolation"),
        ("ChangeAvailability", {"connectorId": 1, "type": "Sleepy"}, "PropertyConstraintViolation"),
        ("ChangeAvailability", {"connectorId": None, "type": "Operative"}, "TypeConstraintViolation"),
        ("ChangeConfiguration", {"key": "A"}, "OccurenceConstraintViolation"),
        ("ChangeConfiguration", {"key": "A" * 51, "value": "1"}, "PropertyConstraintViolation"),
        ("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "1" * 501}, "PropertyConstraintViolation"),
        ("ChangeConfiguration", {"key": "HeartbeatInterval", "value": 60}, "TypeConstraintViolation"),
        ("GetConfiguration", {"key": "HeartbeatInterval"}, "TypeConstraintViolation"),
        ("GetConfiguration", {"key": [1]}, "TypeConstraintViolation"),
        ("RemoteStartTransaction", {}, "OccurenceConstraintViolation"),
        ("RemoteStartTransaction", {"idTag": "A" * 21}, "PropertyConstraintViolation"),
        ("RemoteStopTransaction", {"transactionId": "1"}, "TypeConstraintViolation"),
        ("Reset", {"type": "Lukewarm"}, "PropertyConstraintViolation"),
        ("Reset", {}, "OccurenceConstraintViolation"),
        ("UnlockConnector", {}, "OccurenceConstraintViolation"),
        ("TriggerMessage", {"requestedMessage": "Weather"}, "PropertyConstraintViolation"),
        ("SendLocalList", {"listVersion": 1}, "OccurenceConstraintViolation"),
        ("SendLocalList", {"listVersion": 1, "updateType": "Some"}, "PropertyConstraintViolation"),
        ("ReserveNow", {"connectorId": 1}, "OccurenceConstraintViolation"),
        ("CancelReservation", {"reservationId": True}, "TypeConstraintViolation"),
        ("GetCompositeSchedule", {"connectorId": 1}, "OccurenceConstraintViolation"),
        ("DataTransfer", {"vendorId": "A" * 256}, "PropertyConstraintViolation"),
        ("GetDiagnostics", {}, "OccurenceConstraintViolation"),
        ("UpdateFirmware", {"location": "ftp://127.0.0.1/x"}, "OccurenceConstraintViolation"),
    ],
)
def test_a_payload_against_the_schema_is_refused_with_the_code_that_names_the_mistake(
    bench: ConformanceBench, action: str, payload: Payload, code: str
) -> None:
    assert bench.refusal(action, **payload) == code


@contextmanager
def switched_off(bench: ConformanceBench, profile: str) -> Iterator[None]:
    """Take a feature profile away, as a provisioning would."""
    everything = str(bench.value("SupportedFeatureProfiles"))
    others = ",".join(one for one in everything.split(",") if one != profile)
    bench.station.config_set({"SupportedFeatureProfiles": others})
    try:
        yield
    finally:
        bench.station.config_set({"SupportedFeatureProfiles": everything})


RESERVATION = {"connectorId": 1, "idTag": "A", "reservationId": 1, "expiryDate": "2099-01-01T00:00:00Z"}


@section("J 4.2.3", "S 9.1.24", "S 5.1", "S 5.9", "S 5.10", "S 5.13", "S 5.15", "S 5.17", "S 5.5")
@pytest.mark.parametrize(
    ("profile", "action", "payload", "reply"),
    [
        ("Reservation", "ReserveNow", RESERVATION, {"status": "Rejected"}),
        ("Reservation", "CancelReservation", {"reservationId": 1}, {"status": "Rejected"}),
        (
            "LocalAuthListManagement",
            "SendLocalList",
            {"listVersion": 5, "updateType": "Full", "localAuthorizationList": []},
            {"status": "NotSupported"},
        ),
        ("LocalAuthListManagement", "GetLocalListVersion", {}, {"listVersion": -1}),
        (
            "LocalAuthListManagement",
            "ChangeConfiguration",
            {"key": "LocalAuthListEnabled", "value": "true"},
            {"status": "NotSupported"},
        ),
        ("FirmwareManagement", "GetDiagnostics", {"location": "ftp://127.0.0.1/"}, {}),
        ("RemoteTrigger", "TriggerMessage", {"requestedMessage": "Heartbeat"}, {"status": "NotImplemented"}),
    ],
)
def test_a_call_of_a_profile_that_is_off_is_answered_in_the_words_of_the_response(
    bench: ConformanceBench, profile: str, action: str, payload: Payload, reply: Payload
) -> None:
    with switched_off(bench, profile):
        assert bench.call(action, **payload) == reply


@section("J 4.2.3", "S 3.13")
@pytest.mark.parametrize(
    ("profile", "action", "payload"),
    [
        ("SmartCharging", "ClearChargingProfile", {}),
        ("SmartCharging", "GetCompositeSchedule", {"connectorId": 1, "duration": 60}),
        (
            "FirmwareManagement",
            "UpdateFirmware",
            {"location": "ftp://127.0.0.1/x", "retrieveDate": "2099-01-01T00:00:00Z"},
        ),
    ],
)
def test_a_call_of_a_profile_that_is_off_and_has_no_word_for_it_is_refused_with_not_supported(
    bench: ConformanceBench, profile: str, action: str, payload: Payload
) -> None:
    with switched_off(bench, profile):
        assert bench.refusal(action, **payload) == "NotSupported"


@section("JE 3.2")
def test_an_unknown_field_beside_the_known_ones_does_no_harm(bench: ConformanceBench) -> None:
    answer = bench.call("GetConfiguration", key=["NumberOfConnectors"], colour="blue")

    assert answer["configurationKey"][0]["value"] == "2"


@section("J 4.2.1")
def test_a_payload_of_null_counts_as_one_without_fields(bench: ConformanceBench) -> None:
    mark = bench.mark()
    bench.backend.send_raw('[2,"null-payload","GetLocalListVersion",null]')

    def answered(backend: Backend) -> Frame | None:
        return next(
            (one for one in backend.frames[mark:] if one.from_station and one.message_id == "null-payload"), None
        )

    frame = bench.backend.wait_until(answered)
    # The central system of the tests did not ask in the usual way, so it takes this for an answer to nothing.
    bench.backend.backend.schema_errors.clear()
    bench.begin()
    assert frame.payload == {"listVersion": 0}


@section("J 4.2.3")
@pytest.mark.parametrize(
    "text",
    ['[2,"{id}","Heartbeat"]', '[2,"{id}"]', '[2,"{id}","Reset",{},{}]', '[2,"{id}","Reset",[]]', '[2,"{id}",5,{}]'],
)
def test_a_call_of_the_wrong_shape_is_a_formation_violation(bench: ConformanceBench, text: str) -> None:
    message_id = str(uuid.uuid4())

    refusal = answer_to(bench, text.replace("{id}", message_id), message_id)

    assert (refusal.kind, refusal.code) == ("error", "FormationViolation")


@section("J 4.2.3")
def test_broken_json_with_a_readable_id_is_a_formation_violation(bench: ConformanceBench) -> None:
    refusal = answer_to(bench, '[2,"broken-1","Reset",{"type":', "broken-1")

    assert (refusal.kind, refusal.code) == ("error", "FormationViolation")


@section("J 4.1.3", "J 4.2")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{}",
        "[]",
        "null",
        "42",
        '"text"',
        '[1,"a","b",{}]',
        '[5,"a",{}]',
        '["2","a","Reset",{"type":"Soft"}]',
        '[3,"nobody-asked",{}]',
        '[4,"nobody-asked","GenericError","",{}]',
        "[3]",
        "[4]",
        b"\x00\x01\x02",
        b'[2,"binary","Reset",{"type":"Soft"}]',
        "[" * 3000,
    ],
)
def test_what_is_no_call_is_passed_over_in_silence(bench: ConformanceBench, text: str | bytes) -> None:
    silent_after(bench, text)


@section("J 4.1.4")
@pytest.mark.parametrize("message_id", [5, None, "", "x" * 500])
def test_a_call_without_a_usable_id_does_no_harm(bench: ConformanceBench, message_id: Any) -> None:
    bench.backend.send_raw(json.dumps([2, message_id, "ClearCache", {}]))

    still_well(bench)


@section("J 4.1.4", "JE 3.1")
def test_the_same_call_twice_has_one_effect_and_the_same_answer(bench: ConformanceBench) -> None:
    bench.plug()
    mark = bench.mark()
    payload = {"idTag": CARD, "connectorId": 1}

    first = bench.backend.call("RemoteStartTransaction", payload, message_id="again-and-again")
    second = bench.backend.call("RemoteStartTransaction", payload, message_id="again-and-again")

    assert first == second == {"status": "Accepted"}
    bench.wait_status("Charging", after=mark)
    assert len(bench.received("StartTransaction", after=mark)) == 1


@section("J 4.1.1")
def test_calls_of_the_backend_are_answered_while_an_own_call_is_under_way(bench: ConformanceBench) -> None:
    bench.backend.script_next("Heartbeat", Delay(seconds=5))
    mark = bench.mark()
    assert bench.status_of("TriggerMessage", requestedMessage="Heartbeat") == "Accepted"
    own = bench.frame("Heartbeat", after=mark)

    still_well(bench)

    answered = [one.message_id for one in bench.backend.frames[mark:] if not one.from_station and one.kind == "result"]
    assert own.message_id not in answered


@section("J 4.1.1")
def test_the_station_has_at_most_one_call_under_way(bench: ConformanceBench) -> None:
    bench.backend.answers["StatusNotification"] = Delay(seconds=0.3)
    bench.backend.script_next("Heartbeat", Delay(seconds=0.5))
    assert bench.status_of("TriggerMessage", requestedMessage="Heartbeat") == "Accepted"
    assert bench.status_of("TriggerMessage", requestedMessage="StatusNotification") == "Accepted"

    bench.wait_for("StatusNotification", connectorId=2)

    assert not bench.backend.backend.overlapping_calls


@section("J 4.1.1")
def test_fifty_calls_at_once_are_all_answered(bench: ConformanceBench) -> None:
    ids = [bench.backend.post("GetConfiguration", {"key": ["NumberOfConnectors"]}) for _ in range(50)]

    answers = [bench.backend.answer(one) for one in ids]

    assert all(one["configurationKey"][0]["value"] == "2" for one in answers)


@section("J 4.2.2")
def test_an_answer_given_twice_is_taken_once(bench: ConformanceBench) -> None:
    bench.backend.script_next("Heartbeat", Twice())

    bench.settle()

    bench.settle()


@section("J 4.2.2")
@pytest.mark.parametrize(
    "text", ['[3,"{id}"]', '[3,"{id}",{"currentTime":5}]', '[3,"{id}",[]]', '[4,"{id}"]', '[3,"{id}",{}]']
)
def test_a_malformed_answer_ends_the_waiting_and_nothing_else(bench: ConformanceBench, text: str) -> None:
    bench.backend.script_next("Heartbeat", Garbage(text=text))
    assert bench.status_of("TriggerMessage", requestedMessage="Heartbeat") == "Accepted"
    bench.wait_for("Heartbeat")

    bench.settle()


@section("J 4.2.3")
@pytest.mark.parametrize("code", ["InternalError", "OccurrenceConstraintViolation", "FormatViolation", "Whatever"])
def test_a_callerror_of_any_spelling_ends_the_waiting(bench: ConformanceBench, code: str) -> None:
    bench.backend.script_next("Heartbeat", CallError(code=code))
    assert bench.status_of("TriggerMessage", requestedMessage="Heartbeat") == "Accepted"
    bench.wait_for("Heartbeat")

    bench.settle()


@section("J 4.1.1", "JE 3.3")
def test_a_missing_answer_does_not_keep_the_station_from_answering(bench: ConformanceBench) -> None:
    bench.backend.script_next("Heartbeat", Silence())
    assert bench.status_of("TriggerMessage", requestedMessage="Heartbeat") == "Accepted"
    bench.wait_for("Heartbeat")

    still_well(bench)
    assert bench.status_of("ClearCache") == "Accepted"

    bench.backend.drop()


@section("J 4")
def test_a_frame_of_one_megabyte_is_answered(bench: ConformanceBench) -> None:
    big = "x" * 1_000_000

    assert bench.status_of("DataTransfer", vendorId="nobody", data=big) == "UnknownVendorId"


@section("J 3.3")
def test_a_backend_without_the_subprotocol_is_left_and_tried_again(bench: ConformanceBench) -> None:
    mark, connects = bench.mark(), bench.backend.connects
    bench.backend.backend.subprotocols = ["ocpp2.0.1"]
    bench.backend.drop()
    bench.backend.wait_until(lambda backend: backend.connects >= connects + 2, timeout=8)
    assert not bench.backend.received(after=mark)

    bench.backend.backend.subprotocols = ["ocpp1.6"]

    bench.backend.wait_until(lambda backend: backend.connections[-1].link.socket.subprotocol, timeout=8)
    bench.settle()


@section("JE 3.4")
@pytest.mark.parametrize("status", [404, 401, 500, 503])
def test_a_refused_handshake_is_tried_again(bench: ConformanceBench, status: int) -> None:
    connects = bench.backend.connects
    bench.backend.backend.refuse_with = status
    refused = len(bench.backend.backend.refused_handshakes)
    bench.backend.drop()
    bench.backend.wait_until(lambda backend: len(backend.refused_handshakes) >= refused + 2, timeout=10)

    bench.backend.backend.refuse_with = None

    bench.backend.wait_connected(at_least=connects + 1)


@section("J 5.3")
@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012])
def test_a_backend_that_closes_at_once_is_tried_again(bench: ConformanceBench, code: int) -> None:
    connects = bench.backend.connects
    bench.backend.backend.close_on_connect = code
    bench.backend.drop()
    bench.backend.wait_until(lambda backend: backend.connects >= connects + 2, timeout=10)

    bench.backend.backend.close_on_connect = None

    bench.backend.wait_connected(at_least=connects + 3)
    bench.settle()


@section("J 5.4")
def test_the_station_answers_pings_of_the_backend(bench: ConformanceBench) -> None:
    import asyncio

    socket = bench.backend.wait_connected().link.socket

    async def ping() -> float:
        return await asyncio.wait_for(await socket.ping(), 3)

    loop = bench.backend._loop
    assert asyncio.run_coroutine_threadsafe(ping(), loop).result() >= 0


@section("J 5.4", "S 9.1")
def test_the_station_pings_the_backend_in_the_interval_asked_for(bench: ConformanceBench) -> None:
    bench.configure(WebSocketPingInterval=1)
    connects = bench.backend.connects
    bench.backend.drop()
    bench.backend.wait_connected(at_least=connects + 1)

    never(lambda: not bench.backend.backend.connections[-1].is_open, for_s=2.5)

    still_well(bench)


@section("J 4.1.4")
def test_a_retry_after_a_lost_answer_keeps_the_message_id(bench: ConformanceBench) -> None:
    bench.backend.script_next("StartTransaction", Silence(booked=True))
    bench.plug()
    assert bench.status_of("RemoteStartTransaction", idTag=CARD, connectorId=1) == "Accepted"
    first = bench.frame("StartTransaction")
    mark = bench.mark()

    bench.backend.drop()
    again = bench.frame("StartTransaction", after=mark)

    assert again.message_id == first.message_id
    assert again.payload == first.payload


@section("JE 3.1", "S 3.7")
def test_a_transaction_message_refused_for_a_while_is_sent_again_under_a_new_id(bench: ConformanceBench) -> None:
    bench.backend.script_next("StartTransaction", CallError(), CallError())

    bench.charge()

    bench.backend.wait_for("StartTransaction", after=bench.begun, count=3)
    frames = bench.backend.received("StartTransaction", after=bench.begun)
    assert len({frame.message_id for frame in frames}) == len(frames) == 3
    assert frames[0].payload == frames[1].payload == frames[2].payload


@section("J 4.2.3")
def test_a_refusal_explains_itself_within_255_characters(bench: ConformanceBench) -> None:
    with pytest.raises(BackendCallError):
        bench.call("ChangeConfiguration", key="A" * 400, value="B" * 4000)

    refusal = next(one for one in reversed(bench.backend.frames) if one.kind == "error")
    assert len(refusal.payload["description"]) <= 255
