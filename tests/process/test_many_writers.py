"""Many who write at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.station import MANAGE, Station

pytestmark = pytest.mark.process

CHANGES = """
import sys
from datetime import UTC, datetime
import django
django.setup()
from django.db import OperationalError
from station.domain.commands import Origin
from station.services import configuration
number, done = int(sys.argv[1]), 0
while done < 250:
    low = 1 + (number * 7 + done * 3) % 50
    pair = {"/ocpp/reconnectMinS": str(low), "/ocpp/reconnectMaxS": str(low + number)}
    try:
        configuration.change(pair, origin=Origin.LOCAL, actor=f"process {number}", at=datetime.now(UTC))
    except OperationalError:
        continue  # another one holds the database: tried again, as people do
    done += 1
"""


def test_a_thousand_changes_of_four_processes_leave_a_configuration_that_holds_together(tmp_path: Path) -> None:
    # The longest delay may never be below the first: each writer keeps that, a mixture of two would break it.
    station = Station(data=tmp_path / "station")
    station.config_set({"/ocpp/reconnectMinS": "1"})
    environment = {"STATION_DATA_DIR": str(station.data), "DJANGO_SETTINGS_MODULE": "station.settings"}
    with (tmp_path / "said").open("w") as said:
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", CHANGES, str(number)], env=environment, cwd=MANAGE.parent, stderr=said
            )
            for number in range(4)
        ]
        assert [writer.wait() for writer in writers] == [0] * 4, (tmp_path / "said").read_text()[-2000:]

    listed = json.loads(station.manage("config", "list", "--data-dir", str(station.data), "--json").stdout)
    low, high = int(listed["/ocpp/reconnectMinS"]), int(listed["/ocpp/reconnectMaxS"])
    assert 0 <= high - low < 4
