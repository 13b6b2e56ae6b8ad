"""Keeping one WebSocket to the backend, over whatever the network does."""

import asyncio
import logging
import random
from dataclasses import replace
from typing import Protocol

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from ocpp_client.connection import endpoint, last_failure
from ocpp_client.connection.attempt import Attempt
from ocpp_client.connection.backoff import Backoff
from ocpp_client.connection.credentials import Credentials
from ocpp_client.connection.endpoint import Endpoint
from ocpp_client.connection.failures import SECURITY_EVENTS, Failure, classify
from ocpp_client.connection.publisher import ConnectionPublisher
from ocpp_client.connection.registration import BackendChanged, Disconnected
from ocpp_client.connection.registration_runner import RegistrationRunner
from ocpp_client.connection.socket import OPENING_FAILURES, PONG_TIMEOUT_S, closing_words, keep_alive, open_proven_first
from ocpp_client.connection.state import ConnectionState
from ocpp_client.database import in_database
from ocpp_client.ports import Uplink
from ocpp_client.rpc import frame_log
from ocpp_client.rpc.calls import NotConnected, Send
from station import clock
from station.concurrency import BackgroundTasks, wait_or_timeout
from station.domain.link_security import NO_LINK, LinkSecurity
from station.services import configuration, link_trust, security_log

logger = logging.getLogger(__name__)

_CLOSE_NORMAL = 1000
_CLOSE_GOING_AWAY = 1001
_CLOSE_TOO_BIG = 1009


class Traffic(Protocol):
    """What happens over a connection."""

    def begin(self, send: Send) -> None:
        """Take a connection into use."""

    def take(self, text: str | bytes) -> None:
        """Take what has come over it."""

    async def room(self) -> None:
        """Wait until more can be taken."""

    def end(self) -> None:
        """Give it up."""


