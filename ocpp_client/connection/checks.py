"""Looking at the way to the backend on somebody's order: the one in use, or one that is to replace it.

Neither disturbs the connection that stands. Many backends let only the newest connection of a station live, so a second
WebSocket to the same server is never opened under the same identity; and no BootNotification is sent.
"""

import asyncio
import json
import logging
import ssl
from dataclasses import replace

from django.db import DatabaseError

from ocpp_client.connection import endpoint
from ocpp_client.connection.attempt import Attempt, look_at_way
from ocpp_client.connection.connection import Connection
from ocpp_client.connection.endpoint import Endpoint
from ocpp_client.connection.failures import Failure
from ocpp_client.connection.socket import OPENING_FAILURES, closing_words, open_proven_first
from ocpp_client.connection.state import ConnectionState
from ocpp_client.database import in_database
from station import clock
from station.concurrency import BackgroundTasks
from station.domain.backend_ladder import Observation, Step
from station.domain.configuration import ConfigurationRefused, Origin
from station.services import configuration, secret_storage

logger = logging.getLogger(__name__)

# Whoever waits in front of the station learns by then what hangs.
TIMEOUT_S = 15.0
_USUAL_PORTS = {80, 443}
# Many backends let everybody open a WebSocket and look the station up only then: who is unknown is shown out at once.
_REFUSED_WITHIN_S = 1.0


class ConnectionChecks:
    """Carries out the orders, one of a kind at a time."""

    def __init__(self, state: ConnectionState, connection: Connection, *, timeout_s: float = TIMEOUT_S) -> None:
        self._state = state
        self._connection = connection
        self._timeout_s = timeout_s
        self._is_checking = False
        self._tasks = BackgroundTasks(logger)

    def check(self) -> None:
        """Look at the way to the backend; without a connection the next attempt is made now and shows it."""
        if not self._state.connected or self._state.endpoint is None:
            self._connection.try_now()
        elif not self._is_checking:
            self._is_checking = True
            self._tasks.spawn(self._check(self._state.endpoint))

    def try_settings(self, trial_id: str, sealed: str, actor: str) -> None:
        """Try settings that are not in force, and put them into force if they lead to a backend."""
        self._tasks.spawn(self._try(trial_id, sealed, actor))

    async def close(self) -> None:
        """End what is under way."""
        await self._tasks.close()

    async def _check(self, target: Endpoint) -> None:
        try:
            attempt = Attempt(target, stops_early=True)
            await look_at_way(attempt, await in_database(endpoint.tls_context, target), timeout_s=self._timeout_s)
            self._state.checked = replace(attempt.seen, link=self._state.link.kind.value)
        except (DatabaseError, ssl.SSLError, OSError):
            logger.exception("The way to the backend could not be looked at")
        finally:
            self._is_checking = False
            self._state.note_change()

    async def _try(self, trial_id: str, sealed: str, actor: str) -> None:
        opened = secret_storage.decrypt(sealed)
        if opened is None:
            logger.error("Settings that were to be tried could not be read")
            return
        wanted: dict[str, str] = json.loads(opened)
        try:
            target = await in_database(endpoint.proposed, wanted)
        except ConfigurationRefused:
            logger.exception("Settings that were to be tried are no longer possible")
            return
        if target is None:
            return
        stops_early = await self._would_displace(target)
        attempt = Attempt(target, stops_early=stops_early)
        self._show(trial_id, attempt.seen)
        await self._climb(attempt, target, stops_early=stops_early)
        if not attempt.seen.failure:
            try:
                await in_database(configuration.change, wanted, origin=Origin.WEB, actor=actor, at=clock.now())
            except (ConfigurationRefused, DatabaseError):
                logger.exception("Settings that work could not be saved")
                self._show(trial_id, replace(attempt.seen, step=Step.ADDRESS, failure="not_saved"))
                return
        self._show(trial_id, attempt.seen)

    async def _climb(self, attempt: Attempt, target: Endpoint, *, stops_early: bool) -> None:
        try:
            if stops_early:
                context = await in_database(endpoint.tls_context, target)
                await look_at_way(attempt, context, timeout_s=self._timeout_s)
                return
            trusted = await in_database(endpoint.trusted_tls_context, target)
            fallback = await in_database(endpoint.accepted_tls_context, target)
            opened, _ = await open_proven_first(target, trusted, fallback, attempt, open_timeout_s=self._timeout_s)
            try:
                async with asyncio.timeout(_REFUSED_WITHIN_S):
                    await opened.wait_closed()
            except TimeoutError:
                await opened.close()
            else:
                attempt.ended(Failure.CLOSED, registered=False, detail=closing_words(opened))
        except OPENING_FAILURES as error:
            if not attempt.seen.failure:
                attempt.failed(error)

    async def _would_displace(self, target: Endpoint) -> bool:
        """Return whether a second connection might end the one that stands: the same identity at the same server.

        A server has more than one name, and an encrypted and a plain port.
        """
        present = self._state.endpoint
        if not self._state.connected or present is None or target.identity != present.identity:
            return False
        if target.host.lower() == present.host.lower():
            return True
        stands = self._state.attempt.seen if self._state.attempt is not None else None
        if stands is None:
            return False
        found = Attempt(target)
        try:
            async with asyncio.timeout(self._timeout_s):
                await found.resolve()
        except (OSError, ValueError):
            # The trial says so.
            return False
        ports = {found.seen.port, stands.port}
        return stands.peer in found.seen.addresses and (len(ports) == 1 or ports == _USUAL_PORTS)

    def _show(self, trial_id: str, seen: Observation) -> None:
        self._state.tried_id, self._state.tried = trial_id, seen
        self._state.note_change()
