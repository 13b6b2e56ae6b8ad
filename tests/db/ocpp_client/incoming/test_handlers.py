"""Every call of a backend gets the right answer (OCPP 1.6 section 5)."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from ocpp_client.database import in_database
from ocpp_client.incoming.load import MOST_BYTES, Load
from station.domain.commands import (
    CancelReservation,
    Outcome,
    Refusal,
    Reserve,
    Reset,
    SetAvailability,
    StartSession,
    Status,
    StopSession,
    UnlockConnector,
)
from station.domain.snapshot import HardwareSnapshot, PointSnapshot, SessionSnapshot
from station.domain.units import MilliAmpere, MilliHertz, MilliVolt, Watt, WattHour
from station.models import CachedAuthorization, ChargingProfileRow, ChargingSession, ConfigurationValue
from station.services import configuration
from station.services.messages import ConfigurationChanged, ProfilesChanged
from tests.backend import BackendCallError
from tests.db.ocpp_client.conftest import MOMENT

PROFILE = {
    "chargingProfileId": 1,
    "stackLevel": 0,
    "chargingProfilePurpose": "TxDefaultProfile",
    "chargingProfileKind": "Relative",
    "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 10.1}]},
}


def outcome(status, reason=None):
    return Outcome(status=status, reason=reason)


def running_session(*, transaction_id):
    return ChargingSession.objects.create(
        connector_id=1,
        id_tag="A",
        started_at=MOMENT,
        meter_start_wh=0,
        meter_last_wh=0,
        meter_last_at=MOMENT,
        transaction_id=transaction_id,
    )


COMMANDS = [
    (
        "5.2",
        "ChangeAvailability",
        {"connectorId": 1, "type": "Inoperative"},
        outcome(Status.SCHEDULED),
        "Scheduled",
        SetAvailability(connector_id=1, operative=False),
    ),
    (
        "5.2",
        "ChangeAvailability",
        {"connectorId": 0, "type": "Operative"},
        outcome(Status.ACCEPTED),
        "Accepted",
        SetAvailability(connector_id=0, operative=True),
    ),
    (
        "5.2",
        "ChangeAvailability",
        {"connectorId": 9, "type": "Operative"},
        outcome(Status.REJECTED, Refusal.CONNECTOR_UNKNOWN),
        "Rejected",
        SetAvailability(connector_id=9, operative=True),
    ),
    (
        "5.11",
        "RemoteStartTransaction",
        {"idTag": "A", "connectorId": 2},
        outcome(Status.ACCEPTED),
        "Accepted",
        StartSession(id_tag="A", connector_id=2, authorize=True),
    ),
    (
        "5.11",
        "RemoteStartTransaction",
        {"idTag": "A"},
        outcome(Status.NO_ANSWER),
        "Rejected",
        StartSession(id_tag="A", authorize=True),
    ),
    ("5.11", "RemoteStartTransaction", {"idTag": "A", "connectorId": 0}, None, "Rejected", None),
    (
        "5.12",
        "RemoteStopTransaction",
        {"transactionId": 7},
        outcome(Status.ACCEPTED),
        "Accepted",
        StopSession(transaction_id=7, reason="Remote"),
    ),
    ("5.14", "Reset", {"type": "Soft"}, outcome(Status.ACCEPTED), "Accepted", Reset(hard=False)),
    ("5.14", "Reset", {"type": "Hard"}, outcome(Status.REJECTED), "Rejected", Reset(hard=True, reason="HardReset")),
    (
        "5.18",
        "UnlockConnector",
        {"connectorId": 1},
        outcome(Status.UNLOCKED),
        "Unlocked",
        UnlockConnector(connector_id=1),
    ),
    (
        "5.18",
        "UnlockConnector",
        {"connectorId": 1},
        outcome(Status.UNLOCK_FAILED),
        "UnlockFailed",
        UnlockConnector(connector_id=1),
    ),
    ("5.18", "UnlockConnector", {"connectorId": 0}, None, "NotSupported", None),
    ("5.18", "UnlockConnector", {"connectorId": 3}, None, "NotSupported", None),
    (
        "5.13",
        "ReserveNow",
        {"connectorId": 1, "expiryDate": "2099-01-01T00:00:00Z", "idTag": "A", "reservationId": 4},
        Outcome(status=Status.REJECTED, data={"ocpp": "Faulted"}),
        "Faulted",
        Reserve(reservation_id=4, connector_id=1, id_tag="A", expires_at="2099-01-01T00:00:00+00:00"),
    ),
    (
        "5.13",
        "ReserveNow",
        {"connectorId": 1, "expiryDate": "2020-01-01T00:00:00Z", "idTag": "A", "reservationId": 4},
        Outcome(status=Status.REJECTED, data={"ocpp": "Occupied"}),
        "Occupied",
        Reserve(reservation_id=4, connector_id=1, id_tag="A", expires_at="2020-01-01T00:00:00+00:00"),
    ),
    (
        "5.1",
        "CancelReservation",
        {"reservationId": 4},
        outcome(Status.ACCEPTED),
        "Accepted",
        CancelReservation(reservation_id=4),
    ),
]


@pytest.mark.parametrize(("section", "action", "payload", "result", "answer", "command"), COMMANDS)
async def test_a_command_goes_through_the_one_door(  # noqa: PLR0917 – the columns of the table
    bench, section, action, payload, result, answer, command
):
    async with bench() as station:
        await station.ready()
        station.processes.outcome = result

        assert await station.backend.call(action, payload) == {"status": answer}

        assert station.processes.commands == ([command] if command else [])


async def test_5_18_other_calls_are_answered_while_the_lock_moves(bench):
    async with bench() as station:
        await station.ready()
        station.processes.hold = asyncio.Event()
        station.processes.outcome = outcome(Status.UNLOCKED)
        unlock = await station.backend.post("UnlockConnector", {"connectorId": 1})

        assert await station.backend.call("ClearCache") == {"status": "Accepted"}
        station.processes.hold.set()
        assert await station.backend.answer(unlock) == {"status": "Unlocked"}


async def test_a_repeated_message_id_has_one_effect_and_the_same_answer(bench):
    async with bench() as station:
        await station.ready()
        for _ in range(3):
            assert await station.backend.call("Reset", {"type": "Soft"}, message_id="same") == {"status": "Accepted"}

        assert len(station.processes.commands) == 1


async def test_a_call_repeated_while_it_is_carried_out_has_one_effect_and_two_answers(bench):
    async with bench() as station:
        await station.ready()
        station.processes.hold = asyncio.Event()
        posted = [await station.backend.post("Reset", {"type": "Soft"}, message_id="same") for _ in range(2)]
        await station.until(lambda: station.processes.commands)

        station.processes.hold.set()
        await station.backend.answer(posted[0])
        await station.until(lambda: len([f for f in station.backend.frames if f.message_id == "same"]) == 4)

        assert len(station.processes.commands) == 1


async def test_a_call_repeated_after_many_others_still_has_one_effect(bench):
    async with bench() as station:
        await station.ready()
        await station.backend.call("Reset", {"type": "Soft"}, message_id="same")
        for _ in range(300):
            await station.backend.call("DataTransfer", {"vendorId": "x"})

        assert await station.backend.call("Reset", {"type": "Soft"}, message_id="same") == {"status": "Accepted"}

        assert len(station.processes.commands) == 1


async def test_calls_under_way_are_bounded_by_their_bytes_and_the_rest_waits_on_the_wire(bench, monkeypatch):
    under_way = [0]
    add = Load.add

    def noted(load: Load, size: int) -> None:
        add(load, size)
        under_way.append(load.bytes)

    monkeypatch.setattr(Load, "add", noted)
    async with bench() as station:
        await station.ready()
        station.processes.hold = asyncio.Event()
        great = {"connectorId": 1, "type": "Operative", "x": "x" * 1_500_000}
        posted = [await station.backend.post("ChangeAvailability", great) for _ in range(6)]
        await station.until(lambda: max(under_way) >= MOST_BYTES)
        station.processes.hold.set()
        for each in posted:
            assert await station.backend.answer(each) == {"status": "Accepted"}

        # The call that fills it up may be of any size.
        assert max(under_way) < MOST_BYTES + 1_600_000


async def test_5_3_a_change_is_durable_when_it_is_answered(bench):
    async with bench() as station:
        await station.ready()

        answers = {
            (key, value): (await station.backend.call("ChangeConfiguration", {"key": key, "value": value}))["status"]
            for key, value in [
                ("connectiontimeout", "33"),
                ("NoSuchKey", "1"),
                ("NumberOfConnectors", "1"),
                ("LocalPreAuthorize", "1"),
                ("LocalPreAuthorize", "TRUE"),
                ("/ocpp/reconnectMinS", "2"),
                ("MeterValuesSampledData", "Nonsense"),
            ]
        }

        assert list(answers.values()) == [
            "Accepted",
            "NotSupported",
            "Rejected",
            "Rejected",
            "Accepted",
            answers["/ocpp/reconnectMinS", "2"],
            "Rejected",
        ]
        assert answers["/ocpp/reconnectMinS", "2"] in {"NotSupported", "Rejected"}
        stored = await in_database(lambda: dict(ConfigurationValue.objects.values_list("key", "value")))
        assert stored["ConnectionTimeOut"] == "33"
        assert station.processes.told(ConfigurationChanged)


async def test_5_8_all_keys_come_without_secrets(bench):
    async with bench(keys={"AuthorizationKey": "0123456789abcdef"}) as station:
        await station.ready()
        answer = await station.backend.call("GetConfiguration", {})
        keys = {entry["key"]: entry.get("value") for entry in answer["configurationKey"]}
        assert keys["NumberOfConnectors"] == "2"
        assert keys.get("AuthorizationKey") is None
        assert "0123456789abcdef" not in str(answer)
        some = await station.backend.call("GetConfiguration", {"key": ["heartbeatinterval", "Nope"]})
        assert some["unknownKey"] == ["Nope"]
        assert some["configurationKey"][0]["key"] == "HeartbeatInterval"


async def test_5_4_the_cache_is_cleared_where_there_is_one(bench):
    async with bench() as station:
        await station.ready()
        await in_database(lambda: CachedAuthorization.objects.create(id_tag="a", status="Accepted", updated_at=MOMENT))
        assert await station.backend.call("ClearCache") == {"status": "Accepted"}
        assert await in_database(CachedAuthorization.objects.count) == 0
        await station.configure(AuthorizationCacheEnabled="false")
        assert await station.backend.call("ClearCache") == {"status": "Rejected"}


async def test_4_3_vendor_messages_are_refused_by_the_right_word(bench):
    async with bench() as station:
        await station.ready()
        assert await station.backend.call("DataTransfer", {"vendorId": "x"}) == {"status": "UnknownVendorId"}
        known = {"vendorId": "Technagon GmbH", "messageId": "x"}
        assert await station.backend.call("DataTransfer", known) == {"status": "UnknownMessageId"}


async def test_5_16_a_profile_is_stored_and_cleared(bench):
    async with bench() as station:
        await station.ready()
        call = station.backend.call
        assert await call("SetChargingProfile", {"connectorId": 0, "csChargingProfiles": PROFILE}) == {
            "status": "Accepted"
        }
        assert await call("SetChargingProfile", {"connectorId": 0, "csChargingProfiles": PROFILE}) == {
            "status": "Accepted"
        }
        assert await in_database(ChargingProfileRow.objects.count) == 1
        tx = PROFILE | {"chargingProfilePurpose": "TxProfile"}
        assert await call("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": tx}) == {"status": "Rejected"}
        with pytest.raises(BackendCallError) as refused:
            await call("SetChargingProfile", {"connectorId": 7, "csChargingProfiles": PROFILE})
        assert refused.value.code == "PropertyConstraintViolation"
        schedule = await call("GetCompositeSchedule", {"connectorId": 1, "duration": 60})
        assert schedule["chargingSchedule"]["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 10.1}]
        assert await call("GetCompositeSchedule", {"connectorId": 9, "duration": 60}) == {"status": "Rejected"}
        assert await call("ClearChargingProfile", {"stackLevel": 5}) == {"status": "Unknown"}
        assert await call("ClearChargingProfile", {}) == {"status": "Accepted"}
        assert await in_database(ChargingProfileRow.objects.count) == 0
        await station.until(lambda: len(station.processes.told(ProfilesChanged)) == 3)


async def test_5_16_a_profile_that_cannot_be_read_counts_as_0_a_until_it_is_replaced_or_cleared(bench):
    async with bench() as station:
        await station.ready()
        call = station.backend.call
        composite = {"connectorId": 1, "duration": 60}
        install = {"connectorId": 0, "csChargingProfiles": PROFILE}

        for action, mend in (
            ("SetChargingProfile", install),
            ("ClearChargingProfile", {"id": PROFILE["chargingProfileId"]}),
            ("ClearChargingProfile", {"stackLevel": PROFILE["stackLevel"]}),
            ("ClearChargingProfile", {}),
        ):
            await call("SetChargingProfile", install)
            await in_database(ChargingProfileRow.objects.update, profile={"of": "another version"})
            schedule = await call("GetCompositeSchedule", composite)
            assert schedule["chargingSchedule"]["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 0.0}]

            assert await call(action, mend) == {"status": "Accepted"}
            schedule = await call("GetCompositeSchedule", composite)
            assert schedule["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"] > 0
            assert await in_database(ChargingProfileRow.objects.count) == (1 if mend is install else 0)


async def test_5_16_a_tx_profile_belongs_to_the_running_session(bench):
    async with bench() as station:
        await station.ready()
        running = await in_database(running_session, transaction_id=12)
        tx = PROFILE | {"chargingProfilePurpose": "TxProfile", "transactionId": 12}
        assert await station.backend.call("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": tx}) == {
            "status": "Accepted"
        }
        assert (await in_database(ChargingProfileRow.objects.get)).session_id == running.pk


async def test_5_15_a_list_goes_to_the_one_who_keeps_it(bench):
    async with bench() as station:
        await station.ready()
        entry = {"idTag": "A", "idTagInfo": {"status": "Accepted"}}
        full = {"listVersion": 3, "updateType": "Full", "localAuthorizationList": [entry]}
        assert await station.backend.call("SendLocalList", full) == {"status": "Accepted"}
        assert station.local_list.applied == [(3, "Full", 1)]
        station.local_list.answer = "VersionMismatch"
        assert await station.backend.call("SendLocalList", full) == {"status": "VersionMismatch"}
        station.local_list.number = 3
        assert await station.backend.call("GetLocalListVersion") == {"listVersion": 3}
        await station.configure(LocalAuthListEnabled="false")
        assert await station.backend.call("SendLocalList", full) == {"status": "NotSupported"}
        assert await station.backend.call("GetLocalListVersion") == {"listVersion": -1}


@pytest.mark.parametrize(
    ("action", "payload", "reply"),
    [
        ("SendLocalList", {"listVersion": 1, "updateType": "Full"}, {"status": "NotSupported"}),
        ("GetLocalListVersion", {}, {"listVersion": -1}),
        (
            "ReserveNow",
            {"connectorId": 1, "expiryDate": "2099-01-01T00:00:00Z", "idTag": "A", "reservationId": 4},
            {"status": "Rejected"},
        ),
        ("CancelReservation", {"reservationId": 4}, {"status": "Rejected"}),
        ("TriggerMessage", {"requestedMessage": "Heartbeat"}, {"status": "NotImplemented"}),
        ("GetDiagnostics", {"location": "ftp://127.0.0.1/"}, {}),
        ("ChangeConfiguration", {"key": "LocalAuthListEnabled", "value": "true"}, {"status": "NotSupported"}),
        ("ChangeConfiguration", {"key": "chargingprofilestackperconnector", "value": "1"}, {"status": "NotSupported"}),
        ("ChangeConfiguration", {"key": "LocalPreAuthorize", "value": "true"}, {"status": "Accepted"}),
        (
            "GetConfiguration",
            {"key": ["SendLocalListMaxLength", "ReserveConnectorZeroSupported"]},
            {"unknownKey": ["SendLocalListMaxLength", "ReserveConnectorZeroSupported"]},
        ),
    ],
)
async def test_a_profile_that_is_off_is_answered_in_the_words_of_the_response(bench, action, payload, reply):
    async with bench(keys={"SupportedFeatureProfiles": "Core"}) as station:
        await station.ready()

        assert await station.backend.call(action, payload) == reply

        assert station.processes.commands == []
        assert station.local_list.applied == []


@pytest.mark.parametrize(
    ("action", "payload"),
    [
        ("SetChargingProfile", {"connectorId": 0, "csChargingProfiles": PROFILE}),
        ("ClearChargingProfile", {}),
        ("GetCompositeSchedule", {"connectorId": 1, "duration": 60}),
        ("UpdateFirmware", {"location": "ftp://127.0.0.1/x", "retrieveDate": "2026-01-01T00:00:00Z"}),
    ],
)
async def test_where_the_response_has_no_word_for_it_a_profile_that_is_off_is_a_callerror(bench, action, payload):
    async with bench(keys={"SupportedFeatureProfiles": "Core"}) as station:
        await station.ready()
        with pytest.raises(BackendCallError) as refused:
            await station.backend.call(action, payload)
        assert refused.value.code == "NotSupported"


async def test_5_11_without_smart_charging_the_profile_of_a_remote_start_is_ignored(bench):
    async with bench(keys={"SupportedFeatureProfiles": "Core"}) as station:
        await station.ready()
        start = {"idTag": "A", "connectorId": 1, "chargingProfile": PROFILE}

        assert await station.backend.call("RemoteStartTransaction", start) == {"status": "Accepted"}

        assert station.processes.commands == [StartSession(id_tag="A", connector_id=1, authorize=True)]


LIVE = HardwareSnapshot(
    revision=1,
    at=datetime(2026, 11, 20, 12, tzinfo=UTC),
    not_ready=(),
    status="Available",
    faults=(),
    mains_ma=MilliAmpere(63_000),
    reader_ok=True,
    points=(
        PointSnapshot(
            number=1,
            status="Charging",
            voltages_mv=(MilliVolt(230_000), MilliVolt(231_000), MilliVolt(229_000)),
            currents_ma=(MilliAmpere(16_000), MilliAmpere(15_900), MilliAmpere(0)),
            power_w=Watt(7300),
            phase_powers_w=(Watt(3680), Watt(3620), Watt(0)),
            energy_wh=WattHour(4711),
            frequency_mhz=MilliHertz(50_010),
            offered_ma=MilliAmpere(16_000),
            reading_age_ms=200,
            session=SessionSnapshot(
                id=1,
                id_tag="04A2B3C4",
                origin="reader",
                started_at=datetime(2026, 11, 20, 11, tzinfo=UTC),
                meter_start_wh=4000,
                energy_wh=711,
                # Not known yet when the snapshot was taken; the session's row has it.
                transaction_id=None,
            ),
        ),
        PointSnapshot(number=2, status="Available"),
    ),
)


async def test_5_17_the_answer_comes_before_the_message(bench):
    async with bench() as station:
        await station.ready()
        station.processes.live = LIVE
        await in_database(running_session, transaction_id=99)
        for wanted, action in [
            ("Heartbeat", "Heartbeat"),
            ("StatusNotification", "StatusNotification"),
            ("MeterValues", "MeterValues"),
            ("FirmwareStatusNotification", "FirmwareStatusNotification"),
            ("DiagnosticsStatusNotification", "DiagnosticsStatusNotification"),
            ("HeartBeat", "Heartbeat"),
        ]:
            mark = station.backend.mark()
            assert await station.backend.call("TriggerMessage", {"requestedMessage": wanted}) == {"status": "Accepted"}
            await station.backend.wait_for(action, after=mark)
            sent = [frame for frame in station.backend.frames[mark:] if frame.from_station]
            kinds = ["answer" if frame.kind == "result" else frame.action for frame in sent]
            assert kinds.index("answer") < kinds.index(action)
        values = station.backend.received("MeterValues")
        assert len(values) == 1
        assert values[0].payload["transactionId"] == 99
        assert {one["context"] for one in values[0].payload["meterValue"][0]["sampledValue"]} == {"Trigger"}
        mark = station.backend.mark()
        await station.backend.call("TriggerMessage", {"requestedMessage": "StatusNotification"})
        await station.backend.wait_for("StatusNotification", count=3, after=mark)
        for payload in (
            {"requestedMessage": "StatusNotification", "connectorId": 3},
            {"requestedMessage": "MeterValues", "connectorId": 2},
        ):
            assert await station.backend.call("TriggerMessage", payload) == {"status": "Rejected"}
        with pytest.raises(BackendCallError):
            await station.backend.call("TriggerMessage", {"requestedMessage": "Nonsense"})


@pytest.mark.parametrize(
    ("selected", "told"),
    [
        ("Power.Active.Import", {None: "7300", "L1": "3680", "L2": "3620", "L3": "0"}),
        ("Power.Active.Import.L2", {"L2": "3620"}),
    ],
)
async def test_3_16_3_a_triggered_power_without_a_phase_tells_every_phase_that_was_measured(bench, selected, told):
    async with bench(keys={"MeterValuesSampledData": selected}) as station:
        await station.ready()
        station.processes.live = LIVE
        payload = {"requestedMessage": "MeterValues", "connectorId": 1}

        assert await station.backend.call("TriggerMessage", payload) == {"status": "Accepted"}

        message = await station.backend.wait_for("MeterValues")
        values = message.payload["meterValue"][0]["sampledValue"]
        assert {each.get("phase"): each["value"] for each in values} == told


async def test_files_are_handed_on(bench):
    async with bench() as station:
        await station.ready()
        call = station.backend.call
        assert await call("GetDiagnostics", {"location": "ftp://x/"}) == {"fileName": "1.tar.gz"}
        update = {"location": "ftp://x/f", "retrieveDate": "2026-11-20T12:00:00Z"}
        assert await call("UpdateFirmware", update) == {}
        log = {"logType": "SecurityLog", "requestId": 1, "log": {"remoteLocation": "ftp://x"}}
        assert await call("GetLog", log) == {"status": "Accepted", "filename": "log.tar.gz"}
        assert [kind for kind, _ in station.jobs.submitted] == ["diagnostics", "firmware", "log"]
        with pytest.raises(BackendCallError):
            await call("UpdateFirmware", update | {"retrieveDate": "tomorrow"})


async def test_one_change_after_another_is_answered_and_the_last_one_holds(bench):
    async with bench() as station:
        await station.ready()
        for number in range(60):
            change = {"key": "ConnectionTimeOut", "value": str(60 + number)}
            assert await station.backend.call("ChangeConfiguration", change) == {"status": "Accepted"}
        assert await in_database(configuration.get, "ConnectionTimeOut") == "119"


async def test_a_status_of_a_file_job_is_told_once_and_survives_an_outage(bench):
    async with bench() as station:
        await station.ready()
        async with station.backend.outage():
            await station.until(lambda: not station.link.state.connected)
            for status in ("Uploading", "Uploaded"):
                payload = {"status": status}
                station.jobs.owed.append(
                    SimpleNamespace(job_id=1, status=status, action="DiagnosticsStatusNotification", payload=payload)
                )
            station.link.files.wake()
        await station.backend.wait_for("DiagnosticsStatusNotification", count=2)
        await station.until(lambda: not station.jobs.owed)
        told = [frame.payload["status"] for frame in station.backend.received("DiagnosticsStatusNotification")]
        assert told == ["Uploading", "Uploaded"]
