"""Asking Redis whether it answers, without waiting for it."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from station.processes.redis_probe import INTERVAL_S, RedisProbe


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

    server.close()


def test_nobody_who_is_gone_full_or_silent_makes_it_wait(probe: RedisProbe, listener: socket.socket) -> None:
    for step in range(5):
        assert not probe.step(step * INTERVAL_S)

    listener.close()
    Path(probe.address).unlink()
    assert not probe.step(100.0)


def test_another_redis_is_found_after_the_first_has_died(probe: RedisProbe, listener: socket.socket) -> None:
    probe.step(0.0)
    first, _ = listener.accept()
    first.close()

    assert not probe.step(10.0)
    second, _ = listener.accept()
    second.send(b"+PONG\r\n")

    assert probe.step(20.0)
    second.close()


def test_each_question_takes_a_new_connection_and_leaves_none_behind(
    probe: RedisProbe, listener: socket.socket
) -> None:
    probe.step(0.0)
    for step in (1, 2, 3):
        server, _ = listener.accept()
        with server:
            assert server.recv(100) == b"PING\r\n"
            server.send(b"+PONG\r\n")

            assert probe.step(step * INTERVAL_S)
            assert server.recv(100) == b""


def test_a_redis_whose_path_is_gone_does_not_count_though_it_lives(probe: RedisProbe, listener: socket.socket) -> None:
    probe.step(0.0)
    server, _ = listener.accept()
    server.send(b"+PONG\r\n")
    Path(probe.address).unlink()

    # The answer to the question from before, and then none any more.
    assert probe.step(INTERVAL_S)
    assert not any(probe.step(step * INTERVAL_S) for step in range(2, 6))
    server.close()


def test_a_late_answer_counts(probe: RedisProbe, listener: socket.socket) -> None:
    probe.step(0.0)
    server, _ = listener.accept()
    assert not probe.step(INTERVAL_S)
    server.send(b"+PONG\r\n")

    assert probe.step(2 * INTERVAL_S)
    server.close()
