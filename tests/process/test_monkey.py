"""Random backend calls, drivers, damages and deaths beside a reference model (reference/reliability.md, F19, F20).

A failure names its seed and its last steps: `MONKEY_SEED=… pytest …/test_monkey.py` walks the same way again.
`MONKEY_SECONDS=1200` makes a long walk of it.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backend import Backend
from tests.process.judgement import free_ports
from tests.process.monkey import SPEED, Monkey
from tests.station import WITHOUT_SAFE_MODE, Station

pytestmark = pytest.mark.process

SEED = int(os.environ.get("MONKEY_SEED", "1"))
SECONDS = float(os.environ.get("MONKEY_SECONDS", "60"))
CONFIG = {
    "/ocpp/reconnectMinS": "1",
    "/ocpp/reconnectMaxS": "1",
    "TransactionMessageRetryInterval": "1",
    "MeterValueSampleInterval": "1",
    "MeterValuesSampledData": "Energy.Active.Import.Register",
    # Nobody waits for a time-out in the model.
    "ConnectionTimeOut": "86400",
}


def test_whatever_backend_driver_and_fate_do_the_station_does_as_the_model_and_books_every_watt_hour(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    backend_port, http_port, sim_port = free_ports(3)
    with (
        Backend.threaded(port=backend_port) as backend,
        Station.start(
            tmp_path,
            config=CONFIG,
            backend_url=backend.url,
            http_port=http_port,
            sim_port=sim_port,
            environment=WITHOUT_SAFE_MODE,
        ) as station,
    ):
        backend.wait_for("StatusNotification", where=lambda sent: sent["connectorId"] == 2)
        station.sim("/speed", {"factor": SPEED})
        monkey = Monkey(station, backend, SEED)

        monkey.run(SECONDS)

        record_property("walked", f"seed {SEED}: {monkey.steps} steps, {monkey.calls} calls")
        assert monkey.steps > SECONDS / 4
        assert backend.books.transactions
