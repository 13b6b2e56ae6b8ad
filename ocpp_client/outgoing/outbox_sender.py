"""Sends what is owed to the backend: the oldest message first, one at a time, for ever (OCPP 1.6 section 3.7)."""

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

from django.db import DatabaseError
from ocpp.exceptions import OCPPError

from ocpp_client.database import in_database
from ocpp_client.outgoing import outbox_store
from ocpp_client.outgoing.outbox_store import Claimed, Wait
from ocpp_client.outgoing.rendering import render
from ocpp_client.ports import ControlLoop, LocalList
from ocpp_client.rpc.calls import AnswerMalformed, CallErrorReceived, Calls, NotConnected, NotDelivered
from ocpp_client.rpc.frames import CallError, CallResult
from ocpp_client.storage import StorageWatch
from station import clock
from station.concurrency import wait_or_timeout
from station.domain.authorization import AuthorizationStatus
from station.domain.commands import Origin
from station.domain.facts import SessionBegan
from station.services import outbox

logger = logging.getLogger(__name__)

_AFTER_TROUBLE_S = 5.0
_ID_LENGTH = len(str(uuid.UUID(int=0)))
_LONGEST_TROUBLE_S = 300.0
_SETTLES_S = 5.0
# Of so many starts it is known that they were answered; the answer to a repetition under another id comes soon.
_HEARD_STARTS = 100
_P = ParamSpec("_P")
_R = TypeVar("_R")


