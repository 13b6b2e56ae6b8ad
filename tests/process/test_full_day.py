"""A day of a two-point station, compressed: every frame fits its schema, and nothing grows.

The simulated meters run three hundred times as fast as the clock, so that a charge of hours takes a minute's part; the
message intervals are shortened in the same spirit. What a day brings: cars at both points by card and from afar, a
reservation, a limit in the afternoon, an outage of the backend with a session in it, heartbeats and values on the grid.
"""

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ocpp_client.demo_backend.wire import Payload
from tests.backend import Backend, ThreadedBackend
from tests.process.judgement import (
    complaints_about_books,
    complaints_about_energy,
    free_ports,
    owed,
    tracebacks,
    wait_until_delivered,
)
from tests.station import Station, wait_until

pytestmark = pytest.mark.process

SPEED = 300
# At that speed a full charge of 20 kWh takes eleven seconds at 22 kW.
CONFIG = {
    "/ocpp/reconnectMinS": "1",
    "/ocpp/reconnectMaxS": "1",
    "TransactionMessageRetryInterval": "1",
    "MeterValueSampleInterval": "1",
    "MeterValuesSampledData": "Energy.Active.Import.Register,Power.Active.Import,Current.Import,Voltage",
    "ClockAlignedDataInterval": "5",
    "MeterValuesAlignedData": "Energy.Active.Import.Register,Power.Active.Import,Frequency",
    "StopTxnSampledData": "Energy.Active.Import.Register",
    "AllowOfflineTxForUnknownId": "true",
}
# A process that has just begun still loads what it needs; afterwards it must stay as large as it is.
GROWTH_KB = 12_000


class Day:
    """Station, backend and the drivers of one day."""

    def __init__(self, station: Station, backend: ThreadedBackend) -> None:
        self.station = station
        self.backend = backend

    def act(self, path: str, **body: Any) -> None:
        self.station.sim(path, body)

    def call(self, action: str, **payload: Any) -> Payload:
        answer = self.backend.call(action, payload)
        assert answer.get("status") in {None, "Accepted"}, (action, answer)
        return answer

    def wait_charging(self, connector: int) -> None:
        self.station.wait_sim(lambda point: point["power_w"] > 0, number=connector, timeout_s=15)

    def plug(self, connector: int, **car: Any) -> None:
        self.act(f"/connectors/{connector}/plug", **car)
        self.wait_told(connector, "Preparing")

    def wait_told(self, connector: int, status: str) -> None:
        def told() -> bool:
            present = next(iter(self.backend.books.stations.values())).connectors
            return bool(present.get(str(connector), {}).get("status") == status)

        wait_until(told, timeout_s=15, what=f"{status} of connector {connector}")

    def draw(self, connector: int, wh: float) -> None:
        """Let a car charge so much."""
        begin_wh = self.station.connector(connector)["energy_wh"]
        self.station.wait_sim(lambda point: point["energy_wh"] >= begin_wh + wh, number=connector, timeout_s=30)

    def leave(self, connector: int) -> None:
        self.act(f"/connectors/{connector}/unplug")
        wait_until(lambda: not self.station.connector(connector)["plugged"], timeout_s=15, what="the cable gone")
        if self.station.sim("/state")["network"]["backend"]:
            self.wait_told(connector, "Available")

    def sizes(self) -> dict[str, int]:
        """Measure what each process holds (PSS in kB)."""
        found = {}
        for name, pid in self.station.child_pids().items():
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            found[name] = int(next(line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:")))
        return found


def night(day: Day) -> None:
    """Nothing happens but the values on the grid."""
    mark = day.backend.mark()
    day.backend.wait_for("MeterValues", where=lambda sent: sent["connectorId"] == 2, count=2, after=mark, timeout=20)


def commuters_charge_by_card(day: Day) -> None:
    day.plug(1, max_current_a=32, phases=3)
    day.act("/reader/swipe", uid="04C0FFEE01")
    day.wait_charging(1)
    day.plug(2, max_current_a=16, phases=1)
    day.act("/reader/swipe", uid="04C0FFEE02")
    day.wait_charging(2)
    day.draw(1, 4000)
    day.act("/connectors/1/vehicle", ready=False)
    day.wait_told(1, "SuspendedEV")
    day.act("/connectors/1/vehicle", ready=True)
    day.wait_told(1, "Charging")
    day.act("/reader/swipe", uid="04C0FFEE02")
    day.wait_told(2, "Finishing")
    day.leave(2)
    day.leave(1)


def a_reserved_point_is_used_by_its_holder(day: Day) -> None:
    expiry = datetime.now(UTC) + timedelta(hours=1)
    day.call("ReserveNow", connectorId=1, reservationId=7, idTag="04B0B0", expiryDate=expiry.isoformat())
    day.wait_told(1, "Reserved")
    day.act("/connectors/1/plug")
    day.act("/reader/swipe", uid="04B0B0")
    day.wait_charging(1)
    day.draw(1, 2000)
    day.leave(1)
    assert day.backend.received("StartTransaction")[-1].payload["reservationId"] == 7


def the_grid_is_short_in_the_afternoon(day: Day) -> None:
    day.plug(1)
    day.call("RemoteStartTransaction", connectorId=1, idTag="REMOTE-1")
    day.wait_charging(1)
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 8}]}
    profile = {
        "chargingProfileId": 3,
        "stackLevel": 2,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": schedule,
    }
    day.call("SetChargingProfile", connectorId=0, csChargingProfiles=profile)
    day.station.wait_sim(lambda point: 0 < max(point["currents_a"]) <= 8.2, number=1)
    schedule["chargingSchedulePeriod"] = [{"startPeriod": 0, "limit": 0}]
    day.call("SetChargingProfile", connectorId=0, csChargingProfiles=profile)
    day.wait_told(1, "SuspendedEVSE")
    day.call("ClearChargingProfile", id=3)
    day.wait_told(1, "Charging")
    running = day.backend.books.open_transactions()[-1]
    day.call("RemoteStopTransaction", transactionId=running.transaction_id)
    day.wait_told(1, "Finishing")
    day.leave(1)


