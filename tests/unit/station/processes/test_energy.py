"""Energy is withdrawn where nobody controls it, and never by two at once."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from station.paths import DataDirectory
from station.processes import energy, lock
from station.processes.plan import Address, Plan
from tests.station import wait_until


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan(data=tmp_path, http=Address("127.0.0.1", 8080), https=None)


@pytest.fixture
def withdrawals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[int]]:
    """Return by which processes energy was withdrawn; the process of a withdrawal shares files with us, not lists."""
    file = tmp_path / "withdrawals"
    file.touch()

    def withdraw() -> None:
        with file.open("a") as written:
            written.write(f"{os.getpid()}\n")

    monkeypatch.setattr(energy, "_withdraw", withdraw)
    return lambda: [int(line) for line in file.read_text().splitlines()]


def test_energy_is_withdrawn_by_a_process_of_its_own(plan: Plan, withdrawals: Callable[[], list[int]]) -> None:
    energy.withdraw(plan)

    [pid] = withdrawals()
    assert pid != os.getpid()


def test_energy_that_a_service_controls_is_left_alone(plan: Plan, withdrawals: Callable[[], list[int]]) -> None:
    data = DataDirectory(plan.data)
    data.controlled.parent.mkdir(parents=True, exist_ok=True)
    service = os.fork()
    if not service:
        try:
            lock.control(data)
            signal.pause()
        finally:
            # Never on with the tests.
            os._exit(1)
    try:
        wait_until(lambda: lock.is_controlled(data), what="a service in control")
        energy.withdraw(plan)
        assert withdrawals() == []
    finally:
        os.kill(service, signal.SIGKILL)
        os.waitpid(service, 0)

    energy.withdraw(plan)

    assert len(withdrawals()) == 1


def test_a_withdrawal_that_hangs_is_ended(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    monkeypatch.setattr(energy, "_WITHDRAW_S", 0.05)
    monkeypatch.setattr(energy, "_withdraw", lambda: os.read(reader, 1))

    energy.withdraw(plan)
    os.close(writer)
    os.set_blocking(reader, False)

    # Nobody else has the pipe open: the process of the withdrawal is gone.
    assert os.read(reader, 1) == b""
    os.close(reader)
