"""Delivery of the security log's critical entries to the backend (security whitepaper, A04)."""

import asyncio
from datetime import datetime

from ocpp.exceptions import NotImplementedError, NotSupportedError  # noqa: A004 – the package's name
from ocpp.v16 import call

from ocpp_client.database import in_database
from ocpp_client.rpc.calls import AnswerMalformed, CallErrorReceived, Calls, NotConnected, NotDelivered
from station import clock
from station.concurrency import wait_or_timeout
from station.domain.moments import EARLIEST_STAMP, to_wire
from station.models import SecurityEvent

_NOT_SPOKEN = frozenset({NotImplementedError.code, NotSupportedError.code})
_LOOK_S = 10.0
_RETRY_S = 60.0
_LONGEST_RETRY_S = 3600.0


class SecurityEventSender:
    """Delivers critical entries in their order, behind the statuses and beside the transactions."""

    def __init__(self, *, calls: Calls, flow: asyncio.Event) -> None:
        self._calls = calls
        self._flow = flow
        self._wake_up = asyncio.Event()
        self._failures = 0

    def wake(self) -> None:
        """Look for undelivered entries now."""
        self._wake_up.set()

    async def run(self) -> None:
        """Deliver for as long as the process lives."""
        while True:
            await self._flow.wait()
            pause_s = await self.step()
            if pause_s:
                await wait_or_timeout(self._wake_up, pause_s)

    async def step(self) -> float:
        """Deliver the oldest entry; return the seconds to wait before the next look."""
        self._wake_up.clear()
        event = await in_database(_oldest)
        now = clock.now()
        if event is None or now < EARLIEST_STAMP:
            # Without a clock no moment can be told.
            return _LOOK_S
        # Noted before the clock arrived: now is the latest it can have been.
        at = event.at if event.at >= EARLIEST_STAMP else now
        try:
            await self._calls.call(call.SecurityEventNotification(event.type, to_wire(at), event.tech_info or None))
        except CallErrorReceived as refusal:
            # A backend without the security extension never takes them; they stay readable in the security log.
            if refusal.error.code not in _NOT_SPOKEN:
                return self._pause()
        except AnswerMalformed:
            pass
        except NotConnected:
            # The next connection wakes; until then there is nothing to try.
            return _LOOK_S
        except NotDelivered:
            return self._pause()
        self._failures = 0
        await in_database(_delivered, event.pk, clock.now())
        return 0.0

    def _pause(self) -> float:
        self._failures += 1
        return min(_RETRY_S * self._failures, _LONGEST_RETRY_S)


def _oldest() -> SecurityEvent | None:
    return SecurityEvent.objects.filter(critical=True, delivered_at=None).order_by("id").first()


def _delivered(pk: int, at: datetime) -> None:
    SecurityEvent.objects.filter(id=pk).update(delivered_at=at)
