"""Calls of the LocalAuthListManagement profile (OCPP 1.6 sections 5.10 and 5.15)."""

from datetime import datetime
from typing import Any

from ocpp.v16 import call_result
from ocpp.v16.enums import Action, UpdateStatus

from ocpp_client.database import in_database
from ocpp_client.incoming.routing import on
from ocpp_client.ports import LocalList
from station.services import configuration

# Section 5.10: the version of a station without a list.
NO_LIST = -1


def _enabled() -> bool:
    return configuration.get_bool("LocalAuthListEnabled")


class LocalListHandlers:
    """Maintains the backend's list."""

    def __init__(self, local_list: LocalList) -> None:
        self._local_list = local_list

    @on(Action.get_local_list_version)
    async def on_get_local_list_version(self, **_: Any) -> call_result.GetLocalListVersion:
        """Return the version of the list; 0 when it is empty."""
        if not await in_database(_enabled):
            return call_result.GetLocalListVersion(NO_LIST)
        return call_result.GetLocalListVersion(await in_database(self._local_list.version))

    @on(Action.send_local_list)
    async def on_send_local_list(
        self,
        *,
        list_version: int,
        update_type: str,
        local_authorization_list: list[dict[str, Any]] | None = None,
        at: datetime,
    ) -> call_result.SendLocalList:
        """Take a list, all of it or nothing."""
        if not await in_database(_enabled):
            return call_result.SendLocalList(UpdateStatus.not_supported)
        outcome = await in_database(
            self._local_list.apply, list_version, update_type, local_authorization_list or [], at
        )
        # No message: the control loop looks a card up when it is shown.
        return call_result.SendLocalList(UpdateStatus(outcome))