def the_backend_is_away_for_an_hour(day: Day) -> None:
    day.plug(2)
    day.act("/reader/swipe", uid="04C0FFEE03")
    day.wait_charging(2)
    day.act("/network", backend=False)
    day.act("/connectors/1/plug")
    day.act("/reader/swipe", uid="04C0FFEE04")
    day.wait_charging(1)
    day.draw(1, 3000)
    day.leave(1)
    assert owed(day.station) > 3
    day.act("/network", backend=True)
    wait_until(lambda: not owed(day.station), timeout_s=20, what="an empty queue")
    day.leave(2)


def evening(day: Day) -> None:
    for turn in range(3):
        connector = 1 + turn % 2
        day.plug(connector, battery_wh=1500)
        day.act("/reader/swipe", uid=f"04EE{turn}")
        day.wait_told(connector, "SuspendedEV")
        day.leave(connector)


def test_a_full_day_shows_no_message_a_schema_refuses_and_nothing_grows(tmp_path: Path) -> None:
    backend_port, http_port, sim_port = free_ports(3)
    with (
        Backend.threaded(port=backend_port, interval_s=2) as backend,
        Station.start(
            tmp_path, config=CONFIG, backend_url=backend.url, http_port=http_port, sim_port=sim_port
        ) as station,
    ):
        backend.wait_for("StatusNotification", where=lambda sent: sent["connectorId"] == 2)
        day = Day(station, backend)
        day.act("/speed", factor=SPEED)
        commuters_charge_by_card(day)
        before = day.sizes()

        began_s = time.monotonic()
        a_reserved_point_is_used_by_its_holder(day)
        night(day)
        the_grid_is_short_in_the_afternoon(day)
        the_backend_is_away_for_an_hour(day)
        commuters_charge_by_card(day)
        evening(day)
        lasted_s = time.monotonic() - began_s
        wait_until_delivered(station, backend)

        problems = complaints_about_books(station, backend)
        for point in station.sim("/state")["connectors"]:
            problems += complaints_about_energy(backend.books, point["id"], first_wh=0, last_wh=point["energy_wh"])
        problems += tracebacks(station.data)
        after = day.sizes()
        problems += [
            f"{name}: {before[name]} kB, then {size} kB"
            for name, size in after.items()
            if size > before[name] + GROWTH_KB
        ]
        assert not problems, "\n".join(problems)
        assert owed(station) == 0
        sent = Counter(str(frame.action) for frame in backend.frames if frame.from_station and frame.kind == "call")
        assert len(backend.books.transactions) == 2 + 1 + 1 + 2 + 2 + 3
        assert sent["Heartbeat"] >= lasted_s / 4
        assert sent["MeterValues"] > lasted_s
        contexts = {
            sample.get("context", "Sample.Periodic")
            for frame in backend.received("MeterValues")
            for value in frame.payload["meterValue"]
            for sample in value["sampledValue"]
        }
        assert contexts >= {"Sample.Periodic", "Sample.Clock"}
