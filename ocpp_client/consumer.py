"""The Channels consumer on the channel `ocpp`: it owns the connection to the backend and takes messages."""

import asyncio
import logging
from typing import Any

from channels.consumer import AsyncConsumer

from ocpp_client.link import BackendLink
from ocpp_client.ports import Environment
from station.services.messages import OCPP_CHANNEL, MessageMalformed, decode_for_ocpp

logger = logging.getLogger(__name__)


class OcppConsumer(AsyncConsumer):  # type: ignore[misc]
    """Runs one BackendLink. `as_asgi(environment=…)` gives the application of the worker.

    A lost message is made up for by the link's own look into the database.
    """

    def __init__(self, *, environment: Environment) -> None:
        self.link = BackendLink(environment)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Keep the connection and take messages until cancelled; then close it in order."""
        running = asyncio.create_task(self.link.run())
        receiving = asyncio.create_task(self._receive(receive))
        try:
            await asyncio.wait({running, receiving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            receiving.cancel()
            await self.link.stop()
            await asyncio.gather(running, receiving, return_exceptions=True)

    async def _receive(self, receive: Any) -> None:
        while True:
            raw = await receive()
            try:
                message = decode_for_ocpp(raw)
            except MessageMalformed:
                logger.exception("A message on the channel %s was not understood", OCPP_CHANNEL)
            else:
                self.link.take(message)
