"""Where a frame goes: an answer to the call it belongs to, a call of the backend to the dispatcher."""

import logging
from typing import Protocol

from ocpp_client.rpc import frame_log, frames
from ocpp_client.rpc.calls import Calls, Send
from ocpp_client.rpc.frames import Call, CallError, CallResult

logger = logging.getLogger(__name__)


class CallTaker(Protocol):
    """Whoever answers the calls of the backend."""

    def begin(self, send: Send) -> None:
        """Answer over this connection."""

    def take(self, call: Call, text: str | bytes) -> None:
        """Answer a call, which came as this text."""

    async def room(self) -> None:
        """Wait until more calls can be taken."""

    def take_broken(self, broken: frames.FrameMalformed) -> None:
        """Answer a frame that could not be read, where it deserves an answer."""

    def end(self) -> None:
        """Give up the connection."""


class FrameRouter:
    """Implements `connection.Traffic`: reads what comes over a connection and hands it on."""

    def __init__(self, calls: Calls, dispatcher: CallTaker) -> None:
        self._calls = calls
        self._dispatcher = dispatcher

    def begin(self, send: Send) -> None:
        """Take a connection into use."""
        self._calls.attach(send)
        self._dispatcher.begin(send)

    def take(self, text: str | bytes) -> None:
        """Take a frame."""
        try:
            frame = frames.parse(text)
        except frames.MessageTypeUnknown:
            frame_log.received(text, None)
            return
        except frames.FrameMalformed as broken:
            frame_log.received(text, None)
            logger.warning("The backend sent %s", broken)
            self._dispatcher.take_broken(broken)
            return
        frame_log.received(text, frame)
        if isinstance(frame, CallResult | CallError):
            self._calls.take_answer(frame)
        else:
            self._dispatcher.take(frame, text)

    async def room(self) -> None:
        """Wait until more can be taken."""
        await self._dispatcher.room()

    def end(self) -> None:
        """Give the connection up, and with it the answers awaited on it."""
        self._calls.detach()
        self._dispatcher.end()
