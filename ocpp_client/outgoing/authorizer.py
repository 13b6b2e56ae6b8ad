"""Asking the backend about a card on behalf of the control loop (OCPP 1.6 section 4.1)."""

import asyncio
import logging
from typing import Any

from ocpp.exceptions import OCPPError
from ocpp.v16 import call

from ocpp_client.connection.state import ConnectionState
from ocpp_client.database import in_database
from ocpp_client.outgoing import authorization_cache
from ocpp_client.outgoing.pre_authorization import PaymentDeclined, pre_authorize
from ocpp_client.ports import ControlLoop, LocalList
from ocpp_client.rpc.calls import AnswerMalformed, CallErrorReceived, Calls, NotDelivered
from station import clock
from station.domain.authorization import AuthorizationStatus
from station.domain.moments import lenient_expiry
from station.services.messages import AuthorizeRequest, CardAuthorized

logger = logging.getLogger(__name__)


class BackendAuthorizer:
    """Answers each request exactly once, also when the backend is away or takes too long."""

    def __init__(
        self, *, calls: Calls, state: ConnectionState, control_loop: ControlLoop, local_list: LocalList
    ) -> None:
        self._calls = calls
        self._state = state
        self._control_loop = control_loop
        self._local_list = local_list

    async def request(self, request: AuthorizeRequest) -> None:
        """Ask the backend, and tell the control loop what it has said."""
        try:
            info = await self._ask(request) if self._state.online else None
        except PaymentDeclined:
            await self._control_loop.inform(
                CardAuthorized(request_id=request.request_id, answered=True, payment_declined=True)
            )
            return
        if info is None:
            await self._control_loop.inform(CardAuthorized(request_id=request.request_id, answered=False))
            return
        parent = info.get("parentIdTag")
        await self._control_loop.inform(
            CardAuthorized(
                request_id=request.request_id,
                answered=True,
                status=_status(info.get("status")),
                expires_at=lenient_expiry(info.get("expiryDate")),
                parent_id_tag=parent if isinstance(parent, str) else None,
            )
        )
        await in_database(authorization_cache.note, request.id_tag, info, clock.now(), self._local_list)

    async def _ask(self, request: AuthorizeRequest) -> dict[str, Any] | None:
        """Return the idTagInfo of the answer, empty where it has none; None without an answer.

        Raises:
            PaymentDeclined: the payment had to be approved first, and was not.
        """
        try:
            async with asyncio.timeout(request.timeout_s):
                if request.pay_first:
                    await pre_authorize(self._calls, request.id_tag)
                answer = await self._calls.call(call.Authorize(request.id_tag))
        except CallErrorReceived as refusal:
            logger.warning("The backend does not judge a card: CALLERROR %s", refusal)
            return {}
        except AnswerMalformed as malformed:
            # A status that can be read counts, whatever is odd beside it.
            logger.warning("The backend's answer about a card breaks its schema: %s", malformed)
            answer = malformed.payload
        except (NotDelivered, OCPPError, TimeoutError):
            return None
        info = answer.get("idTagInfo")
        return info if isinstance(info, dict) else {}


def _status(value: Any) -> AuthorizationStatus | None:
    try:
        return AuthorizationStatus(value)
    except ValueError:
        return None
