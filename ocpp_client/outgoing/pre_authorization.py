"""Approval of a payment before the backend is asked about a card (keys PreAuthorize and GiroEStaticToken).

With giro-e a driver holds a bank card to the reader, and the bank approves the payment before charging begins. How
that travels over OCPP is not published; here it is a DataTransfer of the vendor `giro-e` with the message
`PreAuthorize`, whose data are the station's token and the card: `{"token": "…", "idTag": "…"}`. `Accepted` approves,
everything else declines.
"""

import json
import logging

from ocpp.v16 import call
from ocpp.v16.enums import DataTransferStatus

from ocpp_client.database import in_database
from ocpp_client.rpc.calls import AnswerMalformed, CallErrorReceived, Calls
from station.services import configuration

logger = logging.getLogger(__name__)

VENDOR, MESSAGE = "giro-e", "PreAuthorize"


class PaymentDeclined(Exception):
    """The backend does not approve the payment, or does not know what that is."""


async def pre_authorize(calls: Calls, id_tag: str) -> None:
    """Ask for an approval; raises PaymentDeclined, and NotDelivered or TimeoutError without an answer."""
    token = await in_database(configuration.get, "GiroEStaticToken")
    data = json.dumps({"token": token, "idTag": id_tag}, separators=(",", ":"))
    try:
        answer = await calls.call(call.DataTransfer(VENDOR, MESSAGE, data))
    except (CallErrorReceived, AnswerMalformed) as refusal:
        logger.warning("The backend does not approve payments: %s", refusal)
        raise PaymentDeclined from refusal
    if answer["status"] != DataTransferStatus.accepted:
        if answer["status"] != DataTransferStatus.rejected:
            logger.warning("The backend does not approve payments: %s", answer["status"])
        raise PaymentDeclined
