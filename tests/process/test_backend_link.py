"""The OCPP process with a real Redis: the connection lives on without it, bells are heard again afterwards."""

import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from tests.backend import Backend
from tests.station import MANAGE, wait_until

pytestmark = pytest.mark.process

BELL = """
import asyncio, json, sys
from channels.layers import get_channel_layer
asyncio.run(get_channel_layer().send("ocpp", json.loads(sys.argv[1])))
"""


def manage(directory, *arguments):
    return subprocess.run(
        [sys.executable, MANAGE, *arguments, "--data-dir", str(directory)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )


@contextmanager
def process(name, directory):
    running = subprocess.Popen([sys.executable, MANAGE, "runprocess", name, "--data-dir", str(directory), "--simulate"])
    try:
        yield running
    finally:
        running.kill()
        running.wait(10)


def ring(directory, **message):
    """Ring from another process, as the control loop does, once Redis takes it."""
    environment = {"STATION_DATA_DIR": str(directory), "DJANGO_SETTINGS_MODULE": "station.settings"}
    code = "import django; django.setup()\n" + BELL
    command = [sys.executable, "-c", code, json.dumps(message)]
    wait_until(
        lambda: (
            not subprocess.run(
                command, check=False, cwd=MANAGE.parent, env=environment, timeout=60, capture_output=True
            ).returncode
        ),
        timeout_s=20,
    )


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "data"


def status(number, revision, value):
    return {
        "type": "status.changed",
        "connector": number,
        "status": value,
        "error_code": "NoError",
        "info": "",
        "vendor_error_code": "",
        "at": "2026-11-20T12:00:00+00:00",
        "revision": revision,
    }


def test_the_connection_outlives_redis_and_hears_its_bells_again(directory):
    with Backend.threaded() as backend:
        manage(directory, "config", "set", f"/ocpp/url={backend.url}")
        manage(directory, "runprocess", "prepare", "--simulate")
        with process("ocpp", directory) as link:
            backend.wait_for("StatusNotification", count=3, timeout=20)
            with process("redis", directory) as redis:
                ring(directory, **status(1, 50, "Preparing"))
                backend.wait_for("StatusNotification", where=lambda p: p["status"] == "Preparing", timeout=15)
                redis.kill()
                redis.wait(10)
            assert backend.call("GetConfiguration", {"key": ["HeartbeatInterval"]})["configurationKey"]
            with process("redis", directory):
                ring(directory, **status(1, 51, "Finishing"))
                backend.wait_for("StatusNotification", where=lambda p: p["status"] == "Finishing", timeout=15)
                assert backend.connects == 1
                began = time.monotonic()
                link.send_signal(signal.SIGTERM)
                link.wait(10)
                assert time.monotonic() - began < 5
                wait_until(lambda: backend.backend.connections[0].close_code == 1001, timeout_s=5)
        assert backend.schema_errors == []


def test_a_killed_process_comes_back_with_a_boot_and_what_it_had_confirmed(directory):
    with Backend.threaded() as backend:
        manage(directory, "config", "set", f"/ocpp/url={backend.url}")
        manage(directory, "runprocess", "prepare", "--simulate")
        for round_ in range(2):
            with process("ocpp", directory) as link:
                backend.wait_for("BootNotification", count=round_ + 1, timeout=20)
                backend.wait_until(lambda one: one.received("StatusNotification") or None, timeout=20)
                answer = backend.call("ChangeConfiguration", {"key": "ConnectionTimeOut", "value": str(61 + round_)})
                link.kill()
                link.wait(10)
                assert answer == {"status": "Accepted"}
            listed = manage(directory, "config", "get", "ConnectionTimeOut").stdout
            assert str(61 + round_) in listed
