"""The rest of the station over Redis and Celery: commands and messages to the control loop, live snapshots."""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from importlib import import_module
from typing import Any

from station import clock
from station.concurrency import wait_or_timeout
from station.domain.commands import Command, Origin, Outcome
from station.domain.snapshot import BackendSnapshot, HardwareSnapshot
from station.services import commands, live, redis
from station.services.messages import SEND_TIMEOUT_S, MessageToControlLoop, send_to_control_loop

logger = logging.getLogger(__name__)

# Nobody waits longer for the answer to a card (hardware.runtime.authorizer), and everything else is read from the
# database by then.
_WORTH_SENDING_S = 30.0
_PAUSE_S = 0.5
# Far more than a backend asks for in that time.
_MOST_WAITING = 1000


class Messages:
    """Sends one message after the other, in a thread of its own that ends with the process.

    Whoever hands one over does not wait for a Redis that is away or hangs, and a message is not given up because its
    turn comes late: behind one that Redis does not take at once, for instance.
    """

    def __init__(self, send: Callable[[MessageToControlLoop], bool] = send_to_control_loop) -> None:
        self._send = send
        self._waiting: queue.Queue[tuple[MessageToControlLoop, float, Callable[[], None]]] = queue.Queue(_MOST_WAITING)
        threading.Thread(target=self._work, name="messages", daemon=True).start()

    def hand_over(self, message: MessageToControlLoop, *, then: Callable[[], None]) -> None:
        """Take a message and return at once; `then` is called in the thread when nothing more is done for it."""
        try:
            self._waiting.put_nowait((message, clock.monotonic_s(), then))
        except queue.Full:
            logger.warning("The control loop is not told %s: too many messages wait for Redis", message.type)
            then()

    def _work(self) -> None:
        _load()
        while True:
            message, since_s, then = self._waiting.get()
            try:
                self._deliver(message, since_s)
            except Exception:
                logger.exception("a message to the control loop was not sent: %s", message.type)
            then()

    def _deliver(self, message: MessageToControlLoop, since_s: float) -> None:
        while not self._send(message):
            if clock.monotonic_s() - since_s > _WORTH_SENDING_S:
                logger.warning("The control loop was not told %s: Redis is away", message.type)
                return
            time.sleep(_PAUSE_S)


def _load() -> None:
    """Load what sending needs, a second on a slow board, before the first card waits for it."""
    import_module("kombu.transport.redis")
    import_module("station.celery").app.finalize()


class RemoteControlLoop:
    """Implements `ports.ControlLoop`. Messages keep the order of the calls."""

    def __init__(self) -> None:
        self._messages = Messages()

    async def submit(self, command: Command, *, actor: str, at: datetime, wait_s: float) -> Outcome:
        """Hand a command of the backend to the control loop."""
        return await commands.submit_command_async(command, origin=Origin.BACKEND, actor=actor, at=at, wait_s=wait_s)

    async def inform(self, message: MessageToControlLoop) -> None:
        """Send the control loop a message; what Redis does not take at once is sent later, and not waited for."""
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def then() -> None:
            # A loop that has ended waits for nothing.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(done.set)

        self._messages.hand_over(message, then=then)
        await wait_or_timeout(done, SEND_TIMEOUT_S)


class RedisSnapshots:
    """Implements `ports.LiveSnapshots`."""

    def __init__(self) -> None:
        self._redis: Any = None

    async def publish(self, snapshot: BackendSnapshot) -> bool:
        """Publish the live part `backend`."""
        return await live.publish_async(self._client(), snapshot)

    async def hardware(self) -> HardwareSnapshot | None:
        """Read the live part `hardware`."""
        return await live.hardware_async(self._client())

    def _client(self) -> Any:
        if self._redis is None:
            self._redis = redis.async_client()
        return self._redis
