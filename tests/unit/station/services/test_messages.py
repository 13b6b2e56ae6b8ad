import asyncio
import json
from datetime import UTC, datetime

import pytest
from channels.exceptions import ChannelFull
from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError as RedisIsAway

from station.domain.authorization import AuthorizationStatus
from station.services import messages
from station.services.messages import (
    AuthorizeRequest,
    CardAuthorized,
    ConfigurationChanged,
    FileStatusChanged,
    MessageMalformed,
    OutboxChanged,
    ProfilesChanged,
    SecurityEventRecorded,
    StartAnswered,
    StatusChanged,
)

MOMENT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TO_OCPP = [
    StatusChanged(
        connector_id=1, revision=7, status="Charging", error_code="NoError", info="", vendor_error_code="", at=MOMENT
    ),
    AuthorizeRequest(request_id="r", id_tag="CARD", timeout_s=30.0),
    OutboxChanged(),
    FileStatusChanged(),
    SecurityEventRecorded(),
]
TO_CONTROL_LOOP = [
    CardAuthorized(request_id="r", answered=False),
    CardAuthorized(request_id="r", answered=True),
    CardAuthorized(
        request_id="r", answered=True, status=AuthorizationStatus.BLOCKED, expires_at=MOMENT, parent_id_tag="GROUP"
    ),
    StartAnswered(session_id=1, transaction_id=2, status=AuthorizationStatus.ACCEPTED),
    ConfigurationChanged(),
    ProfilesChanged(),
]


class Layer:
    def __init__(self, failure: BaseException | None = None, *, hangs: bool = False) -> None:
        self.failure, self.hangs, self.sent = failure, hangs, []

    async def send(self, channel, message):
        if self.failure is not None:
            raise self.failure
        if self.hangs:
            await asyncio.Event().wait()
        self.sent.append((channel, message))


@pytest.mark.parametrize("message", TO_OCPP)
def test_a_message_to_the_ocpp_process_survives_its_way(message):
    assert messages.decode_for_ocpp(json.loads(json.dumps(messages.encode(message)))) == message


@pytest.mark.parametrize("message", TO_CONTROL_LOOP)
def test_a_message_to_the_control_loop_survives_its_way(message):
    assert messages.decode_for_control_loop(json.loads(json.dumps(messages.encode(message)))) == message


@pytest.mark.parametrize(
    "change",
    [
        {"type": "status.exploded"},
        {"type": "outbox.changed.again"},
        {"type": None},
        {"revision": "7"},
        {"revision": True},
        {"revision": None},
        {"at": "yesterday"},
        {"at": 3},
        {"status": None},
    ],
)
def test_a_message_that_is_none_is_refused(change):
    with pytest.raises(MessageMalformed):
        messages.decode_for_ocpp(messages.encode(TO_OCPP[0]) | change)


def test_a_message_without_a_field_is_refused():
    raw = messages.encode(TO_OCPP[0])
    del raw["revision"]

    with pytest.raises(MessageMalformed, match="revision"):
        messages.decode_for_ocpp(raw)


def test_a_message_does_not_go_the_wrong_way():
    with pytest.raises(MessageMalformed):
        messages.decode_for_control_loop(messages.encode(OutboxChanged()))


def test_a_status_the_standard_does_not_know_is_refused():
    with pytest.raises(MessageMalformed, match="status"):
        messages.decode_for_control_loop(messages.encode(TO_CONTROL_LOOP[1]) | {"status": "Perhaps"})


async def test_a_message_is_sent_to_the_channel_of_the_ocpp_process(monkeypatch):
    layer = Layer()
    monkeypatch.setattr(messages, "get_channel_layer", lambda: layer)

    assert await messages.send_to_ocpp(OutboxChanged())

    assert layer.sent == [("ocpp", {"type": "outbox.changed"})]


@pytest.mark.parametrize("failure", [RedisIsAway(), ConnectionResetError(), ChannelFull()])
async def test_without_redis_a_message_is_lost_in_peace(monkeypatch, failure):
    monkeypatch.setattr(messages, "get_channel_layer", lambda: Layer(failure))

    assert not await messages.send_to_ocpp(OutboxChanged())


async def test_a_redis_that_hangs_is_waited_for_only_a_moment(monkeypatch):
    monkeypatch.setattr(messages, "get_channel_layer", lambda: Layer(hangs=True))
    monkeypatch.setattr(messages, "SEND_TIMEOUT_S", 0.01)

    assert not await messages.send_to_ocpp(OutboxChanged())


def test_synchronous_code_can_send_too(monkeypatch):
    layer = Layer()
    monkeypatch.setattr(messages, "get_channel_layer", lambda: layer)

    assert messages.send_to_ocpp_sync(SecurityEventRecorded())

    assert layer.sent == [("ocpp", {"type": "security.event.recorded"})]


def test_a_message_to_the_control_loop_is_a_task_that_expires(monkeypatch):
    posted = []
    monkeypatch.setattr(messages, "post_task", lambda name, **options: posted.append((name, options)))

    assert messages.send_to_control_loop(ProfilesChanged())

    ((name, options),) = posted
    assert name == "hardware.inform"
    assert options["kwargs"] == {"message": {"type": "profiles.changed"}}
    assert options["queue"] == "hardware"
    assert options["expires_s"] > 0


@pytest.mark.parametrize("failure", [OperationalError(), RedisIsAway(), TimeoutError()])
def test_without_redis_the_control_loop_is_not_told(monkeypatch, failure):
    def fail(_name, **_options):
        raise failure

    monkeypatch.setattr(messages, "post_task", fail)

    assert not messages.send_to_control_loop(ProfilesChanged())
