"""Asking the backend about a card on behalf of the control loop (OCPP 1.6 section 4.1)."""

import asyncio
from typing import Any

from ocpp_client.connection.state import ConnectionState
from ocpp_client.database import in_database
from ocpp_client.outgoing import authorization_cache
from ocpp_client.ports import ControlLoop, LocalList
from ocpp_client.rpc.calls import Calls, NotDelivered
from ocpp_client.rpc.schemas import SchemaViolated
from station import clock
from station.domain.authorization import AuthorizationStatus
from station.domain.moments import lenient
from station.services.messages import AuthorizeRequest, CardAuthorized


class Authorizer:
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
        info = await self._ask(request) if self._state.online else None
        if info is None:
            await self._control_loop.inform(CardAuthorized(request_id=request.request_id))
            return
        await self._control_loop.inform(
            CardAuthorized(
                request_id=request.request_id,
                status=AuthorizationStatus(info["status"]),
                expires_at=lenient(info.get("expiryDate")),
                parent_id_tag=info.get("parentIdTag"),
            )
        )
        await in_database(authorization_cache.note, request.id_tag, info, clock.now(), self._local_list)

    async def _ask(self, request: AuthorizeRequest) -> dict[str, Any] | None:
        try:
            async with asyncio.timeout(request.timeout_s):
                answer = await self._calls.call("Authorize", {"idTag": request.id_tag})
        except (NotDelivered, SchemaViolated, TimeoutError):
            return None
        info: dict[str, Any] = answer["idTagInfo"]
        return info
