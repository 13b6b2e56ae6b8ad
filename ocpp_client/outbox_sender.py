"""Sends what is owed to the backend: the oldest message first, one at a time, for ever (OCPP 1.6 section 3.7)."""

import asyncio
import logging
from collections.abc import Callable

from django.db import DatabaseError

from ocpp_client import outbox_store
from ocpp_client.calls import AnswerMalformedError, Calls, NotConnectedError, NotDeliveredError, RefusedError
from ocpp_client.database import in_database
from ocpp_client.frames import CallError, CallResult
from ocpp_client.outbox_store import Claimed, StartAnswered, TransactionUnknownError, Wait
from ocpp_client.ports import LocalList, Surroundings
from ocpp_client.rendering import payload_of, render
from ocpp_client.schemas import SchemaViolationError
from station import clock
from station.concurrency import wait_or_timeout
from station.domain.authorization import AuthorizationStatus
from station.domain.facts import FactKind, MeterSampled
from station.services import messages

logger = logging.getLogger(__name__)

_AFTER_TROUBLE_S = 5.0


class OutboxSender:
    """Empties the outbox while `flow` is set. `ring` says that something was put in."""

    def __init__(
        self,
        *,
        calls: Calls,
        flow: asyncio.Event,
        local_list: LocalList,
        surroundings: Surroundings,
        on_progress: Callable[[], None],
    ) -> None:
        self._calls = calls
        self._flow = flow
        self._local_list = local_list
        self._surroundings = surroundings
        self._on_progress = on_progress
        self._bell = asyncio.Event()
        self._empty = asyncio.Event()
        self._next: Claimed | Wait | None = None
        self._settling = asyncio.Lock()

    def ring(self) -> None:
        """Look into the outbox now."""
        self._bell.set()

    async def emptied(self, patience_s: float) -> bool:
        """Wait until nothing is owed any more; answers False when that takes too long."""
        self._empty.clear()
        self.ring()
        return await wait_or_timeout(self._empty, patience_s)

    async def settled(self) -> None:
        """Wait until an answer that has come is written down: what the backend sends next may build upon it."""
        async with self._settling:
            return

    async def recover(self) -> None:
        """Take up what an earlier process left, and repeat refusals nobody may have heard."""
        await in_database(outbox_store.recover)
        for answered in await in_database(outbox_store.unheard_refusals):
            await self._tell(answered)

    async def run(self) -> None:
        """Send for as long as the process lives."""
        in_doubt = False
        while True:
            await self._flow.wait()
            try:
                if in_doubt:
                    await in_database(outbox_store.recover)
                    in_doubt = False
                pause_s = await self.step()
            except DatabaseError:
                logger.exception("The outbox cannot be read or written")
                self._next, pause_s, in_doubt = None, _AFTER_TROUBLE_S, True
            if pause_s != 0:
                await self._rest(pause_s)

    async def step(self) -> float | None:
        """Send one message; answers the seconds until the next one is due, None when nothing is left."""
        claimed, self._next = self._next, None
        if not isinstance(claimed, Claimed):
            self._bell.clear()
            found = await in_database(outbox_store.look, clock.now())
            if found is None:
                self._empty.set()
                return None
            if isinstance(found, Wait):
                return found.seconds
            claimed = found
        self._next = await self._deliver(claimed)
        if isinstance(self._next, Wait):
            return self._next.seconds
        return 0

    async def _deliver(self, claimed: Claimed) -> Claimed | Wait | None:
        message = render(claimed.fact, transaction_id=claimed.transaction_id)
        action = type(message).__name__
        try:
            answer = await self._calls.call(action, payload_of(message), message_id=claimed.message_id)
        except NotConnectedError:
            await in_database(outbox_store.put_back, claimed)
            return None
        except RefusedError as refusal:
            await self._postpone(claimed, action, f"CALLERROR {refusal}", new_id=True)
            return None
        except AnswerMalformedError as malformed:
            # An odd answer is an answer (section 3.7); only a StartTransaction cannot do without its number.
            answer = malformed.payload
        except NotDeliveredError as failure:
            await self._postpone(claimed, action, failure.code, new_id=False)
            return None
        except SchemaViolationError as violation:
            await self._refuse_to_send(claimed, action, str(violation))
            return None
        except asyncio.CancelledError:
            await asyncio.shield(in_database(outbox_store.put_back, claimed))
            raise
        try:
            async with self._settling:
                started, following = await in_database(
                    outbox_store.settle_and_claim, claimed, answer, clock.now(), self._local_list
                )
        except TransactionUnknownError as error:
            # The transaction the backend may have begun has no number we could stop it by; a repetition under the same
            # id would only get the same answer.
            await self._postpone(claimed, action, f"no transactionId: {error}", new_id=True)
            return None
        if started is not None:
            await self._tell(started)
        self._on_progress()
        return following

    async def _postpone(self, claimed: Claimed, action: str, error: str, *, new_id: bool) -> None:
        logger.warning("%s %s was not taken: %s", action, claimed.message_id, error)
        await in_database(outbox_store.postpone, claimed, error, clock.now(), new_id=new_id)

    async def _refuse_to_send(self, claimed: Claimed, action: str, error: str) -> None:
        logger.error("%s %s breaks its schema: %s", action, claimed.message_id, error)
        if isinstance(claimed.fact, MeterSampled):
            await in_database(outbox_store.park, claimed.id, FactKind.METER_SAMPLED, error, clock.now())
        else:
            await in_database(outbox_store.postpone, claimed, error, clock.now(), new_id=False)

    async def take_late(self, answer: CallResult | CallError) -> None:
        """Accept an answer that came after its time-out, perhaps over another connection."""
        if isinstance(answer, CallError):
            return
        row_id = await in_database(outbox_store.undelivered, answer.message_id)
        if row_id is None:
            logger.info("An answer to nothing: %s", answer.message_id[:40])
            return
        try:
            started = await in_database(outbox_store.settle, row_id, answer.payload, clock.now(), self._local_list)
        except TransactionUnknownError:
            return
        if started is not None:
            await self._tell(started)
        self._on_progress()
        self.ring()

    async def _tell(self, answered: StartAnswered) -> None:
        await self._surroundings.inform(
            messages.StartAnswered(
                session_id=answered.session_id,
                transaction_id=answered.transaction_id,
                status=AuthorizationStatus(answered.status),
                parent_id_tag=answered.parent,
            )
        )

    async def _rest(self, pause_s: float | None) -> None:
        """Wait for the bell, or until the oldest message is due."""
        await wait_or_timeout(self._bell, pause_s)
