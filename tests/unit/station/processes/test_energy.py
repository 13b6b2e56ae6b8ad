"""Energy is withdrawn where nobody controls it, and never by two at once."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from station.paths import DataDirectory
from station.processes import energy, lock
from station.processes.plan import Address, Plan
from tests.station import wait_until


@pytest.fixture
def plan(data: DataDirectory) -> Plan:
    return Plan(data=data.root, http=Address("127.0.0.1", 8080), https=None)


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


@contextmanager
def forked(work: Callable[[], None]) -> Iterator[int]:
    """Have another process do something and stay; return its number."""
    process = os.fork()
    if not process:
        try:
            work()
            signal.pause()
        finally:
            # Never on with the tests.
            os._exit(1)
    try:
        yield process
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def test_energy_is_withdrawn_by_a_process_of_its_own(plan: Plan, withdrawals: Callable[[], list[int]]) -> None:
    energy.withdraw(plan)

    [pid] = withdrawals()
    assert pid != os.getpid()


def test_energy_that_a_service_controls_is_left_alone(
    plan: Plan, data: DataDirectory, withdrawals: Callable[[], list[int]]
) -> None:
    with forked(lambda: lock.control(data)):
        wait_until(lambda: lock.is_controlled(data), what="a service in control")
        energy.withdraw(plan)
        assert withdrawals() == []

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


@pytest.mark.parametrize("is_killed", [False, True])
def test_no_control_begins_beside_a_withdrawal_and_one_that_waits_begins_at_its_end(
    plan: Plan, data: DataDirectory, monkeypatch: pytest.MonkeyPatch, *, is_killed: bool
) -> None:
    reader, writer = os.pipe()
    monkeypatch.setattr(energy, "_withdraw", lambda: os.read(reader, 1))
    with forked(lambda: energy.withdraw(plan)) as withdrawing:
        wait_until(lambda: lock.is_controlled(data), what="a withdrawal")
        if is_killed:
            # The process that withdraws for it goes on.
            os.kill(withdrawing, signal.SIGKILL)
        with monkeypatch.context() as impatient:
            impatient.setattr(lock, "WITHDRAWAL_S", 0.0)
            impatient.setattr(lock, "_LOOKING_S", 0.0)
            with pytest.raises(lock.IsControlled):
                lock.control(data)

        os.write(writer, b"!")
        lock.control(data)

    assert lock.is_controlled(data)
    os.close(reader)
    os.close(writer)


def test_a_withdrawal_that_hangs_ends_although_nobody_is_left_to_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "_WITHDRAW_S", 0.05)
    monkeypatch.setattr(energy, "_withdraw", signal.pause)
    process = multiprocessing.get_context("fork").Process(target=energy._withdraw_in_time)

    process.start()
    process.join(10.0)

    try:
        assert process.exitcode == -signal.SIGALRM
    finally:
        process.kill()


def test_of_two_withdrawals_one_is_enough(
    plan: Plan, data: DataDirectory, withdrawals: Callable[[], list[int]]
) -> None:
    with lock.uncontrolled(data):
        energy.withdraw(plan)

    assert withdrawals() == []


def test_where_no_lock_can_be_made_energy_is_withdrawn_all_the_same(
    plan: Plan, data: DataDirectory, withdrawals: Callable[[], list[int]]
) -> None:
    data.controlled.mkdir()

    energy.withdraw(plan)

    assert len(withdrawals()) == 1
