"""Calls of the LocalAuthListManagement profile (OCPP 1.6 sections 5.10 and 5.15)."""

from ocpp_client.database import in_database
from ocpp_client.incoming.handlers.base import Handler, Reply, Request, status
from station.services import configuration

# Section 5.10: the version of a station without a list.
_NO_LIST = -1


def _enabled() -> bool:
    return configuration.get_bool("LocalAuthListEnabled")


async def get_local_list_version(request: Request) -> Reply:
    """Answer the version of the list; 0 when it is empty."""
    if not await in_database(_enabled):
        return Reply(payload={"listVersion": _NO_LIST})
    return Reply(payload={"listVersion": await in_database(request.link.environment.local_list.version)})


async def send_local_list(request: Request) -> Reply:
    """Take a list, all of it or nothing."""
    if not await in_database(_enabled):
        return status("NotSupported")
    payload, link = request.payload, request.link
    entries = payload.get("localAuthorizationList") or []
    outcome = await in_database(
        link.environment.local_list.apply, payload["listVersion"], payload["updateType"], entries, request.at
    )
    # No message: the control loop looks a card up when it is shown.
    return status(outcome)


HANDLERS: dict[str, Handler] = {
    "GetLocalListVersion": get_local_list_version,
    "SendLocalList": send_local_list,
}