class OutboxSender:
    """Empties the outbox while `flow` is set. `wake` says that something was put in."""

    def __init__(
        self,
        *,
        calls: Calls,
        flow: asyncio.Event,
        local_list: LocalList,
        control_loop: ControlLoop,
        on_progress: Callable[[], None],
        storage: StorageWatch,
    ) -> None:
        self._calls = calls
        self._flow = flow
        self._local_list = local_list
        self._control_loop = control_loop
        self._on_progress = on_progress
        self._storage = storage
        self._is_recovered = False
        self._has_booted = False
        self._wake_up = asyncio.Event()
        self._empty = asyncio.Event()
        self._next: Claimed | Wait | None = None
        # The message sent last and the connection it was sent over.
        self._unanswered: tuple[int | None, int] = None, 0
        self._heard_starts: deque[int] = deque(maxlen=_HEARD_STARTS)
        self._hearing = asyncio.Lock()
        self._settling = asyncio.Lock()

    def wake(self) -> None:
        """Look into the outbox now."""
        self._wake_up.set()

    async def emptied(self, patience_s: float) -> bool:
        """Wait until nothing is owed any more; return False when that takes too long."""
        self._empty.clear()
        self.wake()
        return await wait_or_timeout(self._empty, patience_s)

    async def settled(self) -> None:
        """Wait until an answer that has come is told and written: what the backend sends next may build upon it.

        What a full disk does not take is told nevertheless, and not waited for any longer.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLES_S):
                async with self._hearing:
                    pass
                async with self._settling:
                    return

    async def recover(self) -> None:
        """Take up what an earlier process left, and repeat refusals nobody may have heard."""
        await in_database(outbox_store.recover)
        for answered in await in_database(outbox_store.unheard_refusals):
            await self._control_loop.inform(answered)

    def booted(self) -> None:
        """Give what was set aside another chance, first of all: the backend has accepted the station anew."""
        self._has_booted = True
        self.wake()

    async def run(self) -> None:
        """Send for as long as the process lives."""
        if not self._is_recovered:
            await self.recover()
            self._is_recovered = True
        failures = 0
        while True:
            await self._flow.wait()
            try:
                if failures:
                    # Whatever happened: what was under way goes first again, and nothing overtakes it.
                    await in_database(outbox_store.recover)
                # Not once only: the look that follows clears the wake-up of an acceptance that has come meanwhile.
                while self._has_booted:
                    await self._send_again()
                pause_s = await self.step()
            except DatabaseError as error:
                self._storage.report(error, "outbox")
                # Nothing is as patient as a disk: it is looked at again soon, and costs no backend an answer.
                self._next, failures, pause_s = None, failures + 1, _AFTER_TROUBLE_S
            except Exception:
                logger.exception("The outbox cannot be sent")
                self._next, failures = None, failures + 1
                pause_s = min(_AFTER_TROUBLE_S * failures, _LONGEST_TROUBLE_S)
            else:
                failures = 0
            if pause_s != 0:
                await self._rest(pause_s)

    async def _send_again(self) -> None:
        """Queue what was set aside; an acceptance that comes meanwhile is another chance."""
        self._has_booted = False
        try:
            await in_database(outbox.send_again, origin=Origin.LOCAL, actor="BootNotification", at=clock.now())
        except BaseException:
            self._has_booted = True
            raise

    async def step(self) -> float | None:
        """Send one message; return the seconds until the next one is due, None when nothing is left."""
        claimed, self._next = self._next, None
        if not isinstance(claimed, Claimed):
            self._wake_up.clear()
            async with self._settling:
                # A late answer that is being held goes first: its message is not sent again.
                found = await in_database(outbox_store.look, clock.now(), self._unanswered_here())
            if found is None:
                if not self._wake_up.is_set():
                    # Else this look may be older than what somebody has put in, or than who waits for its result.
                    self._empty.set()
                return None
            if isinstance(found, Wait):
                return found.seconds
            claimed = found
        self._next = await self._deliver(claimed)
        if isinstance(self._next, Wait):
            return self._next.seconds
        return 0

    def _unanswered_here(self) -> int | None:
        """Return the message sent over the present connection and not answered."""
        row_id, connection = self._unanswered
        return row_id if connection == self._calls.connection else None

    async def _deliver(self, claimed: Claimed) -> Claimed | Wait | None:
        self._unanswered = claimed.id, self._calls.connection
        try:
            message = render(claimed.fact, transaction_id=claimed.transaction_id, dialect=claimed.dialect)
        except ValueError as error:
            await self._cannot_be_sent(claimed, str(error))
            return None
        try:
            answer = await self._calls.call(message, message_id=claimed.message_id)
        except NotConnected:
            await self._written(outbox_store.put_back, claimed)
            # The next connection wakes; until then the message would only be claimed and put back.
            return Wait(seconds=_AFTER_TROUBLE_S)
        except CallErrorReceived as refusal:
            logger.warning("%s was refused: %s", claimed.message_id, refusal)
            await self._written(outbox_store.refuse, claimed, f"CALLERROR {refusal}", clock.now())
            return None
        except AnswerMalformed as malformed:
            # An odd answer is an answer (section 3.7).
            answer = malformed.payload
        except NotDelivered as failure:
            logger.warning("%s was not answered: %s", claimed.message_id, failure.code)
            await self._written(outbox_store.postpone, claimed, failure.code, clock.now())
            return None
        except OCPPError as violation:
            await self._cannot_be_sent(claimed, violation.description)
            return None
        except asyncio.CancelledError:
            await asyncio.shield(in_database(outbox_store.put_back, claimed))
            raise
        return await self._settle(claimed, answer)

    async def _cannot_be_sent(self, claimed: Claimed, reason: str) -> None:
        logger.error("Message %d has no lawful form: %s", claimed.id, reason)
        await self._written(outbox_store.set_aside, claimed, reason, clock.now())

    async def _settle(self, claimed: Claimed, answer: dict[str, Any]) -> Claimed | Wait | None:
        if isinstance(claimed.fact, SessionBegan):
            await self._tell(claimed.session_id, answer)
        following = await self._written(outbox_store.settle_and_claim, claimed, answer, clock.now(), self._local_list)
        self._on_progress()
        return following

    async def take_late(self, answer: CallResult | CallError) -> None:
        """Accept an answer that came after its time-out, perhaps over another connection."""
        if isinstance(answer, CallError) or len(answer.message_id) != _ID_LENGTH:
            # What never was an id of ours is not looked for: a careless backend may send thousands.
            return
        async with self._hearing:
            found = await self._insist(outbox_store.undelivered, answer.message_id)
            if found is None:
                logger.info("An answer to nothing: %s", answer.message_id[:40])
                return
            row_id, session_id = found
            await self._inform(session_id, answer.payload)
        await self._written(
            outbox_store.settle, row_id, answer.message_id, answer.payload, clock.now(), self._local_list
        )
        self._on_progress()
        self.wake()

    async def _tell(self, session_id: int | None, answer: dict[str, Any]) -> None:
        async with self._hearing:
            await self._inform(session_id, answer)

    async def _inform(self, session_id: int | None, answer: dict[str, Any]) -> None:
        """Tell the control loop what the backend says to a start, before it is written: energy waits for no disk.

        The first number counts. What is said to a repetition under another id is often that the card charges already.
        """
        if session_id is None or session_id in self._heard_starts:
            return
        started = outbox_store.read_start(session_id, answer)
        if started.transaction_id is not None:
            self._heard_starts.append(session_id)
        elif started.status is AuthorizationStatus.ACCEPTED:
            return
        await self._control_loop.inform(started)

    async def _written(self, record: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Write down what became of a message, in the order in which it became known."""
        async with self._settling:
            return await self._insist(record, *args, **kwargs)

    async def _insist(self, record: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Do database work, however long the database is full or locked.

        An answer is held meanwhile: sent again, its message would begin another transaction at many a backend.
        """
        while True:
            try:
                return await in_database(record, *args, **kwargs)
            except DatabaseError as error:
                self._storage.report(error, "outbox")
                await asyncio.sleep(_AFTER_TROUBLE_S)

    async def _rest(self, pause_s: float | None) -> None:
        """Wait to be woken, or until the oldest message is due."""
        await wait_or_timeout(self._wake_up, pause_s)
