"""The demo central system: OCPP at /<identity>, a page at /, its state at /api/state, commands over /control."""

import asyncio
import contextlib
import ipaddress
import json
import logging
import signal
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers, MultipleValuesError
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from ocpp_client.demo_backend import page, state_file
from ocpp_client.demo_backend.books import ActionIsUnknown, Books, moment_text
from ocpp_client.demo_backend.link import CallRefused, Direction, NoAnswer, StationAway, StationLink
from ocpp_client.demo_backend.wire import FROM_BACKEND, Call, CallError, CallResult, Message, Payload, call_violations
from ocpp_client.demo_backend.words import language_of
from station.domain.browser_requests import foreign_page, is_of_browser

logger = logging.getLogger(__name__)

SUBPROTOCOL = Subprotocol("ocpp1.6")
CONTROL_PATH = "/control"
MESSAGES_KEPT = 200
MESSAGE_TEXT_KEPT = 2_000
ANSWERS_KEPT = 1_000
TRANSACTIONS_KEPT = 500
SAVE_DELAY_S = 1.0
CALL_TIMEOUT_S = 30.0
MAX_MESSAGE_BYTES = 4 * 1024 * 1024

_SAVED_BEFORE_ANSWERING = frozenset({"StartTransaction", "StopTransaction"})
_ASSETS = {"/app.js": "text/javascript", "/style.css": "text/css"}


class HostIsNotLoopback(Exception):
    """The demo backend knows no passwords and therefore never listens where others can reach it."""


class CommandIsBroken(Exception):
    """What came over /control is no command."""


