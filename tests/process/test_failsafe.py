"""The control loop dies, stops or hangs while cars charge: somebody is back in control soon, and the session is whole.

The boards have no watchdog (reference/hardware/evse_controllers.md section 1): what is released stays released until
the next control loop says otherwise.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from station.domain.crash_guard import CRASHES
from station.host.power import MainProcess, PowerVerb
from station.paths import DataDirectory
from tests.backend import Backend, ThreadedBackend
from tests.process.judgement import (
    complaints_about_books,
    complaints_about_energy,
    free_ports,
    wait_until_delivered,
)
from tests.station import Station, http, wait_until

pytestmark = pytest.mark.process

CARD = "04A2B3C4"
CONFIG = {
    "/ocpp/reconnectMinS": "1",
    "/ocpp/reconnectMaxS": "1",
    "TransactionMessageRetryInterval": "1",
    "MeterValueSampleInterval": "1",
}
# DESIGN.md section 9.
BACK_IN_CONTROL_S = 10.0
REDUCED_A = 10


class Site:
    """A station at its backend, with a car that charges at connector 1."""

    def __init__(self, station: Station, backend: ThreadedBackend) -> None:
        self.station = station
        self.backend = backend

    def charge(self) -> None:
        self.station.sim("/connectors/1/plug", {})
        self.station.wait_sim(lambda point: point["cp_state"] != "A")
        self.station.sim("/reader/swipe", {"uid": CARD})
        self.station.wait_sim(lambda point: max(point["currents_a"]) > 30, timeout_s=15)

    def reduce(self) -> None:
        """Let the backend lower the current; whoever obeys is in control."""
        self.backend.post("SetChargingProfile", {"connectorId": 0, "csChargingProfiles": _reduction()})

    def wait_in_control(self, *, since_s: float) -> None:
        patience_s = since_s + BACK_IN_CONTROL_S - time.monotonic()
        self.station.wait_sim(lambda point: point["offered_a"] == REDUCED_A, timeout_s=patience_s)

    def problems(self) -> list[str]:
        wait_until_delivered(self.station, self.backend)
        register_wh = self.station.connector(1)["energy_wh"]
        return [
            *complaints_about_books(self.station, self.backend),
            *complaints_about_energy(self.backend.books, 1, first_wh=0, last_wh=register_wh),
        ]


def _reduction() -> dict[str, Any]:
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": REDUCED_A}]}
    return {
        "chargingProfileId": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": schedule,
    }


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    backend_port, http_port, sim_port = free_ports(3)
    with (
        Backend.threaded(port=backend_port) as backend,
        Station.start(
            tmp_path, config=CONFIG, backend_url=backend.url, http_port=http_port, sim_port=sim_port
        ) as station,
    ):
        backend.wait_for("StatusNotification", where=lambda sent: sent["connectorId"] == 2)
        yield Site(station, backend)


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_somebody_is_back_in_control_within_ten_seconds_and_the_session_goes_on(
    site: Site, number: signal.Signals
) -> None:
    site.charge()
    lost_at_s = time.monotonic()
    gone = site.station.kill("hardware", number)
    site.reduce()

    site.wait_in_control(since_s=lost_at_s)

    assert site.station.pid_of("hardware") != gone
    site.station.sim("/reader/swipe", {"uid": CARD})
    site.station.wait_sim(lambda point: point["offered_a"] == 0)
    wait_until(lambda: site.backend.received("StopTransaction"), what="StopTransaction")
    assert len(site.backend.received("StartTransaction")) == 1
    assert site.problems() == []


def test_a_process_of_a_stopped_group_that_goes_on_is_not_replaced(site: Site) -> None:
    """Ctrl-Z and `fg` in the terminal of `./scripts/run`."""
    pids = site.station.child_pids()
    os.killpg(site.station.pid, signal.SIGSTOP)
    time.sleep(7)
    os.killpg(site.station.pid, signal.SIGCONT)
    time.sleep(3)

    said = (site.station.data / "logs" / "process-main.log").read_text()[-2000:]
    assert site.station.child_pids() == pids, said


class LastSight(threading.Thread):
    """Looks at connector 1 for as long as the simulator lives; the simulator ends after the control loop."""

    def __init__(self, station: Station) -> None:
        super().__init__(daemon=True)
        self._station = station
        self.seen: list[dict[str, Any]] = []

    @override
    def run(self) -> None:
        with suppress(OSError, HTTPException):
            while True:
                self.seen.append(self._station.connector(1))


def test_an_orderly_stop_withdraws_energy_and_the_next_start_knows_the_session(site: Site) -> None:
    site.charge()
    sight = LastSight(site.station)
    sight.start()

    assert site.station.stop() == 0

    sight.join()
    assert sight.seen[0]["offered_a"] > 0
    assert sight.seen[-1]["offered_a"] == 0
    site.station.launch()
    wait_until(lambda: site.backend.received("StopTransaction"), timeout_s=20, what="the end of the session")
    assert site.problems() == []


def test_a_restart_of_the_software_does_not_interrupt_the_energy(site: Site) -> None:
    site.charge()
    gone = site.station.pid_of("hardware")
    sight = LastSight(site.station)
    sight.start()

    MainProcess(DataDirectory(site.station.data)).ask(PowerVerb.RESTART_SOFTWARE)
    wait_until(lambda: site.station.child_pids().get("hardware", gone) != gone, what="another control loop")
    site.station.wait_healthy()

    assert all(point["offered_a"] > 0 and max(point["currents_a"]) > 30 for point in sight.seen)
    assert not site.backend.received("StopTransaction")


@pytest.mark.parametrize("later_s", [0.0, 0.4])
def test_a_stop_that_overtakes_a_restart_withdraws_energy(site: Site, later_s: float) -> None:
    site.charge()
    sight = LastSight(site.station)
    sight.start()

    MainProcess(DataDirectory(site.station.data)).ask(PowerVerb.RESTART_SOFTWARE)
    time.sleep(later_s)
    assert site.station.stop() == 0

    sight.join()
    assert sight.seen[-1]["offered_a"] == 0


@pytest.mark.parametrize("later_s", [0.0, 0.3])
def test_a_stop_that_meets_a_starting_control_loop_withdraws_energy(site: Site, later_s: float) -> None:
    site.charge()
    sight = LastSight(site.station)
    sight.start()

    site.station.kill("hardware")
    time.sleep(later_s)
    assert site.station.stop() == 0

    sight.join()
    # The simulator may end between two looks; a control loop that has left energy on says so when it ends.
    log = (site.station.data / "logs/process-main.log").read_text()
    assert sight.seen[-1]["offered_a"] == 0 or log.rsplit("stopped: hardware", 1)[1].startswith(" (exit status 0)")


def test_five_crashes_lead_to_safe_mode_and_a_reset_of_the_backend_out_of_it(site: Site) -> None:
    station = site.station
    site.charge()
    crash_too_often(station)

    station.wait_sim(lambda point: point["offered_a"] == 0 and not point["contactor"])
    for connector in (0, 1, 2):
        told = site.backend.wait_for("StatusNotification", where=lambda sent, at=connector: _in_safe_mode(sent, at))
        assert told.payload["errorCode"] == "InternalError"
    status, body = wait_until(lambda: _safe_mode_of_healthz(station), what="the reason in healthz") or (0, {})
    assert status == 503
    assert [reason["code"] for reason in body["reasons"]] == ["safe_mode", "control_killed"]
    assert site.backend.call("RemoteStartTransaction", {"idTag": CARD, "connectorId": 2})["status"] == "Rejected"
    assert not site.backend.received("StopTransaction")

    assert site.backend.call("Reset", {"type": "Soft"})["status"] == "Accepted"
    station.wait_healthy()
    station.wait_sim(lambda point: max(point["currents_a"]) > 30, timeout_s=20)
    station.sim("/reader/swipe", {"uid": CARD})
    wait_until(lambda: site.backend.received("StopTransaction"), what="StopTransaction")
    assert len(site.backend.received("StartTransaction")) == 1
    assert site.problems() == []


def crash_too_often(station: Station) -> None:
    noted = station.data / "run" / "control_loop.json"
    for _ in range(CRASHES):
        # One that has not even noted that it has begun is no control loop yet.
        before = noted.read_text()
        station.kill("hardware")
        wait_until(lambda before=before: noted.read_text() != before, what="another control loop")


def _in_safe_mode(sent: dict[str, Any], connector: int) -> bool:
    return (sent["connectorId"], sent["status"]) == (connector, "Faulted") and "Safe mode" in sent.get("info", "")


def _safe_mode_of_healthz(station: Station) -> tuple[int, Any] | None:
    status, body = http("GET", station.http_port, "/healthz")
    codes = [reason["code"] for reason in body.get("reasons", [])]
    return (status, body) if "safe_mode" in codes else None


def test_a_station_started_by_hand_leaves_safe_mode(site: Site) -> None:
    crash_too_often(site.station)
    wait_until(lambda: _safe_mode_of_healthz(site.station), what="safe mode")

    site.station.kill_group()
    site.station.launch()

    assert site.station.healthy()
