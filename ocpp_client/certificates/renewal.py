"""Asking for a new certificate a month before the station's own one ends (security whitepaper, A02.FR.09)."""

import asyncio
import logging

from ocpp.v16 import call
from ocpp.v16.enums import GenericStatus

from ocpp_client.certificates import own_certificate
from ocpp_client.database import in_database
from ocpp_client.rpc.calls import Calls, NotDelivered
from station import clock

logger = logging.getLogger(__name__)

# Asked once a day until the backend has signed: it may need a human hand there.
_PERIOD_S = 86_400.0


class CertificateRenewal:
    """Sends SignCertificate while the end of the certificate is near."""

    def __init__(self, *, calls: Calls, flow: asyncio.Event) -> None:
        self._calls = calls
        self._flow = flow

    async def run(self) -> None:
        """Watch for as long as the process lives."""
        while True:
            await self._flow.wait()
            await self.step()
            await asyncio.sleep(_PERIOD_S)

    async def step(self) -> bool:
        """Ask for a new certificate if it is time; return whether the backend has taken the request."""
        if not await in_database(own_certificate.renewal_is_due, clock.now()):
            return False
        csr = await in_database(own_certificate.signing_request)
        if csr is None:
            return False
        try:
            answer = await self._calls.call(call.SignCertificate(csr))
        except NotDelivered as failure:
            logger.warning("The request for a new certificate was not taken: %s", failure.code)
            return False
        return bool(answer["status"] == GenericStatus.accepted)
