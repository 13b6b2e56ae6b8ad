"""A new address that does not lead to an Accepted BootNotification is taken back."""

import asyncio

import pytest

from ocpp_client.connection.address_trial import AddressTrial
from ocpp_client.connection.endpoint import Endpoint
from ocpp_client.connection.registration import Phase, Registration
from ocpp_client.connection.state import ConnectionState
from ocpp_client.database import in_database
from ocpp_client.link import Timing
from station.domain.configuration import Origin
from station.models import AuditEntry, BackendState, LogEntry
from station.services import configuration
from tests.backend import Backend
from tests.db.ocpp_client.conftest import MOMENT

NOWHERE = "ws://127.0.0.1:9"
TRUSTING = {"/ocpp/trustPlainLink": "true"}
SHORT = Timing(answer_timeout_s=1.0, look_s=0.1, uplink_look_s=0.02, recovery_s=0.0, trial_s=0.6, trial_look_s=0.05)
LONG = Timing(answer_timeout_s=1.0, look_s=0.1, uplink_look_s=0.02, recovery_s=0.0, trial_s=300.0, trial_look_s=0.02)


async def change(station, key, value):
    return (await station.backend.call("ChangeConfiguration", {"key": key, "value": value}))["status"]


async def test_an_address_nobody_answers_at_is_taken_back_and_the_station_returns(bench):
    async with bench(timing=SHORT, keys=TRUSTING) as station:
        await station.ready()
        url = station.backend.url

        assert await change(station, "/ocpp/url", NOWHERE) == "Accepted"

        await station.until(lambda: station.link.state.trial is not None)
        await station.backend.wait_connected(at_least=2, timeout=15)
        await station.ready()
        assert await in_database(configuration.get, "/ocpp/url") == url
        assert (await in_database(LogEntry.objects.get, code="backend.address.taken_back")).data == {
            "address": NOWHERE,
            "back_to": url,
        }
        audited = await in_database(lambda: AuditEntry.objects.latest("id"))
        assert (audited.actor, audited.data["/ocpp/url"]) == ("trial of the address", url)
        await station.until(lambda: station.processes.snapshots[-1].taken_back_url == NOWHERE)
        assert station.processes.snapshots[-1].trial_back_to == ""


async def test_profile_and_key_go_back_with_the_address_they_were_changed_with(bench):
    keys = TRUSTING | {"AuthorizationKey": "the-key-that-works", "/ocpp/chargeBoxIdentity": "CP-${serial}"}
    async with bench(timing=SHORT, keys=keys) as station:
        await station.ready()

        await station.configure(
            __ocpp__url=NOWHERE,
            AuthorizationKey="a-key-of-somebody-else",
            SecurityProfile="0",
            __ocpp__chargeBoxIdentity="CP-another",
        )

        await station.backend.wait_connected(at_least=2, timeout=15)
        await station.ready()
        present = await in_database(configuration.snapshot)
        assert present["AuthorizationKey"] == "the-key-that-works"
        assert present["SecurityProfile"] == "1"
        assert present["/ocpp/chargeBoxIdentity"] == "CP-100002440"


@pytest.mark.parametrize("status", ["Pending", "Rejected"])
async def test_a_backend_that_answers_but_does_not_accept_the_station_does_not_keep_it(bench, status):
    async with bench(timing=SHORT, keys=TRUSTING) as station, Backend.start() as other:
        other.answers["BootNotification"] = {
            "status": status,
            "currentTime": "2026-11-20T12:00:00Z",
            "interval": 1,
        }
        await station.ready()

        assert await change(station, "/ocpp/url", other.url) == "Accepted"

        await other.wait_for("BootNotification")
        await station.backend.wait_connected(at_least=2, timeout=15)
        await station.ready()


async def test_a_backend_that_accepts_the_station_keeps_it(bench):
    async with bench(timing=SHORT, keys=TRUSTING) as station, Backend.start() as other:
        await station.ready()
        assert await change(station, "/ocpp/url", other.url) == "Accepted"
        await other.wait_for("BootNotification")
        await station.until_in_database(lambda: LogEntry.objects.filter(code="backend.address.accepted").exists())

        # Even when it goes away for longer than a trial takes.
        await other.stop_listening()
        await asyncio.sleep(1.0)

        assert await in_database(configuration.get, "/ocpp/url") == other.url
        assert station.link.state.trial is None


async def test_a_station_that_was_never_accepted_keeps_the_address_it_was_given(bench):
    async with bench(timing=SHORT, keys={"/ocpp/url": NOWHERE}) as station:
        await station.until(lambda: station.link.state.last_error == "connection_refused")
        await station.configure(__ocpp__url="ws://127.0.0.1:10")
        await asyncio.sleep(1.0)

        assert await in_database(configuration.get, "/ocpp/url") == "ws://127.0.0.1:10"


