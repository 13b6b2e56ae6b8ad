"""Asking the backend about a card on behalf of the control loop (OCPP 1.6 section 4.1)."""

import asyncio
from typing import Any

from ocpp_client import authorization_cache
from ocpp_client.calls import Calls, NotConnectedError, NotDeliveredError
from ocpp_client.database import in_database
from ocpp_client.ports import LocalList, Surroundings
from ocpp_client.schemas import SchemaViolationError
from ocpp_client.standing import Standing
from station import clock


class Authorizer:
    """Answers each request exactly once: what the backend said, that it is offline, or that it took too long."""

    def __init__(self, *, calls: Calls, standing: Standing, surroundings: Surroundings, local_list: LocalList) -> None:
        self._calls = calls
        self._standing = standing
        self._surroundings = surroundings
        self._local_list = local_list

    async def request(self, message: dict[str, Any]) -> None:
        """Carry out one `authorize.request`."""
        request_id, id_tag = message["request_id"], message["id_tag"]
        if not self._standing.online:
            await self._answer(request_id, "offline")
            return
        try:
            async with asyncio.timeout(float(message.get("timeout_s", self._calls.timeout_s))):
                answer = await self._calls.call("Authorize", {"idTag": id_tag})
        except NotConnectedError:
            await self._answer(request_id, "offline")
            return
        except (NotDeliveredError, SchemaViolationError, TimeoutError):
            await self._answer(request_id, "timeout")
            return
        info = answer["idTagInfo"]
        await self._answer(
            request_id,
            "answered",
            status=info["status"],
            expiry=info.get("expiryDate"),
            parent=info.get("parentIdTag"),
        )
        await in_database(authorization_cache.note, id_tag, info, clock.now(), self._local_list)

    async def _answer(self, request_id: str, outcome: str, **data: Any) -> None:
        await self._surroundings.inform("authorized", request_id=request_id, outcome=outcome, **data)
