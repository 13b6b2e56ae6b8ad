"""The process that holds the connection to the backend: a Channels worker that outlives its channel layer."""

import asyncio
import logging
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from channels.layers import get_channel_layer
from channels.worker import Worker
from django.conf import settings
from redis.exceptions import RedisError

from ocpp_client.consumer import OcppConsumer
from ocpp_client.ports import Environment
from ocpp_client.rpc import frame_log
from station import clock
from station.host.heartbeat import Heartbeat
from station.services.messages import OCPP_CHANNEL

logger = logging.getLogger(__name__)

# Commands wait for the control loop in threads; more at once than this no station needs.
_THREADS = 16
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
# The supervisor waits three times as long.
_BEAT_S = 10.0


class OcppWorker(Worker):  # type: ignore[misc]
    """Starts its consumer at once and keeps it while Redis is away: the WebSocket does not depend on messages."""

    async def handle(self) -> None:
        """Run until cancelled; a consumer that ended by an error is started again."""
        listener = asyncio.create_task(self.listener(OCPP_CHANNEL))
        try:
            while True:
                self._consumer_queue()
                future = self.application_instances[OCPP_CHANNEL]["future"]
                await asyncio.wait({future})
                if future.cancelled() or (error := future.exception()) is None:
                    return
                logger.error("The consumer ended by an error", exc_info=error)
                self.application_instances.pop(OCPP_CHANNEL, None)
                await asyncio.sleep(_FIRST_PAUSE_S)
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)
            await self._end_consumer()

    async def listener(self, channel: str) -> None:
        """Hand messages of the layer on, through every absence of Redis."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                message = await self.channel_layer.receive(channel)
            except (RedisError, OSError) as error:
                if pause_s == _FIRST_PAUSE_S:
                    logger.warning("The channel layer is away: %s", error)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                continue
            except (ValueError, TypeError, KeyError, AttributeError) as problem:
                # Whatever lies in Redis: a listener that ended by it would leave the consumer deaf, and nobody knew.
                logger.error("a message on the channel %s cannot be read and is dropped: %r", channel, problem)  # noqa: TRY400
                continue
            pause_s = _FIRST_PAUSE_S
            await self._consumer_queue().put(message)

    def _consumer_queue(self) -> "asyncio.Queue[dict[str, Any]]":
        scope = {"type": "channel", "channel": OCPP_CHANNEL}
        queue: asyncio.Queue[dict[str, Any]] = self.get_or_create_application_instance(OCPP_CHANNEL, scope)
        return queue

    async def _end_consumer(self) -> None:
        details = self.application_instances.pop(OCPP_CHANNEL, None)
        if details is not None:
            details["future"].cancel()
            await asyncio.gather(details["future"], return_exceptions=True)

    async def application_send(self, scope: dict[str, Any], message: dict[str, Any]) -> None:
        """Refuse: the consumer answers nobody over the layer's send."""
        raise NotImplementedError(message["type"])


async def _beat(heartbeat: Heartbeat) -> None:
    """Tell for ever that the event loop turns; it turns only after the consumer was started."""
    await asyncio.sleep(0)
    heartbeat.serves("holds the connection to the backend")
    while True:
        heartbeat.beat(clock.monotonic_s())
        await asyncio.sleep(_BEAT_S)


async def run(environment: Environment, heartbeat: Heartbeat) -> None:
    """Hold the connection until SIGTERM or SIGINT; then close it with 1001."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="ocpp"))
    worker = OcppWorker(OcppConsumer.as_asgi(environment=environment), [OCPP_CHANNEL], get_channel_layer())
    working = asyncio.create_task(worker.handle())
    beating = asyncio.create_task(_beat(heartbeat))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, working.cancel)
    await asyncio.gather(working, return_exceptions=True)
    beating.cancel()


def main(environment: Environment, heartbeat: Heartbeat) -> None:
    """Run the process; Django is set up already."""
    frame_log.write_to(settings.DATA.logs)
    asyncio.run(run(environment, heartbeat))