async def test_an_address_taken_away_at_the_station_does_not_come_back(bench):
    async with bench(timing=SHORT) as station:
        await station.ready()
        await station.configure(__ocpp__url="")
        await station.until(lambda: station.link.state.last_error == "no_backend")
        await station.configure(__ocpp__url=NOWHERE)
        await station.until(lambda: station.link.state.last_error == "connection_refused")
        await asyncio.sleep(1.0)

        assert await in_database(configuration.get, "/ocpp/url") == NOWHERE


# --- the five minutes themselves, without a network


class Tried:
    def __init__(self, proven: Endpoint) -> None:
        self.proven = proven
        self.reconnects = 0

    def reconnect(self) -> None:
        self.reconnects += 1


def endpoint(url: str) -> Endpoint:
    return Endpoint(base_url=url, identity="TE100002440", security_profile=1, authorization_key="")


def set_url(url: str, origin: Origin = Origin.LOCAL) -> None:
    from station.domain.link_security import LinkSecurity

    proven = LinkSecurity(encrypted=True, certificate_checked=True, name_checked=True, root_trusted=True)
    configuration.change({"/ocpp/url": url}, origin=origin, actor="test", at=MOMENT, link=proven)


@pytest.fixture
def world(transactional_db, data):
    def make(url="wss://new.example", origin=Origin.LOCAL):
        set_url("wss://old.example")
        set_url(url, origin)
        state = ConnectionState(endpoint=endpoint(url))
        tried = Tried(endpoint("wss://old.example"))
        return state, tried, AddressTrial(state, tried)

    return lambda *arguments: in_database(make, *arguments)


async def test_only_time_in_which_the_process_ran_counts_and_a_restart_does_not_begin_anew(world):
    state, tried, trial = await world()
    await trial._look(200.0)
    assert (state.trial.back_to, state.trial.minutes) == ("wss://old.example", 2)

    again = AddressTrial(state, tried)
    await again._look(99.0)
    assert tried.reconnects == 0
    await again._look(1.5)

    assert tried.reconnects == 1
    assert await in_database(configuration.get, "/ocpp/url") == "wss://old.example"
    assert (await in_database(BackendState.load)).trial_spent_ms == 0


async def test_an_unknown_backend_cannot_prolong_its_trial_by_moving_the_station_again(world):
    state, tried, trial = await world("wss://attacker.example", Origin.BACKEND)
    await trial._look(200.0)

    await in_database(set_url, "wss://attacker.example/2", Origin.BACKEND)
    state.endpoint = endpoint("wss://attacker.example/2")
    await trial._look(50.0)
    assert tried.reconnects == 0
    await trial._look(51.0)

    assert tried.reconnects == 1


async def test_a_person_who_corrects_the_address_has_five_minutes_again(world):
    state, tried, trial = await world()
    await trial._look(299.0)

    await in_database(set_url, "wss://corrected.example")
    state.endpoint = endpoint("wss://corrected.example")
    await trial._look(5.0)

    assert tried.reconnects == 0
    assert state.trial.minutes == 5


async def test_an_acceptance_at_the_same_moment_wins(world):
    state, tried, trial = await world()
    await trial._look(299.9)

    state.connected, state.registration = True, Registration(phase=Phase.ACCEPTED, booted=True)
    await trial._look(5.0)

    assert tried.reconnects == 0


async def test_a_change_at_the_same_moment_wins(world):
    _, tried, trial = await world()
    await trial._look(299.9)

    await in_database(set_url, "wss://corrected.example")
    await trial._look(400.0)

    assert tried.reconnects == 0
    assert await in_database(configuration.get, "/ocpp/url") == "wss://corrected.example"


async def test_an_address_taken_back_is_told_until_another_one_is_set(world):
    state, _, trial = await world()
    await trial._look(301.0)
    assert (await in_database(BackendState.load)).taken_back_url == "wss://new.example"
    state.endpoint = endpoint("wss://old.example")
    await trial._look(5.0)
    assert state.taken_back_url == "wss://new.example"

    await in_database(set_url, "wss://third.example")
    state.endpoint = endpoint("wss://third.example")
    await trial._look(5.0)

    assert state.taken_back_url == ""


async def test_time_that_cannot_be_written_down_counts_later(world, monkeypatch):
    from django.db import OperationalError

    _, tried, trial = await world()

    def full(_milliseconds):
        raise OperationalError("disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("ocpp_client.connection.address_trial._spend", full)
        with pytest.raises(OperationalError):
            await trial._look(299.0)
    await trial._look(2.0)

    assert tried.reconnects == 1