class DemoBackend:
    """A running demo backend is an asynchronous context; `port` is known inside it."""

    def __init__(
        self, *, host: str, port: int, state_file: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise HostIsNotLoopback(host)
        self.host = host
        self.port = port
        self._path = state_file
        self._clock = clock
        self._messages: deque[dict[str, Any]] = deque(maxlen=MESSAGES_KEPT)
        self._links: dict[str, StationLink] = {}
        self._saving = asyncio.Lock()
        self._unsaved = asyncio.Event()
        self._saver: asyncio.Task[None] | None = None
        self._server: Server | None = None
        self.books = self._open_books()

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve_socket,
            self.host,
            self.port,
            process_request=self._process_request,
            select_subprotocol=_select_subprotocol,
            max_size=MAX_MESSAGE_BYTES,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        self._saver = asyncio.create_task(self._save_from_time_to_time())
        logger.info("demo backend listening on %s", self.endpoint)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        if self._saver is not None:
            self._saver.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._saver
        await self._save()

    @property
    def endpoint(self) -> str:
        """Give the address a station is to be set to, without its identity."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ws://{host}:{self.port}"

    def state(self) -> dict[str, Any]:
        """Give everything /api/state shows."""
        stored = self.books.to_json()
        return {
            "endpoint": self.endpoint,
            "stations": [row | {"connected": row["identity"] in self._links} for row in stored["stations"]],
            "transactions": [one.to_json() for one in self.books.transactions],
            "irregularities": stored["irregularities"],
            "repeats": self.books.repeats,
            "messages": list(self._messages),
        }

    # --- HTTP ------------------------------------------------------------------------------------------------

    def _process_request(self, _: ServerConnection, request: Request) -> Response | None:
        try:
            headers = {name.lower(): request.headers[name] for name in request.headers}
        except MultipleValuesError as error:
            return _response(HTTPStatus.BAD_REQUEST, "text/plain", f"the header {error} comes twice")
        refusal = foreign_page(headers)
        if refusal is not None:
            return _response(HTTPStatus.FORBIDDEN, "text/plain", refusal)
        path = urlsplit(request.path).path
        if "websocket" not in request.headers.get("Upgrade", "").lower():
            return self._get(path, request)
        is_station = SUBPROTOCOL in request.headers.get("Sec-WebSocket-Protocol", "")
        if path == CONTROL_PATH and not is_station:
            return None
        if is_of_browser(headers):
            return _response(HTTPStatus.FORBIDDEN, "text/plain", "a browser is no station")
        if not _identity(path):
            return _response(HTTPStatus.NOT_FOUND, "text/plain", "the address ends with the station's identity")
        return None

    def _get(self, path: str, request: Request) -> Response:
        if path in _ASSETS:
            text = (resources.files("ocpp_client.demo_backend") / "assets" / path[1:]).read_text(encoding="utf-8")
            return _response(HTTPStatus.OK, _ASSETS[path], text)
        if path == "/api/state":
            return _response(HTTPStatus.OK, "application/json", json.dumps(self.state(), ensure_ascii=False))
        if path == "/":
            wanted = parse_qs(urlsplit(request.path).query).get("lang", [None])[0]
            html = page.render(
                self.books,
                connected=self._links,
                messages=self._messages,
                endpoint=self.endpoint,
                language=language_of(request.headers.get("Accept-Language", ""), wanted),
            )
            return _response(HTTPStatus.OK, "text/html", html)
        return _response(HTTPStatus.NOT_FOUND, "text/plain", "not found")

    # --- sockets ---------------------------------------------------------------------------------------------

    async def _serve_socket(self, socket: ServerConnection) -> None:
        path = urlsplit(socket.request.path).path if socket.request is not None else ""
        if socket.subprotocol is not None:
            await self._serve_station(socket, _identity(path))
        elif path == CONTROL_PATH:
            await self._serve_control(socket)
        else:
            # OCPP-J 1.6, 3.3: without a common subprotocol the handshake is completed and the socket closed at once.
            await socket.close(1002, "only ocpp1.6 is spoken here")

    async def _serve_station(self, socket: ServerConnection, identity: str) -> None:
        link = StationLink(identity, socket, respond=self._respond, observe=self._observe)
        former = self._links.get(identity)
        self._links[identity] = link
        if former is not None:
            # A station has one connection; the older one is a half-open rest of an outage.
            former.spawn(former.socket.close(1000, "replaced by a newer connection"))
        logger.info("%s connected", identity)
        try:
            await link.serve()
        finally:
            if self._links.get(identity) is link:
                del self._links[identity]
            logger.info("%s disconnected (%s)", identity, socket.close_code)

    async def _serve_control(self, socket: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.send(json.dumps(await self._command(await socket.recv())))

    async def _command(self, text: str | bytes) -> dict[str, Any]:
        try:
            station, action, payload = _read_command(text)
            return {"payload": await self._link(station).call(action, payload, timeout_s=CALL_TIMEOUT_S)}
        except CallRefused as refusal:
            return _failure(refusal.code, refusal.description)
        except (CommandIsBroken, NoAnswer, StationAway) as error:
            return _failure(type(error).__name__, str(error))

    def _link(self, station: str) -> StationLink:
        link = self._links.get(station)
        if link is None:
            raise StationAway(station)
        return link

    async def _respond(self, link: StationLink, call: Call) -> None:
        answer = self.books.remembered_answer(link.station, call.message_id)
        if answer is None:
            now = self._clock()
            try:
                answer = self.books.propose_answer(call.action, call.payload, at=now)
            except ActionIsUnknown:
                await link.send(CallError(message_id=call.message_id, code="NotImplemented"), action=call.action)
                return
            for code, reason in call_violations(call.action, call.payload):
                refusal = CallError(message_id=call.message_id, code=code, description=reason[:255])
                await link.send(refusal, action=call.action)
                return
            self.books.book(link.station, call.message_id, call.action, call.payload, answer, at=now)
            if call.action in _SAVED_BEFORE_ANSWERING:
                await self._save()
        await link.send(CallResult(message_id=call.message_id, payload=answer), action=call.action)

    def _observe(
        self, link: StationLink, direction: Direction, text: str | bytes, message: Message | None, action: str | None
    ) -> None:
        shown = text if isinstance(text, str) else text.decode(errors="replace")
        self._messages.append(
            {
                "at": moment_text(self._clock()),
                "station": link.station,
                "direction": direction.value,
                "action": action,
                "message_id": message.message_id if message is not None else None,
                "text": shown if len(shown) <= MESSAGE_TEXT_KEPT else f"{shown[:MESSAGE_TEXT_KEPT]}…",
            }
        )
        self._unsaved.set()

    # --- the file --------------------------------------------------------------------------------------------

    def _open_books(self) -> Books:
        stored = state_file.load(self._path)
        if stored is not None:
            try:
                books = Books.from_json(stored["books"], answers_kept=ANSWERS_KEPT, finished_kept=TRANSACTIONS_KEPT)
                self._messages.extend(stored["messages"])
            except (KeyError, TypeError, ValueError):
                state_file.put_aside(self._path)
            else:
                return books
        return Books(answers_kept=ANSWERS_KEPT, finished_kept=TRANSACTIONS_KEPT)

    async def _save_from_time_to_time(self) -> None:
        while True:
            await self._unsaved.wait()
            await asyncio.sleep(SAVE_DELAY_S)
            try:
                await self._save()
            except OSError:
                logger.exception("the state could not be saved to %s", self._path)

    async def _save(self) -> None:
        async with self._saving:
            self._unsaved.clear()
            text = json.dumps({"books": self.books.to_json(), "messages": list(self._messages)}, ensure_ascii=False)
            await asyncio.to_thread(state_file.save, self._path, text)


async def run(host: str, port: int, state_file: Path) -> None:
    """Serve until SIGTERM or SIGINT, then close every connection and save.

    Raises:
        HostIsNotLoopback: the host could be reached from elsewhere.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with DemoBackend(host=host, port=port, state_file=state_file):
        await stop.wait()


def _select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


def _identity(path: str) -> str:
    return unquote(path.rpartition("/")[2])


def _read_command(text: str | bytes) -> tuple[str, str, Payload]:
    try:
        match json.loads(text):
            case {"station": str(station), "action": str(action), "payload": dict(payload)}:
                pass
            case _:
                raise CommandIsBroken("station, action and payload are needed")
    except ValueError as error:
        raise CommandIsBroken(str(error)) from error
    if action not in FROM_BACKEND:
        raise CommandIsBroken(f"no backend sends {action}")
    return station, action, payload


def _failure(code: str, description: str) -> dict[str, Any]:
    return {"error": {"code": code, "description": description}}


def _response(status: HTTPStatus, content_type: str, text: str) -> Response:
    body = text.encode()
    headers = Headers(
        {
            "Content-Type": f"{content_type}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Connection": "close",
            "Content-Security-Policy": (
                "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; "
                "form-action 'none'; frame-ancestors 'none'"
            ),
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
    )
    return Response(status.value, status.phrase, headers, body)
