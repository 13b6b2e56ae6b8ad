"""Telling the backend how uploads and updates get on: in order, over every break and restart."""

import asyncio
import logging

from ocpp.exceptions import OCPPError

from ocpp_client.database import in_database
from ocpp_client.ports import FileJobs
from ocpp_client.rpc.calls import AnswerMalformed, CallErrorReceived, Calls, NotConnected, NotDelivered
from ocpp_client.rpc.messages import message_of
from station import clock
from station.concurrency import wait_or_timeout

logger = logging.getLogger(__name__)

_LOOK_S = 30.0


class FileStatusSender:
    """Sends what the file jobs still owe; a status counts as told once the backend has answered it."""

    def __init__(self, *, calls: Calls, flow: asyncio.Event, jobs: FileJobs) -> None:
        self._calls = calls
        self._flow = flow
        self._jobs = jobs
        self._wake_up = asyncio.Event()

    def wake(self) -> None:
        """Look for owed statuses now."""
        self._wake_up.set()

    async def run(self) -> None:
        """Tell for as long as the process lives."""
        while True:
            await self._flow.wait()
            if not await self.step():
                await wait_or_timeout(self._wake_up, _LOOK_S)

    async def step(self) -> bool:
        """Send the oldest owed status; return whether there may be more to do at once."""
        self._wake_up.clear()
        owed = await in_database(self._jobs.untold, clock.now())
        if not owed:
            return False
        first = owed[0]
        try:
            await self._calls.call(message_of(first.action, first.payload))
        except NotConnected:
            return False
        except (CallErrorReceived, AnswerMalformed, OCPPError) as refusal:
            # The backend has heard it; repeating would only hold up the later ones.
            logger.warning("%s was refused: %s", first.action, refusal)
        except NotDelivered as failure:
            logger.warning("%s was not answered: %s", first.action, failure.code)
            return False
        await in_database(self._jobs.mark_told, first.job_id, first.status)
        return True
