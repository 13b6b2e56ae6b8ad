"""What the station does when the backend calls: one module per feature profile, each answering within milliseconds."""

from ocpp_client.incoming.handlers import core, firmware, local_list, reservation, security, smart_charging, trigger
from ocpp_client.incoming.handlers.base import Handler

HANDLERS: dict[str, Handler] = (
    core.HANDLERS
    | firmware.HANDLERS
    | local_list.HANDLERS
    | reservation.HANDLERS
    | security.HANDLERS
    | smart_charging.HANDLERS
    | trigger.HANDLERS
)
