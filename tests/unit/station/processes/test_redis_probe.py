"""Asking Redis whether it answers, and ending one that does not."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from station.processes.redis_probe import INTERVAL_S, MOST_UNANSWERED, RedisGuard, RedisProbe


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(tmp_path / "redis.sock"))
        listening.listen()
        yield listening


@pytest.fixture
def probe(tmp_path: Path) -> RedisProbe:
    return RedisProbe(str(tmp_path / "redis.sock"))


def test_an_answer_of_any_kind_counts_and_is_looked_for_at_the_next_step(
    probe: RedisProbe, listener: socket.socket
) -> None:
    assert not probe.step(0.0)
    server, _ = listener.accept()
    assert server.recv(100) == b"PING\r\n"
    server.send(b"-NOAUTH Authentication required.\r\n")

    assert not probe.step(INTERVAL_S / 2)
    assert probe.step(INTERVAL_S)

    assert probe.unanswered == 0
    assert probe.listener() == os.getpid()
    server.close()


def test_nobody_who_is_gone_full_or_silent_makes_it_wait(probe: RedisProbe, listener: socket.socket) -> None:
    for step in range(MOST_UNANSWERED):
        assert not probe.step(step * INTERVAL_S)
    assert probe.unanswered == MOST_UNANSWERED

    listener.close()
    Path(probe.address).unlink()
    probe.forget()
    assert not probe.step(100.0)
    assert probe.listener() is None


def test_another_redis_is_found_after_the_first_has_died(probe: RedisProbe, listener: socket.socket) -> None:
    probe.step(0.0)
    first, _ = listener.accept()
    first.close()

    assert not probe.step(10.0)
    second, _ = listener.accept()
    second.send(b"+PONG\r\n")

    assert probe.step(20.0)
    second.close()


def test_the_guard_kills_who_listens_there_after_enough_questions_of_its_own(
    probe: RedisProbe, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    guard = RedisGuard(probe)

    # However late it comes to ask, only its own questions count.
    ended = [guard.step(step * 1000.0) for step in range(MOST_UNANSWERED + 1)]

    assert ended == [None] * (MOST_UNANSWERED - 1) + [os.getpid(), None]
    assert killed == [(os.getpid(), signal.SIGKILL)]
