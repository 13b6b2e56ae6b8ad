"""The live socket: who may listen, what it brings, when it ends."""

from datetime import timedelta
from http.cookies import SimpleCookie

import pytest
from channels.layers import InMemoryChannelLayer, get_channel_layer
from channels.testing import WebsocketCommunicator
from django.conf import settings as django_settings
from django.test import Client
from redis.exceptions import ConnectionError as RedisConnectionError

from station import clock
from station.asgi import application
from station.domain.commands import Origin
from station.services import accounts, live
from station.web.live import SIGNED_OUT, TRY_AGAIN_LATER
from tests.db.station.web.conftest import AT, Parts, charging, point

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def memory_layer(settings) -> None:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


def socket(browser: Client, *, page: str = "dashboard", language: str = "en", **headers: str) -> WebsocketCommunicator:
    cookies = SimpleCookie()
    cookies["django_language"] = language
    if django_settings.SESSION_COOKIE_NAME in browser.cookies:
        cookies[django_settings.SESSION_COOKIE_NAME] = browser.cookies[django_settings.SESSION_COOKIE_NAME].value
    given = {"host": "localhost", "origin": "http://localhost"} | headers
    lines = [(name.encode(), value.encode()) for name, value in given.items()]
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())
    return WebsocketCommunicator(application, f"/live?page={page}", [*lines, (b"cookie", cookie.encode())])


async def closing_code(listener: WebsocketCommunicator) -> int:
    message = await listener.receive_output(5)
    while message["type"] != "websocket.close":
        message = await listener.receive_output(5)
    return message["code"]


async def test_an_open_page_first_gets_all_its_parts_then_only_what_changed(browser: Client, parts: Parts):
    listener = socket(browser)
    assert (await listener.connect())[0]
    first = await listener.receive_from(5)

    parts.show(charging(1), point(2))
    await get_channel_layer().group_send(live.GROUP, {"type": "live.changed", "part": "hardware"})
    second = await listener.receive_from(5)

    assert 'id="connector-1-live"' in first
    assert 'id="connector-2-live"' in first
    assert "Charging" in second
    assert 'id="connector-1-actions"' in second
    assert 'id="connector-2-live"' not in second
    await listener.disconnect()


async def test_fragments_come_in_the_readers_language(browser: Client, parts: Parts):
    listener = socket(browser, page="connectors", language="de")
    await listener.connect()

    assert "Allgemeine Informationen" in await listener.receive_from(5)
    await listener.disconnect()


async def test_a_control_loop_that_dies_without_a_word_is_noticed(browser: Client, parts: Parts):
    listener = socket(browser)
    await listener.connect()
    await listener.receive_from(5)

    parts.hardware = None

    assert "Last recorded: " in await listener.receive_from(5)
    await listener.disconnect()


async def test_a_burst_of_wake_ups_bring_at_most_two_messages_a_second(browser: Client, parts: Parts):
    listener = socket(browser)
    await listener.connect()
    await listener.receive_from(5)
    began_s = clock.monotonic_s()

    for number in range(50):
        parts.show(point(1, power_w=1000 * number), point(2))
        await get_channel_layer().group_send(live.GROUP, {"type": "live.changed", "part": "hardware"})
    for number in range(2):
        parts.show(point(1, power_w=77_000 + 1000 * number), point(2))
        await get_channel_layer().group_send(live.GROUP, {"type": "live.changed", "part": "hardware"})
        await listener.receive_from(5)

    assert clock.monotonic_s() - began_s >= 0.95
    await listener.disconnect()


async def test_a_stranger_is_sent_away_with_a_code_the_page_understands(stranger: Client, parts: Parts):
    listener = socket(stranger)

    await listener.connect()

    assert await closing_code(listener) == SIGNED_OUT


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": ""},
        {"origin": "null"},
        {"host": "evil.example", "origin": "http://evil.example"},
        {"origin": "http://localhost:9999"},
    ],
)
async def test_a_foreign_page_cannot_listen(browser: Client, parts: Parts, headers: dict):
    listener = socket(browser, **headers)

    assert (await listener.connect())[0] is False


async def test_the_socket_ends_with_the_session(browser: Client, parts: Parts, monkeypatch: pytest.MonkeyPatch):
    listener = socket(browser)
    await listener.connect()
    await listener.receive_from(5)

    later = clock.now() + timedelta(minutes=16)
    monkeypatch.setattr(clock, "now", lambda: later)

    assert await closing_code(listener) == SIGNED_OUT


async def test_a_lost_redis_sends_the_page_away_to_come_back(
    browser: Client, parts: Parts, monkeypatch: pytest.MonkeyPatch
):
    async def lost(_self, _channel: str):
        raise RedisConnectionError

    monkeypatch.setattr(InMemoryChannelLayer, "receive", lost)
    listener = socket(browser)
    await listener.send_input({"type": "websocket.connect"})

    assert await closing_code(listener) == TRY_AGAIN_LATER >= 3000


async def test_a_password_change_elsewhere_ends_the_socket(browser: Client, parts: Parts, admin):
    from channels.db import database_sync_to_async

    listener = socket(browser)
    await listener.connect()
    await listener.receive_from(5)

    await database_sync_to_async(accounts.set_password)(admin, "yet another few words", origin=Origin.WEB, at=AT)

    assert await closing_code(listener) == SIGNED_OUT


@pytest.mark.parametrize("page", ["other", "users", "no-such-page"])
async def test_every_page_hears_from_the_station_also_while_nothing_happens(browser: Client, parts: Parts, page: str):
    listener = socket(browser, page=page)
    await listener.connect()
    first = await listener.receive_from(5)

    second = await listener.receive_from(5)

    assert 'id="overall"' in first
    assert 'id="data-at"' in first
    assert 'id="data-at"' in second
    assert 'id="overall"' not in second
    await listener.disconnect()
