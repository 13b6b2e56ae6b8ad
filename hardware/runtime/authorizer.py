"""Asking whether a card may charge: the station's own lists first, the backend where the rules say so."""

import asyncio
import logging
import uuid
from dataclasses import dataclass, replace
from typing import Any

from redis.exceptions import RedisError

from hardware.runtime.records import RecordStore
from hardware.runtime.state import StationState
from station import clock
from station.domain.authorization import (
    AuthorizationStatus,
    BackendAnswer,
    Decision,
    Reason,
    Verdict,
    after_backend,
    decide,
    is_list_conflict,
)
from station.domain.faults import FaultCode
from station.services import live
from station.services.messages import AuthorizeRequest, CardAuthorized, send_to_ocpp
from whitelist.query import collect_query

logger = logging.getLogger(__name__)

# The OCPP process gives up on an Authorize after its own message time-out and says so; this is for the case that the
# process itself is gone.
BACKEND_ANSWERS_S = 35.0
_LOOK_S = 1.0
# A card the lists disagree about is reported for this long; the event log keeps it.
CONFLICT_SHOWN_S = 2.0
CONFLICT_SOURCE = "list"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A decision, and whether the backend refuses a card its own list accepts."""

    decision: Decision
    list_conflict: bool = False


class Authorizer:
    """Judges cards; answers of the backend come in through `answered`."""

    def __init__(self, state: StationState, records: RecordStore, redis: Any) -> None:
        self._state = state
        self._records = records
        self._redis = redis
        self._waiting: dict[str, asyncio.Future[BackendAnswer | None]] = {}

    async def judge(self, id_tag: str, *, is_at_reader: bool = False) -> Judgement:
        """Decide about a card, asking the backend when the rules want it.

        Payment comes first only for a card somebody holds to a reader: a remote start has been paid elsewhere.
        """
        query = await self._records.execute(collect_query, id_tag, clock.now())
        query = replace(query, pays_first=query.pays_first and is_at_reader)
        if query.pays_first:
            # That a payment was approved once says nothing about the next one.
            query = replace(query, cache_entry=None)
        if query.online and not await self._link_is_alive():
            query = replace(query, online=False)
        decision = decide(query)
        if decision.verdict is not Verdict.ASK_BACKEND:
            return Judgement(decision=decision)
        # Whoever is in the list has an account with the operator.
        pays_first = query.pays_first and decision.reason is Reason.UNKNOWN_ASK
        answer = await self._ask(id_tag, pay_first=pays_first)
        return Judgement(
            decision=after_backend(query, answer),
            list_conflict=answer is not None and is_list_conflict(query, answer),
        )

    async def _link_is_alive(self) -> bool:
        """Return whether the OCPP process still lives that has written "connected" into the table.

        Its live part expires when it is gone. Without Redis, or where Redis itself has just come back, the table holds.
        """
        try:
            async with asyncio.timeout(_LOOK_S):
                if await self._redis.get(live.key(live.BACKEND)) is not None:
                    return True
                uptime_s = (await self._redis.info("server"))["uptime_in_seconds"]
        except (RedisError, OSError):
            return True
        return bool(uptime_s < live.LIFE_S[live.BACKEND])

    async def known_parent(self, id_tag: str) -> str:
        """Look the group of a card up in list and cache, without asking the backend."""
        query = await self._records.execute(collect_query, id_tag, clock.now())
        entry = query.list_entry or query.cache_entry
        return (entry.parent_id_tag or "") if entry else ""

    async def group_of(self, id_tag: str) -> str:
        """Ask the backend for the group of a card; empty when it has none, or cannot be asked."""
        query = await self._records.execute(collect_query, id_tag, clock.now())
        if not query.backend_configured or not query.online or not await self._link_is_alive():
            return ""
        answer = await self._ask(id_tag)
        accepted = answer is not None and answer.status is AuthorizationStatus.ACCEPTED
        return (answer.parent_id_tag or "") if answer is not None and accepted else ""

    async def contradicts_list(self, id_tag: str, status: AuthorizationStatus) -> bool:
        """Return whether the backend has just refused a card of its own list."""
        query = await self._records.execute(collect_query, id_tag, clock.now())
        return is_list_conflict(query, BackendAnswer(status=status))

    def report_list_conflict(self) -> None:
        """Report that the backend refuses a card of its own list (OCPP 1.6 section 3.5.2)."""
        self._state.set_faults(CONFLICT_SOURCE, frozenset({FaultCode.LOCAL_LIST_CONFLICT}))
        loop = asyncio.get_running_loop()
        loop.call_later(CONFLICT_SHOWN_S, self._state.set_faults, CONFLICT_SOURCE, frozenset())

    async def _ask(self, id_tag: str, *, pay_first: bool = False) -> BackendAnswer | None:
        request_id = str(uuid.uuid4())
        future: asyncio.Future[BackendAnswer | None] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        try:
            request = AuthorizeRequest(
                request_id=request_id, id_tag=id_tag, timeout_s=BACKEND_ANSWERS_S - 5, pay_first=pay_first
            )
            if not await send_to_ocpp(request):
                return None
            async with asyncio.timeout(BACKEND_ANSWERS_S):
                return await future
        except TimeoutError:
            logger.info("no answer about a card")
            return None
        finally:
            self._waiting.pop(request_id, None)

    def answered(self, message: CardAuthorized) -> None:
        """Take the response that the OCPP process has received."""
        future = self._waiting.get(message.request_id)
        if future is None or future.done():
            return
        if not message.answered:
            future.set_result(None)
            return
        future.set_result(
            BackendAnswer(
                status=message.status,
                expires_at=message.expires_at,
                parent_id_tag=message.parent_id_tag or None,
                payment_declined=message.payment_declined,
            )
        )
