"""A Redis that hangs instead of being gone: its socket takes everything and answers nothing."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.process.conformance.bench import CARD, ConformanceBench, never
from tests.station import http, wait_until

pytestmark = pytest.mark.process

# Generous for a busy machine. Measured on an idle one: statuses and sessions 2 s, what needs the control loop 1.5 s.
BOUND_S = 8.0
REVIVED_S = 5.0
DECIDED_S = 5.0
# The supervisor waits ten seconds for an answer.
REPLACED_S = 60.0


@contextmanager
def hung_redis(bench: ConformanceBench) -> Iterator[None]:
    """Stop Redis, and each one that the supervisor puts in its place, before it can listen."""
    stopped: list[int] = []
    is_over = threading.Event()

    def keep_stopping() -> None:
        while not is_over.wait(0.005):
            pid = bench.station.child_pids().get("redis")
            if pid is not None and pid not in stopped:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)

    thread = threading.Thread(target=keep_stopping)
    thread.start()
    wait_until(lambda: stopped, what="a stopped Redis")
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        with suppress(ProcessLookupError):
            os.kill(stopped[-1], signal.SIGCONT)


def within(seconds: float, work: Callable[[], Any]) -> Any:
    began_s = time.monotonic()
    result = work()
    took_s = time.monotonic() - began_s
    assert took_s < seconds, f"took {took_s:.1f} s"
    return result


def test_with_a_hung_redis_cars_charge_and_are_told_and_nothing_stays_broken(tmp_path: Path) -> None:
    with ConformanceBench.open(tmp_path, config={"LocalPreAuthorize": "true"}) as bench:
        entries = [{"idTag": CARD, "idTagInfo": {"status": "Accepted"}}]
        bench.call("SendLocalList", listVersion=1, updateType="Full", localAuthorizationList=entries)
        running = bench.charge(2, "RUNNING")
        before_wh = bench.station.connector(2)["energy_wh"]

        with hung_redis(bench):
            # A listed card is decided, its session begins, goes on and ends, and the backend hears of all of it.
            bench.sim("/connectors/1/plug")
            bench.wait_status("Preparing", timeout=BOUND_S)
            bench.swipe(CARD)
            bench.wait_for("StartTransaction", connectorId=1, timeout=BOUND_S)
            bench.wait_status("Charging", timeout=BOUND_S)
            # What cannot reach the control loop is refused instead of being left open, and acts at no later time.
            refused = within(BOUND_S, lambda: bench.status_of("RemoteStopTransaction", transactionId=running))
            assert refused == "Rejected"
            assert within(BOUND_S, lambda: bench.call("GetCompositeSchedule", connectorId=1, duration=60))
            bench.configure(MinimumStatusDuration=0)
            assert within(BOUND_S, lambda: http("GET", bench.station.http_port, "/login"))[0] == 200
            assert within(BOUND_S, lambda: http("GET", bench.station.http_port, "/healthz"))[0] == 503
            bench.swipe(CARD)
            bench.wait_for("StopTransaction", idTag=CARD, timeout=BOUND_S)
            bench.unplug(1)
            bench.wait_status("Available", timeout=BOUND_S)
            # A card that only the backend knows cannot be asked about: the rules of an offline station refuse it.
            bench.sim("/connectors/1/plug")
            bench.swipe("STRANGER")
            never(lambda: bench.station.connector(1)["contactor"], for_s=DECIDED_S)

        # Revived: what went over Redis works again at once, and everybody has lived through it.
        mark = bench.mark()
        bench.station.wait_healthy(timeout_s=REVIVED_S)
        assert bench.station.connector(2)["contactor"]
        assert not bench.station.connector(1)["contactor"]
        assert bench.station.connector(2)["energy_wh"] > before_wh
        assert bench.status_of("TriggerMessage", requestedMessage="MeterValues", connectorId=2) == "Accepted"
        # The control loop's way to its commands finds the Redis that took the place of the hung one.
        wait_until(lambda: may_stop(bench, running), timeout_s=REPLACED_S, what="a command that arrives")
        bench.wait_for("StopTransaction", after=mark, transactionId=running, timeout=REVIVED_S)
        bench.wait_status("Finishing", connector=2, after=mark, timeout=REVIVED_S)
        bench.swipe("ASKED")
        bench.wait_for("Authorize", after=mark, idTag="ASKED", timeout=REVIVED_S)
        bench.wait_for("StartTransaction", after=mark, idTag="ASKED", timeout=REVIVED_S)
        bench.wait_status("Charging", after=mark, timeout=REVIVED_S)
        assert bench.told(1)["status"] == "Charging"
        begun = bench.received("StartTransaction", after=mark)
        assert [(each["connectorId"], each["idTag"]) for each in begun] == [(1, "ASKED")]
        bench.judge()


def test_a_redis_that_hangs_for_ever_is_replaced_and_everybody_finds_the_new_one(tmp_path: Path) -> None:
    with ConformanceBench.open(tmp_path, config={"LocalPreAuthorize": "true"}) as bench:
        station = bench.station
        running = bench.charge(2, "RUNNING")
        others = {name: pid for name, pid in station.child_pids().items() if name != "redis"}

        hung = station.kill("redis", signal.SIGSTOP)

        wait_until(lambda: reasons(bench) == ["redis_absent"], timeout_s=REPLACED_S, what="the reason in healthz")
        wait_until(lambda: station.child_pids().get("redis", hung) != hung, timeout_s=REPLACED_S, what="another Redis")
        station.wait_healthy(timeout_s=REPLACED_S)
        assert f"redis ({hung}) no longer says that it works" in station.log("main")
        assert station.connector(2)["contactor"]
        mark = bench.mark()
        wait_until(lambda: may_stop(bench, running), timeout_s=REPLACED_S, what="a command that arrives")
        bench.wait_for("StopTransaction", after=mark, transactionId=running, timeout=REPLACED_S)
        bench.sim("/connectors/1/plug")
        bench.swipe("ASKED")
        bench.wait_for("Authorize", after=mark, idTag="ASKED", timeout=REPLACED_S)
        bench.wait_for("StartTransaction", after=mark, idTag="ASKED", timeout=REPLACED_S)
        # Nobody but Redis had to be replaced.
        assert {name: pid for name, pid in station.child_pids().items() if name != "redis"} == others
        bench.judge()


def test_a_redis_whose_socket_was_deleted_is_replaced(tmp_path: Path) -> None:
    with ConformanceBench.open(tmp_path) as bench:
        station = bench.station
        lost = station.child_pids()["redis"]

        (station.data / "run/redis.sock").unlink()

        wait_until(lambda: station.child_pids().get("redis", lost) != lost, timeout_s=REPLACED_S, what="another Redis")
        station.wait_healthy(timeout_s=REPLACED_S)


def reasons(bench: ConformanceBench) -> list[str]:
    status, answer = http("GET", bench.station.http_port, "/healthz")
    return [reason["code"] for reason in answer["reasons"]] if status == 503 else []


def may_stop(bench: ConformanceBench, transaction: int) -> bool:
    return bench.status_of("RemoteStopTransaction", transactionId=transaction) == "Accepted"
