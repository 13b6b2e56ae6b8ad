"""Handing the meters' public keys to the backend after registration (reference: eichrecht, section 5)."""

import asyncio
import json
import logging
from typing import Any

from django.db import DatabaseError
from ocpp.v16 import call
from ocpp.v16.enums import DataTransferStatus

from ocpp_client.database import in_database
from ocpp_client.outgoing.outbox_sender import OutboxSender
from ocpp_client.rpc.calls import AnswerMalformed, CallErrorReceived, Calls, NotDelivered
from station.models import Connector

logger = logging.getLogger(__name__)

VENDOR, MESSAGE = "generalConfiguration", "setMeterConfiguration"


# A backlog that is refused again and again does not hold the keys back for longer.
_BACKLOG_S = 120.0

Meters = list[dict[str, Any]]


class MeterKeys:
    """Hands the keys over once after each registration and when a meter changes (reference: eichrecht, section 5)."""

    def __init__(self, *, calls: Calls, flow: asyncio.Event, outbox: OutboxSender) -> None:
        self._calls = calls
        self._flow = flow
        self._outbox = outbox
        self._owed = False
        self._told: Meters | None = None
        self._seen: Meters | None = None
        self._one_at_a_time = asyncio.Lock()

    @property
    def needs_second_look(self) -> bool:
        """Whether other meters were seen than told, at one look only."""
        return self._seen is not None and self._seen != self._told

    async def have_changed(self) -> bool:
        """Find a meter that was first read or exchanged after the keys had been told.

        It takes two equal looks: the meters of a station that has just started answer one after the other.
        """
        if self._told is None or self._owed or self._one_at_a_time.locked():
            return False
        before, self._seen = self._seen, await in_database(_signing_meters)
        return self.needs_second_look and self._seen == before

    async def tell(self, *, anew: bool) -> None:
        """Hand over what is owed (`anew`: everything); raises NotDelivered, after which it is still owed.

        It is still owed, too, where the backlog has outlasted the connection or the backend's acceptance: it follows
        the next one.
        """
        self._owed |= anew
        async with self._one_at_a_time:
            if not self._owed:
                return
            connection = self._calls.connection
            await self._outbox.emptied(_BACKLOG_S)
            if connection != self._calls.connection or not self._flow.is_set():
                return
            self._owed = False
            try:
                self._told = await in_database(_signing_meters)
                await _announce(self._calls, self._told)
            except (NotDelivered, DatabaseError):
                self._owed = True
                raise


async def _announce(calls: Calls, meters: Meters) -> None:
    """Tell the backend these keys; a refusal is logged and not argued with until the next boot or another meter."""
    if not meters:
        return
    data = json.dumps({"meters": meters}, separators=(",", ":"))
    try:
        answer = await calls.call(call.DataTransfer(VENDOR, MESSAGE, data))
    except (CallErrorReceived, AnswerMalformed) as refusal:
        logger.warning("The backend does not take the meters' keys: %s", refusal)
        return
    if answer["status"] != DataTransferStatus.accepted:
        logger.warning("The backend does not take the meters' keys: %s", answer["status"])


def _signing_meters() -> Meters:
    return [
        {
            "connectorId": row.number,
            "meterSerial": row.meter_serial,
            "type": "SIGNATURE",
            # Backends accept hexadecimal digits without blanks only.
            "publicKey": "".join(row.meter_public_key.split()).upper(),
        }
        for row in Connector.objects.filter(number__gt=0).exclude(meter_public_key="").order_by("number")
    ]
