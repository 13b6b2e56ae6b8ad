"""StatusNotification (OCPP 1.6 section 4.9) and Authorize on behalf of the control loop (section 4.1)."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ocpp_client.database import in_database
from station.domain.authorization import AuthorizationStatus
from station.models import CachedAuthorization, Connector, SecurityEvent
from station.services import configuration
from station.services.messages import AuthorizeRequest, CardAuthorized, StatusChanged
from tests.backend import CallError, Drop, Silence
from tests.db.ocpp_client.conftest import MOMENT
from tests.db.ocpp_client.outgoing.test_outbox import whole_session

EVE = datetime(2026, 12, 24, 18, tzinfo=UTC)


def changed(connector, status, revision, *, error_code="NoError", info="", vendor_error_code=""):
    return StatusChanged(
        connector_id=connector,
        revision=revision,
        status=status,
        error_code=error_code,
        info=info,
        vendor_error_code=vendor_error_code,
        at=MOMENT,
    )


def asked(number, *, timeout_s=2.0):
    return AuthorizeRequest(request_id=f"r{number}", id_tag="CARD", timeout_s=timeout_s)


def change(connector, status, revision):
    Connector.objects.filter(number=connector).update(status=status, status_revision=revision)


def told(station, after=0, connector=1):
    frames = station.backend.received("StatusNotification", after=after)
    return [frame.payload["status"] for frame in frames if frame.payload["connectorId"] == connector]


async def test_4_9_every_change_is_told_in_its_order(bench):
    async with bench() as station:
        await station.ready()
        mark = station.backend.mark()
        for revision, status in enumerate(["Preparing", "Charging", "SuspendedEV", "Charging", "Finishing"], start=2):
            station.link.status.take(changed(1, status, revision))
        await station.until(lambda: len(told(station, mark)) == 5)
        assert told(station, mark) == ["Preparing", "Charging", "SuspendedEV", "Charging", "Finishing"]


async def test_7_7_a_fault_of_the_manuals_travels_as_vendor_error(bench):
    async with bench() as station:
        await station.ready()
        station.link.status.take(
            changed(0, "Faulted", 2, error_code="OtherError", vendor_error_code="RegulatoryComplianceFailure")
        )
        frame = await station.backend.wait_for("StatusNotification", where=lambda p: p["status"] == "Faulted")
        assert frame.payload["vendorErrorCode"] == "RegulatoryComplianceFailure"
        assert frame.payload["vendorId"] == "Technagon GmbH"


async def test_4_9_after_an_outage_the_present_state_is_told_and_not_its_history(bench):
    async with bench() as station:
        await station.ready()
        mark = station.backend.mark()
        async with station.backend.outage():
            await station.until(lambda: not station.link.state.connected)
            for revision, status in enumerate(["Preparing", "Charging"], start=2):
                station.link.status.take(changed(1, status, revision))
                await in_database(change, 1, status, revision)
        await station.ready()
        assert told(station, mark) == ["Charging"]
        assert told(station, mark, connector=2) == []


async def test_a_lost_message_is_made_up_for_by_a_look_at_the_table(bench):
    async with bench() as station:
        await station.ready()
        await in_database(change, 2, "Unavailable", 5)
        await station.backend.wait_for("StatusNotification", where=lambda p: p["status"] == "Unavailable", timeout=3)


async def test_9_1_minimum_status_duration_skips_short_states_but_never_the_last(bench):
    async with bench(keys={"MinimumStatusDuration": "1"}) as station:
        await station.ready()
        mark = station.backend.mark()
        for revision, status in enumerate(["Preparing", "Charging", "SuspendedEV"], start=2):
            station.link.status.take(changed(1, status, revision))
            await asyncio.sleep(0.05)
        await station.backend.wait_for("StatusNotification", where=lambda p: p["status"] == "SuspendedEV", after=mark)
        assert told(station, mark) == ["SuspendedEV"]


async def test_4_1_a_card_is_asked_about_and_remembered(bench):
    async with bench() as station:
        await station.ready()
        station.backend.script_next("Authorize", {"idTagInfo": {"status": "Accepted", "parentIdTag": "G"}})
        await station.link.authorizer.request(asked(1))
        assert station.processes.told(CardAuthorized) == [
            CardAuthorized(request_id="r1", answered=True, status=AuthorizationStatus.ACCEPTED, parent_id_tag="G")
        ]
        assert (await in_database(CachedAuthorization.objects.get, id_tag="card")).parent_id_tag == "G"


@pytest.mark.parametrize(("written", "read"), [("never", None), ("2026-12-24T18:00:00Z", EVE)])
async def test_an_expiry_date_that_is_none_counts_as_none(bench, written, read):
    async with bench() as station:
        await station.ready()
        station.backend.script_next("Authorize", {"idTagInfo": {"status": "Accepted", "expiryDate": written}})
        await station.link.authorizer.request(asked(1))
        assert [one.expires_at for one in station.processes.told(CardAuthorized)] == [read]


async def test_3_5_3_a_member_of_the_local_list_never_enters_the_cache(bench):
    async with bench() as station:
        await station.ready()
        station.local_list.members.add("card")
        await station.link.authorizer.request(asked(1))
        assert await in_database(CachedAuthorization.objects.count) == 0


@pytest.mark.parametrize(
    "answer",
    [
        CallError(),
        CallError(code="NotImplemented"),
        {},
        {"idTagInfo": {}},
        {"idTagInfo": "Accepted"},
        {"idTagInfo": {"status": "Perhaps"}},
        {"idTagInfo": {"status": 1}},
        {"idTagInfo": {"status": ["Accepted"]}},
    ],
)
async def test_an_answer_without_a_status_is_an_answer_and_not_remembered(bench, answer):
    async with bench() as station:
        await station.ready()
        station.backend.script_next("Authorize", answer)
        await station.link.authorizer.request(asked(1))
        assert station.processes.told(CardAuthorized) == [CardAuthorized(request_id="r1", answered=True)]
        assert await in_database(CachedAuthorization.objects.count) == 0


@pytest.mark.parametrize("odd", [{"expiryDate": 4_102_444_800}, {"expiryDate": None}, {"parentIdTag": 7}, {"x": []}])
async def test_what_is_odd_beside_the_status_does_not_change_it(bench, odd):
    async with bench() as station:
        await station.ready()
        station.backend.script_next("Authorize", {"idTagInfo": {"status": "Accepted", **odd}})
        await station.link.authorizer.request(asked(1))
        assert station.processes.told(CardAuthorized) == [
            CardAuthorized(request_id="r1", answered=True, status=AuthorizationStatus.ACCEPTED)
        ]


async def test_4_1_offline_and_silence_are_no_answer(bench):
    async with bench() as station:
        await station.ready()
        station.backend.script_next("Authorize", Silence(), Drop())
        await station.link.authorizer.request(asked(1, timeout_s=0.2))
        await station.link.authorizer.request(asked(2))
        await station.backend.stop_listening()
        await station.until(lambda: not station.link.state.connected)
        await station.link.authorizer.request(asked(3))
        assert station.processes.told(CardAuthorized) == [
            CardAuthorized(request_id=f"r{number}", answered=False) for number in (1, 2, 3)
        ]
        await station.backend.listen()


def to_be_paid(number):
    return AuthorizeRequest(request_id=f"r{number}", id_tag="CARD", timeout_s=2.0, pay_first=True)


async def test_a_payment_is_approved_before_the_backend_is_asked_about_the_card(bench, caplog):
    async with bench(keys={"GiroEStaticToken": "tkn-4711"}) as station:
        await station.ready()
        mark = station.backend.mark()
        await station.link.authorizer.request(to_be_paid(1))

        asked_for = [(call.action, call.payload) for call in station.backend.received(after=mark)]
        assert [action for action, _ in asked_for] == ["DataTransfer", "Authorize"]
        assert asked_for[0][1] == {
            "vendorId": "giro-e",
            "messageId": "PreAuthorize",
            "data": '{"token":"tkn-4711","idTag":"CARD"}',
        }
        assert [one.status for one in station.processes.told(CardAuthorized)] == [AuthorizationStatus.ACCEPTED]
        assert "PreAuthorize" in caplog.text
        assert "tkn-4711" not in caplog.text


@pytest.mark.parametrize(
    "answer", [{"status": "Rejected"}, {"status": "UnknownVendorId"}, {"status": "UnknownMessageId"}, CallError()]
)
async def test_without_an_approval_the_backend_is_not_asked_about_the_card(bench, answer):
    async with bench(keys={"GiroEStaticToken": "tkn-4711"}) as station:
        await station.ready()
        mark = station.backend.mark()
        station.backend.script_next("DataTransfer", answer)
        await station.link.authorizer.request(to_be_paid(1))

        assert [call.action for call in station.backend.received(after=mark)] == ["DataTransfer"]
        assert station.processes.told(CardAuthorized) == [
            CardAuthorized(request_id="r1", answered=True, payment_declined=True)
        ]
        assert await in_database(CachedAuthorization.objects.count) == 0


async def test_silence_about_a_payment_is_no_answer(bench):
    async with bench(keys={"GiroEStaticToken": "tkn-4711"}) as station:
        await station.ready()
        station.backend.script_next("DataTransfer", Silence())
        request = replace(to_be_paid(1), timeout_s=0.2)
        await station.link.authorizer.request(request)

        assert station.processes.told(CardAuthorized) == [CardAuthorized(request_id="r1", answered=False)]


async def test_a04_critical_security_events_are_delivered_in_order_once(bench):
    async with bench() as station:
        for number, critical in enumerate([True, False, True]):
            await in_database(
                lambda n=number, c=critical: SecurityEvent.objects.create(
                    type="StartupOfTheDevice", at=MOMENT, tech_info=str(n), critical=c
                )
            )
        await station.ready()
        station.link.security.wake()
        await station.backend.wait_for("SecurityEventNotification", count=2)
        await station.until_in_database(
            lambda: not SecurityEvent.objects.filter(critical=True, delivered_at=None).exists()
        )
        infos = [frame.payload["techInfo"] for frame in station.backend.received("SecurityEventNotification")]
        assert infos == ["0", "2"]


async def test_the_meters_keys_are_handed_over_after_registration(bench):
    async with bench(run=False) as station:
        await in_database(
            lambda: Connector.objects.filter(number=1).update(meter_serial="M1", meter_public_key="ab cd")
        )
        running = asyncio.create_task(station.link.run())
        frame = await station.backend.wait_for("DataTransfer")
        assert frame.payload == {
            "vendorId": "generalConfiguration",
            "messageId": "setMeterConfiguration",
            "data": '{"meters":[{"connectorId":1,"meterSerial":"M1","type":"SIGNATURE","publicKey":"ABCD"}]}',
        }
        await station.link.stop()
        await running


async def test_4_2_the_meters_keys_come_behind_what_was_owed_and_again_after_a_lost_connection(bench):
    async with bench(run=False) as station:
        await in_database(lambda: Connector.objects.filter(number=1).update(meter_public_key="ab"))
        await in_database(whole_session)
        station.backend.script_next("DataTransfer", Drop())
        running = asyncio.create_task(station.link.run())
        try:
            await station.backend.wait_for("DataTransfer", count=2)

            sent = [frame.action for frame in station.backend.received()]
            assert sent.index("StopTransaction") < sent.index("DataTransfer")
        finally:
            await station.link.stop()
            await running


async def test_the_keys_of_meters_read_after_the_registration_are_handed_over_together_and_once(bench):
    async with bench() as station:
        await station.ready()
        await in_database(lambda: Connector.objects.filter(number__gt=0).update(meter_public_key="ab"))

        frame = await station.backend.wait_for("DataTransfer")
        assert [meter["publicKey"] for meter in json.loads(frame.payload["data"])["meters"]] == ["AB", "AB"]

        await in_database(lambda: Connector.objects.filter(number=2).update(meter_serial="exchanged"))
        frame = await station.backend.wait_for("DataTransfer", count=2)
        assert [meter["meterSerial"] for meter in json.loads(frame.payload["data"])["meters"]] == ["", "exchanged"]


async def test_a_change_of_the_address_moves_the_station_after_the_answer(bench):
    from tests.backend import Backend

    async with bench(keys={"/ocpp/trustPlainLink": "true"}) as station, Backend.start() as other:
        await station.ready()
        answer = await station.backend.call("ChangeConfiguration", {"key": "/ocpp/url", "value": other.url})
        assert answer == {"status": "Accepted"}
        await other.wait_for("BootNotification")
        await station.until(lambda: station.link.state.endpoint.base_url == other.url)
        assert await in_database(configuration.get, "/ocpp/url") == other.url


async def test_a02_a_new_key_is_used_at_once_and_the_old_one_while_the_new_one_is_refused(bench):
    old, new = "old-password-0123", "30313233343536373839414243444546"
    async with bench(basic_auth=("TE100002440", old.encode()), keys={"AuthorizationKey": old}) as station:
        await station.ready()
        assert await station.backend.call("ChangeConfiguration", {"key": "AuthorizationKey", "value": new}) == {
            "status": "Accepted"
        }
        await station.backend.wait_connected(at_least=2)
        await station.until(station.link.state.flow.is_set)
        assert station.backend.refused_handshakes

        station.backend.basic_auth = ("TE100002440", bytes.fromhex(new))
        await station.backend.drop()
        await station.backend.wait_connected(at_least=3)
        await station.until(station.link.state.flow.is_set)


async def test_4_9_a_backend_that_takes_no_status_is_sent_what_it_is_owed_all_the_same(bench):
    async with bench(run=False) as station:
        station.backend.answers["StatusNotification"] = CallError(code="NotSupported")
        running = asyncio.create_task(station.link.run())
        try:
            await station.ready()

            refused = [frame.payload["connectorId"] for frame in station.backend.received("StatusNotification")]
            assert refused == [0, 1, 2]
        finally:
            await station.link.stop()
            await running
