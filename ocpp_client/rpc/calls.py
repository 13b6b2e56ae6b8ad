"""The station's own calls: one at a time over whatever connection stands (OCPP-J 1.6 section 4.1.1)."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from ocpp.exceptions import OCPPError

from ocpp_client.rpc import frame_log, frames, schemas
from ocpp_client.rpc.frames import Call, CallError, CallResult
from ocpp_client.rpc.messages import action_of, payload_of

logger = logging.getLogger(__name__)

DEFAULT_TIMEOUT_S = 30.0
Send = Callable[[str], Awaitable[None]]


class NotDelivered(Exception):
    """The backend has not (or not sensibly) answered; `code` says why in the log's words."""

    code = "failed"


class NotConnected(NotDelivered):
    """There is no connection, or it ended while the answer was awaited."""

    code = "connection_lost"


class AnswerTimedOut(NotDelivered):
    """No answer came in time; it may still come."""

    code = "timeout"


class CallErrorReceived(NotDelivered):
    """The backend answered with a CALLERROR."""

    code = "call_error"

    def __init__(self, error: CallError) -> None:
        super().__init__(f"{error.code}: {error.description}"[:200])
        self.error = error


class AnswerMalformed(NotDelivered):
    """The answer breaks its schema; `payload` is what came."""

    code = "answer_malformed"

    def __init__(self, reason: str, payload: dict[str, Any]) -> None:
        super().__init__(reason)
        self.payload = payload


@dataclass(kw_only=True)
class _Awaited:
    message_id: str
    answer: asyncio.Future[CallResult | CallError]


class Calls:
    """Sends requests and finds the answers to them.

    `attach` and `detach` follow the connection. Answers nobody waits for go to `on_late`: the backend may have needed
    longer than our time-out, or have answered over another connection.
    """

    def __init__(self, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self.timeout_s = timeout_s
        self.on_late: Callable[[CallResult | CallError], None] = _forget
        # Counts the connections, so that a message can tell whether it was sent over the present one.
        self.connection = 0
        self._send: Send | None = None
        self._turn = asyncio.Lock()
        self._awaited: _Awaited | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a connection to send over."""
        return self._send is not None

    def attach(self, send: Send) -> None:
        """Send over this connection from now on."""
        self._send = send
        self.connection += 1

    def detach(self) -> None:
        """Give up the connection and the answer awaited on it."""
        self._send = None
        if self._awaited is not None and not self._awaited.answer.done():
            self._awaited.answer.set_exception(NotConnected())

    async def call(self, message: Any, *, message_id: str | None = None) -> dict[str, Any]:
        """Send a message of `ocpp.v16.call` and return the payload of its answer.

        Raises NotDelivered, or an OCPPError for a message that breaks its schema.
        """
        action, payload = action_of(message), payload_of(message)
        schemas.check_call(action, payload)
        async with self._turn:
            answer = await self._exchange(
                Call(message_id=message_id or str(uuid.uuid4()), action=action, payload=payload)
            )
        if isinstance(answer, CallError):
            raise CallErrorReceived(answer)
        try:
            schemas.check_result(action, answer.payload, lenient=True)
        except OCPPError as violation:
            frame_log.faulty(answer.message_id, violation.description)
            raise AnswerMalformed(violation.description, answer.payload) from violation
        return answer.payload

    async def _exchange(self, call: Call) -> CallResult | CallError:
        if self._send is None:
            raise NotConnected
        future: asyncio.Future[CallResult | CallError] = asyncio.get_running_loop().create_future()
        self._awaited = _Awaited(message_id=call.message_id, answer=future)
        try:
            async with asyncio.timeout(self.timeout_s):
                await self._send(frames.encode(call))
                return await future
        except TimeoutError:
            raise AnswerTimedOut from None
        finally:
            self._awaited = None
            if future.done() and not future.cancelled():
                # The connection may have gone while the message was being sent, and nobody awaits the answer yet.
                future.exception()

    def take_answer(self, answer: CallResult | CallError) -> None:
        """Hand an answer to whoever awaits it."""
        awaited = self._awaited
        if awaited is not None and awaited.message_id == answer.message_id and not awaited.answer.done():
            awaited.answer.set_result(answer)
        else:
            self.on_late(answer)


def _forget(answer: CallResult | CallError) -> None:
    logger.info("An answer to nothing: %s", answer.message_id[:40])
