"""A running station under a grid operator's control box: two cars, one contact, and a backend that is told."""

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.backend import Backend, ThreadedBackend
from tests.station import Station, wait_until

pytestmark = pytest.mark.process

SET_W = 4_200
# § 14a EnWG allows three minutes; the station's own part takes two seconds, the cars follow in a few more.
SECONDS = 15.0


def drawn_w(station: Station) -> int:
    return sum(int(point["power_w"]) for point in station.sim("/state")["connectors"])


def released_a(station: Station) -> list[float]:
    return [point["offered_a"] if point["released"] else 0 for point in station.sim("/state")["connectors"]]


def test_two_cars_share_the_set_power_over_a_restart_and_a_silent_module_and_the_backend_is_told(
    tmp_path: Path,
) -> None:
    config = {"/auth/identification": "none", "/auth/authenticator": "whitelist"}
    with (
        Backend.threaded() as backend,
        Station.start(tmp_path, backend_url=backend.url, config=config) as station,
    ):
        station.config_set({"/dimming/enabled": "true"})
        for number in (1, 2):
            station.sim(f"/connectors/{number}/plug", {"max_current_a": 32})
            station.wait_sim(lambda point: point["power_w"] > 6_000, number=number, timeout_s=60)

        # The contact closes: one car goes on with the set power, the other one waits.
        station.sim("/dimming", {"closed": True})
        wait_until(lambda: sorted(released_a(station)) == [0, 6], timeout_s=SECONDS, what="the reduction at the boards")
        wait_until(lambda: 0 < drawn_w(station) <= SET_W, timeout_s=SECONDS, what="the set power")
        began = told(backend, "NotifyChargingLimit")
        assert began["chargingSchedule"][0]["chargingSchedulePeriod"][0]["limit"] == SET_W
        wait_until(
            lambda: any(
                frame.payload.get("info") == f"Dimmed by the grid operator to {SET_W} W"
                and frame.payload["errorCode"] == "NoError"
                for frame in backend.received("StatusNotification")
            ),
            what="the reason in the status of the station",
        )

        # It holds over the death of the control loop, and nobody draws more for a moment.
        station.kill("hardware")
        until_s = time.monotonic() + 8
        while time.monotonic() < until_s:
            assert drawn_w(station) <= SET_W
            time.sleep(0.2)
        station.wait_healthy()

        # It holds while nobody can read the contact, and ends when the contact has opened.
        station.sim("/io/line", {"mode": "silent"})
        wait_until(lambda: "dimming.silent" in events(station), timeout_s=SECONDS, what="the silence in the event log")
        assert drawn_w(station) <= SET_W
        station.sim("/dimming", {"closed": False})
        station.sim("/io/line", {"mode": "ok"})
        wait_until(lambda: drawn_w(station) > SET_W, timeout_s=90, what="more power again")
        ended = told(backend, "ClearedChargingLimit")["customData"]
        assert ended["limitW"] == SET_W
        assert ended["carriedOut"] < ended["ended"]
        assert 0 < ended["greatestW"] <= SET_W
        begins = [frame for frame in backend.received("DataTransfer") if "NotifyCharging" in str(frame.payload)]
        assert len(begins) == 1
        assert backend.schema_errors == []


def told(backend: ThreadedBackend, message: str) -> dict[str, Any]:
    frame = backend.wait_for("DataTransfer", where=lambda payload: payload["messageId"] == message, timeout=30)
    return dict(json.loads(frame.payload["data"]))


def events(station: Station) -> list[str]:
    with closing(sqlite3.connect(f"file:{station.data / 'station.sqlite3'}?mode=ro", uri=True)) as database:
        return [code for (code,) in database.execute("SELECT code FROM station_logentry")]
