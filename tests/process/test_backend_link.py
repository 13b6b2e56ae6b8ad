"""The OCPP process with a real Redis: the connection lives on without it, bells are heard again afterwards."""

import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.backend import Backend
from tests.station import MANAGE, wait_until

pytestmark = pytest.mark.process

TELL = """
import sys
from datetime import UTC, datetime
import django; django.setup()
from station.services.messages import StatusChanged, send_to_ocpp_sync
changed = StatusChanged(
    connector_id=1,
    revision=int(sys.argv[1]),
    status=sys.argv[2],
    error_code="NoError",
    info="",
    vendor_error_code="",
    at=datetime(2026, 11, 20, 12, tzinfo=UTC),
)
sys.exit(not send_to_ocpp_sync(changed))
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


def tell(directory, revision, status):
    """Send the message from another process, as the control loop does, once Redis takes it."""
    environment = {"STATION_DATA_DIR": str(directory), "DJANGO_SETTINGS_MODULE": "station.settings"}
    command = [sys.executable, "-c", TELL, str(revision), status]
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


def test_the_connection_outlives_redis_and_hears_its_bells_again(directory):
    with Backend.threaded() as backend:
        manage(directory, "config", "set", f"/ocpp/url={backend.url}")
        manage(directory, "runprocess", "prepare", "--simulate")
        with process("ocpp", directory) as link:
            backend.wait_for("StatusNotification", count=3, timeout=20)
            with process("redis", directory) as redis:
                tell(directory, 50, "Preparing")
                backend.wait_for("StatusNotification", where=lambda p: p["status"] == "Preparing", timeout=15)
                redis.kill()
                redis.wait(10)
            assert backend.call("GetConfiguration", {"key": ["HeartbeatInterval"]})["configurationKey"]
            with process("redis", directory):
                tell(directory, 51, "Finishing")
                backend.wait_for("StatusNotification", where=lambda p: p["status"] == "Finishing", timeout=15)
                assert backend.connects == 1
                link.send_signal(signal.SIGTERM)
                link.wait(30)
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
