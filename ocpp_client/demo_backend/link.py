"""One connection between a central system and a station: calls in both directions, answers matched to questions."""

import asyncio
import json
import logging
import uuid
from collections.abc import Awaitable, Callable
from enum import StrEnum

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from ocpp_client.demo_backend.wire import CALL, Call, CallError, CallResult, FrameIsBroken, Message, Payload, decode

logger = logging.getLogger(__name__)


class Direction(StrEnum):
    """Which way a frame went."""

    FROM_STATION = "from_station"
    TO_STATION = "to_station"


class StationAway(Exception):
    """The connection ended before the answer came, or there is none."""


class NoAnswer(Exception):
    """The station left a call unanswered for the whole time allowed."""


class CallRefused(Exception):
    """The station answered a call with a CALLERROR."""

    def __init__(self, error: CallError) -> None:
        super().__init__(f"{error.code}: {error.description}")
        self.code = error.code
        self.description = error.description
        self.details = error.details


# (link, direction, text as on the wire, decoded frame or None, action the frame belongs to or None)
Observer = Callable[["StationLink", Direction, str | bytes, Message | None, str | None], None]
Responder = Callable[["StationLink", Call], Awaitable[None]]


class StationLink:
    """The backend's end of one WebSocket; `respond` answers calls, `observe` sees every frame."""

    def __init__(self, station: str, socket: ServerConnection, *, respond: Responder, observe: Observer) -> None:
        self.station = station
        self.socket = socket
        self._respond = respond
        self._observe = observe
        self._actions: dict[str, str] = {}
        self._pending: dict[str, asyncio.Future[Payload]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Read until the connection ends; every call still pending then fails."""
        try:
            while True:
                await self._take(await self.socket.recv())
        except ConnectionClosed:
            pass
        finally:
            for task in self._tasks:
                task.cancel()
            for future in self._pending.values():
                if not future.done():
                    future.set_exception(StationAway(self.station))
                    # Nobody may be waiting for a call that was only posted; asyncio would complain about it.
                    future.exception()
            self._pending.clear()

    def spawn(self, work: Awaitable[None]) -> None:
        """Run something beside the reading, at the longest as long as the connection lives."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def send(self, message: Message, *, action: str | None = None) -> None:
        """Send a frame; on a connection that has just ended it is lost, as it would be on the wire."""
        await self._put(message.encode(), message, action)

    async def send_raw(self, text: str | bytes) -> None:
        """Send a text or binary WebSocket message exactly as it is."""
        await self._put(text, None, None)

    async def post(self, action: str, payload: Payload, *, message_id: str | None = None) -> str:
        """Send a call without waiting for the answer and return its message id.

        Raises:
            StationAway: the connection has ended.
        """
        call = Call(message_id=message_id or str(uuid.uuid4()), action=action, payload=payload)
        self._actions[call.message_id] = action
        self._pending[call.message_id] = asyncio.get_running_loop().create_future()
        if not await self._put(call.encode(), call, action):
            # The end of the connection may have emptied the list meanwhile.
            self._pending.pop(call.message_id, None)
            raise StationAway(self.station)
        return call.message_id

    async def answer(self, message_id: str, *, timeout_s: float) -> Payload:
        """Wait for the answer to a posted call.

        Raises:
            CallRefused: the station answered with a CALLERROR.
            NoAnswer: nothing came within the time.
            StationAway: the connection ended first.
        """
        future = self._pending.get(message_id)
        if future is None:
            raise StationAway(self.station)
        try:
            return await asyncio.wait_for(asyncio.shield(future), timeout_s)
        except TimeoutError as error:
            raise NoAnswer(f"{self._actions[message_id]} after {timeout_s} s") from error
        finally:
            self._pending.pop(message_id, None)

    async def call(
        self, action: str, payload: Payload, *, timeout_s: float = 30.0, message_id: str | None = None
    ) -> Payload:
        """Send a call and wait for its answer; raises like `answer`."""
        return await self.answer(await self.post(action, payload, message_id=message_id), timeout_s=timeout_s)

    async def _take(self, text: str | bytes) -> None:
        try:
            message = decode(text)
        except FrameIsBroken as broken:
            self._observe(self, Direction.FROM_STATION, text, None, None)
            logger.info("%s sent a broken frame: %s", self.station, broken)
            if broken.message_id is not None and _is_call(text):
                await self.send(
                    CallError(message_id=broken.message_id[:36], code="FormationViolation", description=str(broken))
                )
            return
        action = message.action if isinstance(message, Call) else self._actions.get(message.message_id)
        self._observe(self, Direction.FROM_STATION, text, message, action)
        if isinstance(message, Call):
            await self._respond(self, message)
            return
        future = self._pending.get(message.message_id)
        if future is None or future.done():
            return
        if isinstance(message, CallResult):
            future.set_result(message.payload)
        else:
            future.set_exception(CallRefused(message))
            future.exception()

    async def _put(self, text: str | bytes, message: Message | None, action: str | None) -> bool:
        self._observe(self, Direction.TO_STATION, text, message, action)
        try:
            await self.socket.send(text)
        except ConnectionClosed:
            logger.info("%s is gone, a frame could not be sent", self.station)
            return False
        return True


def _is_call(text: str | bytes) -> bool:
    return bool(json.loads(text)[0] == CALL)
