"""Messages to the control loop: none is given up because its turn comes late, and nobody waits for Redis."""

import queue
import threading

import pytest

from ocpp_client import over_redis
from ocpp_client.over_redis import Messages, RemoteControlLoop
from station.services.messages import ConfigurationChanged, MessageToControlLoop, ProfilesChanged

PATIENCE_S = 20.0


class SlowRedis:
    """Takes the first message when it is let go, and refuses as often as it is told."""

    def __init__(self, *, refusals: int = 0) -> None:
        self.taken: queue.Queue[MessageToControlLoop] = queue.Queue()
        self.let_go = threading.Event()
        self.tried = threading.Event()
        self.refusals = refusals

    def send(self, message: MessageToControlLoop) -> bool:
        self.tried.set()
        self.let_go.wait(PATIENCE_S)
        if self.refusals > 0:
            self.refusals -= 1
            return False
        self.taken.put(message)
        return True


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(over_redis, "SEND_TIMEOUT_S", 0.01)
    monkeypatch.setattr(over_redis, "_PAUSE_S", 0.001)


def loop_over(monkeypatch, redis):
    monkeypatch.setattr(over_redis, "Messages", lambda: Messages(redis.send))
    return RemoteControlLoop()


async def test_what_waits_behind_a_slow_first_message_is_sent_after_it(monkeypatch):
    redis = SlowRedis()
    control_loop = loop_over(monkeypatch, redis)

    await control_loop.inform(ConfigurationChanged())
    await control_loop.inform(ProfilesChanged())
    assert redis.taken.empty()
    redis.let_go.set()

    assert redis.taken.get(timeout=PATIENCE_S) == ConfigurationChanged()
    assert redis.taken.get(timeout=PATIENCE_S) == ProfilesChanged()


async def test_whoever_informs_goes_on_when_the_message_is_taken(monkeypatch):
    monkeypatch.setattr(over_redis, "SEND_TIMEOUT_S", PATIENCE_S)
    redis = SlowRedis()
    redis.let_go.set()

    await loop_over(monkeypatch, redis).inform(ProfilesChanged())

    assert redis.taken.get_nowait() == ProfilesChanged()


async def test_a_redis_that_comes_back_gets_the_messages_in_their_order(monkeypatch):
    redis = SlowRedis(refusals=3)
    redis.let_go.set()
    control_loop = loop_over(monkeypatch, redis)

    await control_loop.inform(ConfigurationChanged())
    await control_loop.inform(ProfilesChanged())

    assert redis.taken.get(timeout=PATIENCE_S) == ConfigurationChanged()
    assert redis.taken.get(timeout=PATIENCE_S) == ProfilesChanged()


async def test_what_nobody_waits_for_any_more_makes_way_for_the_next(monkeypatch):
    monkeypatch.setattr(over_redis, "_WORTH_SENDING_S", 0.0)
    redis = SlowRedis(refusals=1)
    control_loop = loop_over(monkeypatch, redis)
    await control_loop.inform(ConfigurationChanged())
    assert redis.tried.wait(PATIENCE_S)
    redis.let_go.set()

    await control_loop.inform(ProfilesChanged())

    assert redis.taken.get(timeout=PATIENCE_S) == ProfilesChanged()


async def test_an_error_while_sending_ends_neither_the_thread_nor_the_one_who_informs(monkeypatch):
    redis = SlowRedis()
    redis.let_go.set()
    failures = [ValueError("unforeseen")]

    def send(message):
        if failures:
            raise failures.pop()
        return redis.send(message)

    monkeypatch.setattr(over_redis, "Messages", lambda: Messages(send))
    control_loop = RemoteControlLoop()

    await control_loop.inform(ConfigurationChanged())
    await control_loop.inform(ProfilesChanged())

    assert redis.taken.get(timeout=PATIENCE_S) == ProfilesChanged()


async def test_too_many_messages_are_refused_and_not_piled_up(monkeypatch):
    monkeypatch.setattr(over_redis, "_MOST_WAITING", 1)
    redis = SlowRedis()
    control_loop = loop_over(monkeypatch, redis)

    for _ in range(4):
        await control_loop.inform(ProfilesChanged())
        assert redis.tried.wait(PATIENCE_S)
    redis.let_go.set()
    redis.taken.get(timeout=PATIENCE_S)
    redis.taken.get(timeout=PATIENCE_S)

    with pytest.raises(queue.Empty):
        redis.taken.get(timeout=0.05)
