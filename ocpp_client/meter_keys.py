"""Handing the meters' public keys to the backend after registration (reference: eichrecht, section 5)."""

import asyncio
import json
import logging
from typing import Any

from ocpp_client.calls import AnswerMalformedError, Calls, NotDeliveredError, RefusedError
from ocpp_client.database import in_database
from ocpp_client.outbox_sender import OutboxSender
from station.models import Connector

logger = logging.getLogger(__name__)

VENDOR, MESSAGE = "generalConfiguration", "setMeterConfiguration"


# A backlog that is refused again and again does not hold the keys back for longer.
_BACKLOG_S = 120.0


class MeterKeys:
    """Hands the keys over once after each registration, behind what had happened before it (section 4.2)."""

    def __init__(self, *, calls: Calls, outbox: OutboxSender) -> None:
        self._calls = calls
        self._outbox = outbox
        self._owed = False
        self._one_at_a_time = asyncio.Lock()

    async def tell(self, *, anew: bool) -> None:
        """Hand over what is owed (`anew`: everything); raises NotDeliveredError, after which it is still owed."""
        self._owed |= anew
        async with self._one_at_a_time:
            if not self._owed:
                return
            await self._outbox.emptied(_BACKLOG_S)
            self._owed = False
            try:
                await _announce(self._calls)
            except NotDeliveredError:
                self._owed = True
                raise


async def _announce(calls: Calls) -> None:
    """Tell the backend the keys of all signing meters; a refusal is logged and not argued with until the next boot."""
    meters = await in_database(_signing_meters)
    if not meters:
        return
    data = json.dumps({"meters": meters}, separators=(",", ":"))
    try:
        answer = await calls.call("DataTransfer", {"vendorId": VENDOR, "messageId": MESSAGE, "data": data})
    except (RefusedError, AnswerMalformedError) as refusal:
        logger.warning("The backend does not take the meters' keys: %s", refusal)
        return
    if answer["status"] != "Accepted":
        logger.warning("The backend does not take the meters' keys: %s", answer["status"])


def _signing_meters() -> list[dict[str, Any]]:
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