class Connection:
    """Owns the WebSocket. `run` keeps it; `stop` ends it in order."""

    def __init__(
        self,
        *,
        state: ConnectionState,
        registration: RegistrationRunner,
        publisher: ConnectionPublisher,
        uplink: Uplink,
        pong_timeout_s: float = PONG_TIMEOUT_S,
    ) -> None:
        self._state = state
        self._registration = registration
        self._publisher = publisher
        self._uplink = uplink
        self._pong_timeout_s = pong_timeout_s
        self._credentials = Credentials()
        self._backoff = Backoff(random=random.Random())  # noqa: S311 – jitter is no secret
        self._socket: ClientConnection | None = None
        self._connecting: asyncio.Future[tuple[ClientConnection, LinkSecurity]] | None = None
        self._try_now = asyncio.Event()
        # Something newer than what is being connected to: set by `reconnect`, also where there is nothing to close yet.
        self._is_outdated = False
        self._ping_changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._tasks = BackgroundTasks(logger)
        self.awaits_uplink = False

    @property
    def proven(self) -> Endpoint | None:
        """What has led to an Accepted BootNotification last."""
        return self._credentials.proven

    async def load(self) -> None:
        """Read which credentials have worked before."""
        await in_database(self._credentials.load)
        self._state.failed = await in_database(last_failure.load)

    async def run(self, traffic: Traffic) -> None:
        """Keep the connection until `stop`, and hand over what happens over it."""
        while not self._stopping.is_set():
            self._try_now.clear()
            self._is_outdated = False
            wanted = await in_database(endpoint.configured)
            await self._take_endpoint(wanted)
            if wanted is None:
                self._fail(Failure.NO_BACKEND)
                await self._try_now.wait()
                continue
            if self._network_is_cut():
                self._fail(Failure.NETWORK_DOWN)
                self.awaits_uplink = True
                await self._try_now.wait()
                self.awaits_uplink = False
                continue
            failure = await self._attempt(wanted, traffic)
            if self._stopping.is_set() or self._try_now.is_set() or self._network_is_cut():
                continue
            low, high = await in_database(_reconnect_bounds)
            delay_s = self._backoff.next_delay_s(
                minimum_s=low, maximum_s=high, refused=failure is Failure.CONNECTION_REFUSED
            )
            await wait_or_timeout(self._try_now, delay_s)

    def _is_given_up(self) -> bool:
        """Whether the present attempt serves nobody any more."""
        return self._stopping.is_set() or self._is_outdated

    def _network_is_cut(self) -> bool:
        return self._uplink.simulated and not self._uplink.is_up()

    async def _take_endpoint(self, wanted: Endpoint | None) -> None:
        before = self._state.endpoint
        self._state.endpoint = wanted
        if wanted != before:
            self._credentials.reset()
        if wanted is None and self._credentials.proven is not None:
            # Somebody at the station has taken the backend away: nothing leads back to it by itself.
            await in_database(self._credentials.forget)
        if before is not None and (wanted is None or not wanted.fits(before)):
            await self._registration.handle(BackendChanged())

    async def _attempt(self, wanted: Endpoint, traffic: Traffic) -> Failure:
        """Connect and stay connected; return why it ended."""
        used = self._credentials.choose(wanted)
        self._state.attempt = attempt = Attempt(used)
        self._state.boot_ms = self._state.answered_at = None
        self._state.note_change()
        try:
            trusted = await in_database(endpoint.trusted_tls_context, used)
            fallback = await in_database(endpoint.accepted_tls_context, used)
            if self._is_given_up():
                return Failure.CLOSED
            self._connecting = asyncio.ensure_future(open_proven_first(used, trusted, fallback, attempt))
            socket, link = await self._connecting
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Only the attempt was given up: there is something better to try.
            return Failure.CLOSED
        except OPENING_FAILURES as error:
            failure = classify(error)
            await self._note_failure(failure, wanted, error)
            return failure
        finally:
            self._connecting = None
        if self._is_given_up():
            await socket.close(_CLOSE_GOING_AWAY if self._stopping.is_set() else _CLOSE_NORMAL)
            return Failure.CLOSED
        began_s = clock.monotonic_s()
        self._socket = socket
        accepted = False
        try:
            failure = await self._hold(socket, link, traffic)
            accepted = self._state.registration.may_call
        finally:
            self._socket = None
            await self._disconnected(traffic)
            self._backoff.ended(lasted_s=clock.monotonic_s() - began_s)
        if accepted:
            self._credentials.reset()
        else:
            self._credentials.failed(wanted, failure)
        if not (self._stopping.is_set() or self._try_now.is_set()):
            # Not by ourselves.
            attempt.ended(failure, registered=accepted, detail=closing_words(socket))
            await self._keep_failure(attempt)
        self._fail(failure)
        return failure

    async def _hold(self, socket: ClientConnection, link: LinkSecurity, traffic: Traffic) -> Failure:
        async def send(text: str) -> None:
            try:
                frame_log.sent(text)
                await socket.send(text)
            except ConnectionClosed:
                raise NotConnected from None

        self._state.connected, self._state.link, self._state.since = True, link, clock.now()
        logger.info("Connected to the backend (%s)", link.kind.value)
        traffic.begin(send)
        await self._publisher.note_online()
        beat = asyncio.create_task(keep_alive(socket, self._ping_changed, pong_timeout_s=self._pong_timeout_s))
        registering = asyncio.create_task(self._register(socket))
        try:
            async for text in socket:
                traffic.take(text)
                await traffic.room()
        except ConnectionClosed as closed:
            if closed.sent is not None and closed.sent.code == _CLOSE_TOO_BIG:
                return Failure.MESSAGE_TOO_BIG
            return Failure.PONG_MISSING if beat.done() else Failure.CONNECTION_LOST
        finally:
            for task in (beat, registering):
                task.cancel()
            await asyncio.gather(beat, registering, return_exceptions=True)
        return Failure.CLOSED

    async def _register(self, socket: ClientConnection) -> None:
        try:
            await self._registration.connected()
        except Exception:
            # Nobody would ever ask again on this connection; the next one begins anew.
            logger.exception("The registration could not begin")
            socket.transport.abort()

    async def _disconnected(self, traffic: Traffic) -> None:
        traffic.end()
        self._state.flow.clear()
        self._state.connected, self._state.link, self._state.since = False, NO_LINK, clock.now()
        await self._registration.handle(Disconnected())

    def _fail(self, failure: Failure) -> None:
        if self._state.last_error != failure.value:
            logger.info("No connection to the backend: %s", failure.value)
        self._state.last_error = failure.value
        self._tasks.spawn(self._publisher.note_online())

    async def _note_failure(self, failure: Failure, wanted: Endpoint, error: BaseException) -> None:
        event = SECURITY_EVENTS.get(failure)
        if event is not None and self._state.last_error != failure.value:
            await in_database(security_log.record, event, at=clock.now(), tech_info=str(error)[:255])
        self._credentials.failed(wanted, failure)
        if self._state.attempt is not None:
            await self._keep_failure(self._state.attempt)
        self._fail(failure)

    async def _keep_failure(self, attempt: Attempt) -> None:
        self._state.failed = replace(attempt.seen, ended_at=clock.now())
        await in_database(last_failure.keep, self._state.failed)

    async def note_accepted(self) -> None:
        """Remember the credentials the backend has accepted."""
        wanted = self._state.endpoint
        if wanted is None:
            return
        used = self._credentials.choose(wanted)
        is_trusted = await in_database(link_trust.is_trusted, self._state.link)
        await in_database(self._credentials.worked, used, wanted, clock.now(), is_trusted=is_trusted)
        if used != wanted and await in_database(endpoint.configured) == used:
            self._state.endpoint = used

    async def stop(self) -> None:
        """End in order: the backend hears that the station goes away (1001)."""
        self._stopping.set()
        self._try_now.set()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._socket is not None:
            await self._socket.close(_CLOSE_GOING_AWAY)

    def reconnect(self) -> None:
        """Close and connect anew: address or credentials have changed."""
        self._is_outdated = True
        self.try_now()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._socket is not None:
            self._tasks.spawn(self._close(self._socket))

    def restart_pings(self) -> None:
        """Take a changed interval of the pings into use at once."""
        self._ping_changed.set()

    def try_now(self) -> None:
        """Waste no time waiting for the next attempt."""
        self._backoff.attempts = 0
        self._try_now.set()

    def cut(self) -> None:
        """Lose the connection, as the network would."""
        if self._socket is not None:
            self._socket.transport.abort()

    @staticmethod
    async def _close(socket: ClientConnection) -> None:
        await socket.close(_CLOSE_NORMAL)

    async def close(self) -> None:
        """End what is still under way."""
        await self._tasks.close()


def _reconnect_bounds() -> tuple[float, float]:
    low = configuration.get_int("/ocpp/reconnectMinS")
    return float(low), float(max(low, configuration.get_int("/ocpp/reconnectMaxS")))
