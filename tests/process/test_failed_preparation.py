"""A damaged identity: a station that runs goes on, and where nobody can take control energy is withdrawn."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from station.paths import DataDirectory
from station.processes.child import ENERGY_IS_ON, RESTART_SIGNAL
from station.processes.lock import is_controlled
from tests.station import MANAGE, free_port, http, wait_until

pytestmark = pytest.mark.process
PATIENCE_S = 60.0


class Services:
    """A station whose processes an init system starts, beside simulated devices."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.http_port, self.sim_port = free_port(), free_port()
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, str(MANAGE), *words, "--data-dir", str(self.data)]

    def simulated(self, name: str) -> list[str]:
        return self.command("runprocess", name, "--simulate", "--sim-control", f"127.0.0.1:{self.sim_port}")

    def begin(self, name: str, command: list[str]) -> None:
        self.running[name] = subprocess.Popen(command, env={**os.environ})

    def prepare(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command("runprocess", "prepare"), capture_output=True, text=True, check=False)

    def is_ready(self) -> bool:
        with suppress(OSError):
            return http("GET", self.http_port, "/healthz")[0] == 200
        return False

    def details(self) -> list[str]:
        return self._codes("details")

    def reasons(self) -> list[str]:
        return self._codes("reasons")

    def _codes(self, part: str) -> list[str]:
        return [each["code"] for each in http("GET", self.http_port, "/healthz")[1].get(part, [])]

    def controls(self) -> bool:
        """Whether somebody controls the hardware."""
        return is_controlled(DataDirectory(self.data))

    def replace_control(self) -> None:
        """Kill the control, as want of memory would, and begin another."""
        self.running["hardware"].kill()
        self.running["hardware"].wait()
        assert self.contactor()
        self.begin("hardware", self.command("runprocess", "hardware"))

    def begin_again_until(self, condition: Callable[[], bool]) -> None:
        """Begin a control whenever it has ended, until something is the case."""

        def is_so() -> bool:
            if self.running["hardware"].poll() is not None:
                self.begin("hardware", self.command("runprocess", "hardware"))
            return condition()

        wait_until(is_so, timeout_s=PATIENCE_S, what="the end of the attempts")

    def contactor(self) -> bool:
        points = http("GET", self.sim_port, "/state")[1]["connectors"]
        return any(point["contactor"] for point in points)


@pytest.fixture
def charging(tmp_path: Path) -> Iterator[Services]:
    services = Services(tmp_path / "station")
    try:
        subprocess.run(services.simulated("prepare"), check=True)
        subprocess.run(services.command("config", "set", "/auth/identification=none"), check=True)
        services.begin("simulator", services.simulated("simulator"))
        for name in ("redis", "hardware", "worker", "ocpp"):
            services.begin(name, services.command("runprocess", name))
        services.begin(
            "web", services.command("runprocess", "web", "--http", f"127.0.0.1:{services.http_port}", "--no-https")
        )
        wait_until(services.is_ready, timeout_s=PATIENCE_S, what="a station that is ready")
        http("POST", services.sim_port, "/connectors/1/plug", {})
        wait_until(services.contactor, timeout_s=PATIENCE_S, what="a car that charges")
        yield services
    finally:
        for process in services.running.values():
            process.kill()
            process.wait()


def test_energy_that_a_restart_has_left_on_is_withdrawn_when_its_preparation_fails(charging: Services) -> None:
    identity = charging.data / "identity.json"
    right = identity.read_text()
    identity.write_text("{")

    # While somebody is in control, that is nobody else's business.
    assert charging.prepare().returncode == 1
    assert charging.contactor()
    # It goes on with the identity it had, and says so.
    wait_until(lambda: "identity_damaged" in charging.details(), what="a damaged identity in /healthz")
    assert charging.is_ready()

    charging.running["hardware"].send_signal(RESTART_SIGNAL)
    assert charging.running["hardware"].wait(PATIENCE_S) == ENERGY_IS_ON
    assert charging.contactor()
    refused = charging.prepare()

    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    # The car opens its contact when it sees the end of the pilot's signal, within 3 s (IEC 61851-1, table A.6).
    wait_until(lambda: not charging.contactor(), what=f"energy withdrawn; the preparation said: {refused.stderr}")
    identity.write_text(right)
    assert charging.prepare().returncode == 0


def test_a_control_that_is_replaced_takes_the_last_valid_identity(charging: Services) -> None:
    identity = charging.data / "identity.json"
    right = identity.read_text()
    identity.write_text("{")

    charging.replace_control()

    wait_until(charging.controls, timeout_s=PATIENCE_S, what="a control that has begun")
    wait_until(charging.is_ready, timeout_s=PATIENCE_S, what="a station that is ready")
    wait_until(charging.contactor, timeout_s=PATIENCE_S, what="a car that charges")
    assert "identity_damaged" in charging.details()
    identity.write_text(right)
    wait_until(lambda: "identity_damaged" not in charging.details(), what="a healthz without the damage")


def test_a_control_that_cannot_begin_withdraws_what_the_one_before_has_left_on(charging: Services) -> None:
    (charging.data / "identity.json").write_text("{")
    (charging.data / "run/identity_copy.json").write_text("{")

    charging.replace_control()

    assert charging.running["hardware"].wait(PATIENCE_S) != 0
    wait_until(lambda: not charging.contactor(), what="energy withdrawn")
    # As an init system does; after some failures safe mode keeps energy off, and says so.
    charging.begin_again_until(lambda: "safe_mode" in charging.reasons())
    assert "identity_damaged" in charging.details()
    assert charging.controls()


def test_a_control_without_its_lock_does_not_begin_and_withdraws_what_the_one_before_has_left_on(
    charging: Services,
) -> None:
    charging.running["hardware"].kill()
    charging.running["hardware"].wait()
    lock = DataDirectory(charging.data).controlled
    lock.unlink()
    lock.mkdir()

    charging.begin("hardware", charging.command("runprocess", "hardware"))

    assert charging.running["hardware"].wait(PATIENCE_S) != 0
    wait_until(lambda: not charging.contactor(), what="energy withdrawn")
    lock.rmdir()
    charging.begin("hardware", charging.command("runprocess", "hardware"))
    wait_until(charging.contactor, timeout_s=PATIENCE_S, what="a car that charges again")
