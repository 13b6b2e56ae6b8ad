"""The Channels consumer on the channel `ocpp`: it owns the connection to the backend and hears the bells of others."""

import asyncio
import logging
from typing import Any

from channels.consumer import AsyncConsumer

from ocpp_client.link import BackendLink
from ocpp_client.ports import Environment

logger = logging.getLogger(__name__)

CHANNEL = "ocpp"


class OcppConsumer(AsyncConsumer):  # type: ignore[misc]
    """Runs one BackendLink. `as_asgi(environment=…)` gives the application of the worker.

    Messages: `status.changed`, `authorize.request`, `outbox.changed`, `configuration.changed`, `file.status`,
    `security.event`. A lost one is made up for by the link's own look into the database.
    """

    def __init__(self, *, environment: Environment) -> None:
        self.link = BackendLink(environment)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Keep the connection and take messages until cancelled; then say goodbye to the backend."""
        running = asyncio.create_task(self.link.run())
        hearing = asyncio.create_task(self._hear(receive))
        try:
            await asyncio.wait({running, hearing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hearing.cancel()
            await self.link.stop()
            await asyncio.gather(running, hearing, return_exceptions=True)

    async def _hear(self, receive: Any) -> None:
        while True:
            message = await receive()
            try:
                await self.dispatch(message)
            except (ValueError, KeyError, TypeError):
                logger.exception("A message on the channel %s makes no sense", CHANNEL)

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Find the method for a message; nothing here touches the database, so no connection needs closing."""
        handler = getattr(self, str(message["type"]).replace(".", "_"), None)
        if handler is None:
            raise ValueError(message["type"])
        await handler(message)

    async def status_changed(self, message: dict[str, Any]) -> None:
        """Tell the backend of a connector's new state."""
        self.link.status.take_bell(message)

    async def authorize_request(self, message: dict[str, Any]) -> None:
        """Ask the backend about a card."""
        self.link.spawn(self.link.authorizer.request(message))

    async def outbox_changed(self, _message: dict[str, Any]) -> None:
        """Send what was put into the outbox."""
        self.link.outbox.ring()
        self.link.standing.note_change()

    async def configuration_changed(self, _message: dict[str, Any]) -> None:
        """Look at the configuration now instead of within the next second."""
        self.link.lookout.ring()

    async def security_event(self, _message: dict[str, Any]) -> None:
        """Deliver a critical entry of the security log."""
        self.link.security.ring()

    async def file_status(self, _message: dict[str, Any]) -> None:
        """Tell the backend how an upload or an update gets on; the row says what, the bell only when."""
        self.link.files.ring()
