"""Handing the meters' public keys to the backend after registration (reference: eichrecht, section 5)."""

import json
import logging
from typing import Any

from ocpp_client.calls import AnswerMalformedError, Calls, RefusedError
from ocpp_client.database import in_database
from station.models import Connector

logger = logging.getLogger(__name__)

VENDOR, MESSAGE = "generalConfiguration", "setMeterConfiguration"


async def announce_meters(calls: Calls) -> None:
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
