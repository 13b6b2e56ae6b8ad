"""What the station does when the backend calls: one class per feature profile, each answering within milliseconds."""

from collections.abc import Mapping

from ocpp_client.incoming.handlers.context import HandlerContext
from ocpp_client.incoming.handlers.core import CoreHandlers
from ocpp_client.incoming.handlers.firmware import FirmwareHandlers
from ocpp_client.incoming.handlers.local_list import LocalListHandlers
from ocpp_client.incoming.handlers.requests import Commands
from ocpp_client.incoming.handlers.reservation import ReservationHandlers
from ocpp_client.incoming.handlers.security import SecurityHandlers
from ocpp_client.incoming.handlers.smart_charging import SmartChargingHandlers
from ocpp_client.incoming.handlers.trigger import TriggerHandlers
from ocpp_client.incoming.routing import Route, routes_of


def make_routes(context: HandlerContext) -> Mapping[str, Route]:
    """Make all handlers."""
    commands = Commands(context.control_loop, context.connection)
    return routes_of(
        CoreHandlers(commands, connection=context.connection, control_loop=context.control_loop, outbox=context.outbox),
        FirmwareHandlers(context.file_jobs),
        LocalListHandlers(context.local_list),
        ReservationHandlers(commands),
        SecurityHandlers(context.connection),
        SmartChargingHandlers(context.control_loop, context.snapshots),
        TriggerHandlers(
            context.calls,
            registration=context.registration,
            statuses=context.statuses,
            heartbeat=context.heartbeat,
            file_jobs=context.file_jobs,
            snapshots=context.snapshots,
        ),
    )
