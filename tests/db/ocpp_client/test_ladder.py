"""The steps to the backend, against servers that misbehave."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from ocpp_client.connection import last_failure
from ocpp_client.connection.attempt import Attempt, look_at_way
from ocpp_client.connection.endpoint import Endpoint
from ocpp_client.connection.socket import OPENING_FAILURES, open_proven_first
from station import clock
from station.domain.backend_ladder import Observation, Step, Verdict, ladder
from station.services import configuration, secret_storage
from station.services.messages import CheckBackend, TryBackend
from station.ui import ladder_words
from tests.backend import Backend, Silence
from tests.certificates import CertificateAuthority, server_context

KEY = "0123456789abcdef"


def endpoint(url: str, **changes: Any) -> Endpoint:
    return replace(Endpoint(base_url=url, identity="TE1", security_profile=1, authorization_key=KEY), **changes)


async def climb(target: Endpoint, context: ssl.SSLContext | None = None, timeout_s: float = 5.0) -> Observation:
    attempt = Attempt(target)
    try:
        opened, _link = await open_proven_first(target, context, None, attempt, open_timeout_s=timeout_s)
    except OPENING_FAILURES:
        return attempt.seen
    await opened.close()
    return attempt.seen


def broken(seen: Observation) -> tuple[Step, str]:
    """Return the step that fails and its cause, which must have words."""
    (rung,) = [each for each in ladder(seen, None, now=clock.now()) if each.verdict is Verdict.BAD]
    assert rung.cause in ladder_words.CAUSES
    return rung.step, rung.cause


@asynccontextmanager
async def answering(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """Listen with something that is no OCPP server; yield host and port."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def test_a_name_nobody_knows_fails_at_the_name() -> None:
    assert broken(await climb(endpoint("ws://nowhere.invalid/ocpp"))) == (Step.NAME, "name_unknown")


async def test_a_port_nobody_listens_at_fails_at_tcp() -> None:
    async with answering(_hang_up) as place:
        pass

    assert broken(await climb(endpoint(f"ws://{place}"))) == (Step.TCP, "connection_refused")


async def test_a_server_that_hangs_fails_at_the_step_it_hangs_at() -> None:
    async with answering(_be_silent) as place:
        plain = await climb(endpoint(f"ws://{place}"), timeout_s=0.2)
        secure = await climb(endpoint(f"wss://{place}"), ssl.create_default_context(), timeout_s=0.2)

    assert broken(plain) == (Step.WEBSOCKET, "timeout_websocket")
    assert broken(secure) == (Step.TLS, "timeout_tls")


async def test_plain_http_at_a_wss_address_is_recognised() -> None:
    async with answering(_speak_http) as place:
        seen = await climb(endpoint(f"wss://{place}"), ssl.create_default_context())

    assert broken(seen) == (Step.TLS, "tls_not_spoken")


@pytest.mark.parametrize(
    ("status", "step", "cause"),
    [
        (401, Step.LOGIN, "unauthorized"),
        (403, Step.LOGIN, "unauthorized"),
        (404, Step.WEBSOCKET, "identity_unknown"),
        (301, Step.WEBSOCKET, "redirected"),
        (418, Step.WEBSOCKET, "http_status"),
        (503, Step.WEBSOCKET, "backend_unavailable"),
    ],
)
async def test_the_http_status_decides_what_is_wrong(status: int, step: Step, cause: str) -> None:
    async with Backend.start() as backend:
        backend.refuse_with = status
        seen = await climb(endpoint(backend.url))

    assert broken(seen) == (step, cause)
    assert seen.http_status == status


async def test_a_server_without_the_subprotocol_is_told() -> None:
    async with Backend.start(subprotocols=("ocpp2.0.1",)) as backend:
        seen = await climb(endpoint(backend.url))

    assert broken(seen) == (Step.WEBSOCKET, "subprotocol_refused")


@pytest.mark.parametrize(
    ("kind", "cause"),
    [("expired", "certificate_expired"), ("name", "certificate_name"), ("unknown", "certificate_unknown")],
)
async def test_a_bad_certificate_is_shown_with_what_is_wrong_with_it(tmp_path: Path, kind: str, cause: str) -> None:
    authority = CertificateAuthority.make(tmp_path)
    issued = {
        "expired": authority.expired_server,
        "name": authority.wrong_name_server,
        "unknown": authority.server,
    }[kind]()
    context = ssl.create_default_context(cadata=None if kind == "unknown" else authority.pem)

    async with Backend.start(tls=server_context(issued)) as backend:
        seen = await climb(endpoint(backend.url), context)

    assert broken(seen) == (Step.TLS, cause)
    assert seen.certificate is not None
    assert seen.certificate.issuer == "Test authority ca"


async def test_a_good_way_is_measured_on_every_step(tmp_path: Path) -> None:
    authority = CertificateAuthority.make(tmp_path)
    async with Backend.start(tls=server_context(authority.server())) as backend:
        seen = await climb(endpoint(backend.url), ssl.create_default_context(cadata=authority.pem))

    assert seen.peer == "127.0.0.1"
    assert seen.tls_version.startswith("TLSv1.")
    assert seen.subprotocol == "ocpp1.6"
    assert None not in (seen.name_ms, seen.tcp_ms, seen.tls_ms, seen.websocket_ms)


async def test_no_message_waits_for_the_acknowledgement_of_the_one_before_it() -> None:
    async with Backend.start() as backend:
        opened, _link = await open_proven_first(endpoint(backend.url), None, None, Attempt(endpoint(backend.url)))
        wire = opened.transport.get_extra_info("socket")
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await opened.close()


