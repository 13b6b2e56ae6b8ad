"""Calls of the Core profile (OCPP 1.6 sections 5.2 to 5.18)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ocpp.v16 import call_result
from ocpp.v16.enums import (
    Action,
    AvailabilityStatus,
    AvailabilityType,
    ClearCacheStatus,
    ConfigurationStatus,
    DataTransferStatus,
    RemoteStartStopStatus,
    ResetStatus,
    ResetType,
    UnlockStatus,
)

from ocpp_client.database import in_database
from ocpp_client.incoming.handlers.context import BackendConnection, Outbox
from ocpp_client.incoming.handlers.requests import Commands
from ocpp_client.incoming.handlers.smart_charging import refuse_remote_profile
from ocpp_client.incoming.routing import after, on
from ocpp_client.outgoing import authorization_cache, meter_keys
from ocpp_client.ports import ControlLoop
from station.domain import commands
from station.domain.commands import Status
from station.domain.configuration import Change, ConfigurationRefused, Effect, Origin, UnknownKey
from station.services import configuration
from station.services.messages import ConfigurationChanged

_UNKNOWN_KEY = "unknown_key"
_MAX_VALUE_LENGTH = 500


@dataclass
class KeyChanged(call_result.ChangeConfiguration):
    """The response, and the changes that take effect after it."""

    changes: tuple[Change, ...] = ()


class CoreHandlers:
    """Answers the calls of the Core profile."""

    def __init__(
        self, commands: Commands, *, connection: BackendConnection, control_loop: ControlLoop, outbox: Outbox
    ) -> None:
        self._commands = commands
        self._connection = connection
        self._control_loop = control_loop
        self._outbox = outbox

    @on(Action.change_availability)
    async def on_change_availability(
        self,
        *,
        connector_id: int,
        type: str,  # noqa: A002 – the field's name
        at: datetime,
    ) -> call_result.ChangeAvailability:
        """Take a connector (0: all) out of service or back; scheduled while a session runs."""
        operative = type == AvailabilityType.operative
        outcome = await self._commands.submit(
            commands.SetAvailability(connector_id=connector_id, operative=operative), at
        )
        if outcome.status is Status.SCHEDULED:
            return call_result.ChangeAvailability(AvailabilityStatus.scheduled)
        return call_result.ChangeAvailability(
            AvailabilityStatus.accepted if outcome.succeeded else AvailabilityStatus.rejected
        )

    @on(Action.change_configuration)
    async def on_change_configuration(self, *, key: str, value: str, at: datetime) -> KeyChanged:
        """Set a key durably."""
        try:
            changes = await in_database(
                configuration.change,
                {key: value},
                origin=Origin.BACKEND,
                actor=self._connection.backend_host,
                at=at,
                link=self._connection.link_of_call,
            )
        except UnknownKey:
            return KeyChanged(ConfigurationStatus.not_supported)
        except ConfigurationRefused as refusal:
            unknown = any(problem.code == _UNKNOWN_KEY for problem in refusal.problems)
            return KeyChanged(ConfigurationStatus.not_supported if unknown else ConfigurationStatus.rejected)
        if Effect.RESTART in configuration.effects_of(changes):
            return KeyChanged(ConfigurationStatus.reboot_required, changes)
        return KeyChanged(ConfigurationStatus.accepted, changes)

    @after(Action.change_configuration)
    async def after_change_configuration(self, *, response: KeyChanged, **_: Any) -> None:
        """Let the change take effect, once the response has left."""
        effects = configuration.effects_of(response.changes)
        if Effect.OCPP_CONNECTION in effects:
            self._connection.reconnect()
        if Effect.OCPP_TIMERS in effects:
            self._connection.restart_timers()
        if response.changes:
            await self._control_loop.inform(ConfigurationChanged())

    @on(Action.clear_cache)
    async def on_clear_cache(self, **_: Any) -> call_result.ClearCache:
        """Forget what the backend has said about cards."""
        cleared = await in_database(authorization_cache.clear)
        return call_result.ClearCache(ClearCacheStatus.accepted if cleared else ClearCacheStatus.rejected)

    @on(Action.data_transfer)
    async def on_data_transfer(self, *, vendor_id: str, **_: Any) -> call_result.DataTransfer:
        """Refuse politely: the station takes no vendor messages, it only sends one."""
        vendor = await in_database(configuration.get, "/identity/vendor")
        known = vendor_id in {vendor, meter_keys.VENDOR}
        return call_result.DataTransfer(
            DataTransferStatus.unknown_message_id if known else DataTransferStatus.unknown_vendor_id
        )

    @on(Action.get_configuration)
    async def on_get_configuration(self, *, key: list[str] | None = None, **_: Any) -> call_result.GetConfiguration:
        """Return the named keys, or all; more than GetConfigurationMaxKeys are served, too."""
        return await in_database(_configuration, key or [])

    @on(Action.remote_start_transaction)
    async def on_remote_start_transaction(
        self,
        *,
        id_tag: str,
        connector_id: int | None = None,
        charging_profile: dict[str, Any] | None = None,
        at: datetime,
    ) -> call_result.RemoteStartTransaction:
        """Try to start a transaction; Accepted does not promise that the car charges."""
        rejected = call_result.RemoteStartTransaction(RemoteStartStopStatus.rejected)
        if connector_id is not None and connector_id <= 0:
            return rejected
        if charging_profile is not None:
            if "SmartCharging" not in await in_database(configuration.get_list, "SupportedFeatureProfiles"):
                # Section 5.11: a station without smart charging ignores it.
                charging_profile = None
            elif await in_database(refuse_remote_profile, charging_profile, connector_id):
                return rejected
        authorize = await in_database(configuration.get_bool, "AuthorizeRemoteTxRequests")
        outcome = await self._commands.submit(
            commands.StartSession(
                id_tag=id_tag, connector_id=connector_id, charging_profile=charging_profile, authorize=authorize
            ),
            at,
        )
        return call_result.RemoteStartTransaction(RemoteStartStopStatus.accepted) if outcome.succeeded else rejected

    @on(Action.remote_stop_transaction)
    async def on_remote_stop_transaction(
        self, *, transaction_id: int, at: datetime
    ) -> call_result.RemoteStopTransaction:
        """Stop a transaction by its number, which may have come with the frame before."""
        await self._outbox.settled()
        outcome = await self._commands.submit(commands.StopSession(transaction_id=transaction_id, reason="Remote"), at)
        return call_result.RemoteStopTransaction(
            RemoteStartStopStatus.accepted if outcome.succeeded else RemoteStartStopStatus.rejected
        )

    @on(Action.reset)
    async def on_reset(self, *, type: str, at: datetime) -> call_result.Reset:  # noqa: A002 – the field's name
        """Restart the software (Soft) or the station (Hard)."""
        hard = type == ResetType.hard
        stop_sessions = await in_database(configuration.get_bool, "StopTxOnReset")
        outcome = await self._commands.submit(
            commands.Reset(hard=hard, stop_sessions=stop_sessions, reason="HardReset" if hard else "SoftReset"), at
        )
        return call_result.Reset(ResetStatus.accepted if outcome.succeeded else ResetStatus.rejected)

    @on(Action.unlock_connector)
    async def on_unlock_connector(self, *, connector_id: int, at: datetime) -> call_result.UnlockConnector:
        """End the session, open the lock and say what the lock says."""
        if not 0 < connector_id <= await in_database(configuration.get_int, "NumberOfConnectors"):
            return call_result.UnlockConnector(UnlockStatus.not_supported)
        outcome = await self._commands.submit(commands.UnlockConnector(connector_id=connector_id), at)
        if outcome.succeeded:
            return call_result.UnlockConnector(UnlockStatus.unlocked)
        has_no_lock = outcome.status is Status.NOT_SUPPORTED
        return call_result.UnlockConnector(UnlockStatus.not_supported if has_no_lock else UnlockStatus.unlock_failed)


def _configuration(names: list[str]) -> call_result.GetConfiguration:
    listing = configuration.listing(Origin.BACKEND, names)
    known = []
    for listed in listing.known:
        entry: dict[str, Any] = {"key": listed.key.name, "readonly": listed.read_only}
        if listed.value is not None:
            entry["value"] = listed.value[:_MAX_VALUE_LENGTH]
        known.append(entry)
    return call_result.GetConfiguration(
        configuration_key=known if known or not names else None,
        unknown_key=list(listing.unknown) if listing.unknown else None,
    )