async def test_a_look_at_the_way_opens_no_websocket() -> None:
    async with Backend.start() as backend:
        attempt = Attempt(endpoint(backend.url), stops_early=True)
        await look_at_way(attempt, None, timeout_s=5.0)

        assert backend.connects == 0
    assert attempt.seen.is_over
    assert attempt.seen.failure == ""


async def test_neither_key_nor_credentials_of_an_address_are_shown() -> None:
    seen = await climb(endpoint("ws://user:password@nowhere.invalid/ocpp?token=abc"))

    assert KEY not in repr(seen)
    assert "password" not in repr(seen)
    assert "abc" not in repr(seen)


async def test_the_station_shows_the_ladder_of_the_connection_that_stands(bench) -> None:
    async with bench() as station:
        await station.ready()
        published = station.processes.snapshots

        shown = await station.until(
            lambda: [each for each in published if each.registered and each.registered.phase == "accepted"]
        )

        assert shown[0].attempt.step is Step.BOOT
        assert shown[0].attempt.failure == ""


async def test_a_check_does_not_disturb_the_connection_that_stands(bench) -> None:
    async with bench() as station:
        await station.ready()
        station.link.take(CheckBackend())
        checked = await station.until(lambda: station.link.state.checked)

        assert checked.failure == ""
        assert station.backend.connects == 1
        assert station.link.state.connected


async def test_the_last_failure_is_kept_over_a_restart(bench) -> None:
    async with bench() as station:
        await station.ready()
        station.backend.refuse_with = 404
        station.link._connection.cut()
        await station.until(lambda: station.link.state.failed and station.link.state.failed.http_status == 404)

        # The cut itself was written down as a failure a moment before.
        def newest() -> Observation | None:
            kept = last_failure.load()
            return kept if kept is not None and kept.http_status == 404 else None

        kept = await station.until(newest)

        assert kept.failure == "identity_unknown"
        assert kept.ended_at is not None


async def test_a_server_that_does_not_answer_boot_notification_is_told(bench) -> None:
    async with bench(run=False) as station:
        station.backend.answers["BootNotification"] = Silence()
        running = asyncio.create_task(station.link.run())
        await station.until(lambda: station.link.state.registration.phase.value == "unanswered")

        assert station.link.state.registered.phase == "unanswered"
        await station.link.stop()
        await running


async def test_settings_that_lead_to_a_server_are_saved_after_their_trial(bench) -> None:
    async with bench() as station, Backend.start() as other:
        await station.ready()
        await _try(station, {"/ocpp/url": f"ws://localhost:{other.port}/new"})
        await station.until(lambda: other.frames)

        assert station.link.state.tried_id == "one"
        # The trial sends nothing: BootNotification comes over the connection that is opened afterwards.
        assert other.connects == 2
        assert other.frames[0].connection == other.connections[-1].number
        url = await station.until_in_database(lambda: configuration.get("/ocpp/url"))
        assert url == f"ws://localhost:{other.port}/new"


async def test_settings_that_lead_nowhere_change_nothing(bench) -> None:
    async with bench() as station:
        await station.ready()
        await _try(station, {"/ocpp/url": "ws://nowhere.invalid"})
        tried = await station.until(lambda: station.link.state.tried and station.link.state.tried.is_over)

        assert tried
        assert station.link.state.tried.failure == "name_unknown"
        assert station.link.state.connected
        assert station.backend.connects == 1
        url = await station.until_in_database(lambda: configuration.get("/ocpp/url"))
        assert url == station.backend.url


async def test_a_server_that_shows_the_station_out_at_once_changes_nothing(bench) -> None:
    async def show_out(connection: ServerConnection) -> None:
        await connection.close(1008, "unknown station")

    async with (
        bench() as station,
        serve(show_out, "127.0.0.1", 0, subprotocols=[Subprotocol("ocpp1.6")]) as other,
    ):
        await station.ready()
        port = next(iter(other.sockets)).getsockname()[1]
        await _try(station, {"/ocpp/url": f"ws://localhost:{port}/ocpp"})
        await station.until(lambda: station.link.state.tried and station.link.state.tried.failure)

        assert broken(station.link.state.tried) == (Step.BOOT, "closed_before_boot")
        assert "1008 unknown station" in station.link.state.tried.detail
        assert station.backend.connects == 1
        url = await station.until_in_database(lambda: configuration.get("/ocpp/url"))
        assert url == station.backend.url


async def test_another_key_at_the_same_server_is_saved_without_a_second_websocket(bench) -> None:
    async with bench() as station:
        await station.ready()
        await _try(station, {"SecurityProfile": "1", "AuthorizationKey": KEY})
        await station.until(lambda: station.link.state.tried and station.link.state.tried.is_over)

        assert station.link.state.tried.stopped_early
        await station.until_in_database(lambda: configuration.get("AuthorizationKey") == KEY)


async def test_another_name_of_the_same_server_is_recognised(bench) -> None:
    async with bench() as station:
        await station.ready()
        await _try(station, {"/ocpp/url": f"ws://localhost:{station.backend.port}/other"})
        await station.until(lambda: station.link.state.tried and station.link.state.tried.is_over)

        assert station.link.state.tried.stopped_early
        assert station.link.state.failed is None


async def _try(station: Any, wanted: dict[str, str]) -> None:
    sealed = secret_storage.encrypt(json.dumps(wanted))
    station.link.take(TryBackend(trial_id="one", sealed=sealed, actor="admin"))


async def _hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1000):
        continue
    writer.close()


async def _speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1000)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    writer.close()
