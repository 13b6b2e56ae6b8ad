"""Calls of the Core profile (OCPP 1.6 sections 5.2 to 5.18)."""

from ocpp_client.database import in_database
from ocpp_client.incoming.handlers.base import Handler, Payload, Reply, Request, status
from ocpp_client.incoming.handlers.smart_charging import refuse_remote_profile
from ocpp_client.outgoing import authorization_cache, meter_keys
from station.domain import commands
from station.domain.commands import Outcome, Status
from station.domain.configuration import Change, ConfigurationRefused, Effect, Origin, UnknownKey
from station.services import configuration
from station.services.messages import ConfigurationChanged

_UNKNOWN_KEY = "unknown_key"
_MAX_VALUE_LENGTH = 500


def _accepted(outcome: Outcome) -> str:
    return "Accepted" if outcome.succeeded else "Rejected"


async def change_availability(request: Request) -> Reply:
    """Take a connector (0: all) out of service or back; scheduled while a session runs."""
    outcome = await request.submit(
        commands.SetAvailability(
            connector_id=request.payload["connectorId"], operative=request.payload["type"] == "Operative"
        )
    )
    return status("Scheduled" if outcome.status is Status.SCHEDULED else _accepted(outcome))


async def change_configuration(request: Request) -> Reply:
    """Set a key durably; what it changes takes effect at once, a new connection after the answer has left."""
    key, value = request.payload["key"], request.payload["value"]
    try:
        changes = await in_database(
            configuration.change, {key: value}, origin=Origin.BACKEND, actor=request.actor, at=request.at
        )
    except UnknownKey:
        return status("NotSupported")
    except ConfigurationRefused as refusal:
        unknown = any(problem.code == _UNKNOWN_KEY for problem in refusal.problems)
        return status("NotSupported" if unknown else "Rejected")
    effects = configuration.effects_of(changes)

    async def apply() -> None:
        await _apply(request, changes, effects)

    return status("RebootRequired" if Effect.RESTART in effects else "Accepted", after=apply)


async def _apply(request: Request, changes: tuple[Change, ...], effects: frozenset[Effect]) -> None:
    link = request.link
    if Effect.OCPP_CONNECTION in effects:
        link.reconnect()
    if Effect.OCPP_TIMERS in effects:
        link.restart_timers()
    if changes:
        await link.environment.control_loop.inform(ConfigurationChanged())


async def clear_cache(request: Request) -> Reply:
    """Forget what the backend has said about cards."""
    return status("Accepted" if await in_database(authorization_cache.clear) else "Rejected")


async def data_transfer(request: Request) -> Reply:
    """Refuse politely: the station takes no vendor messages, it only sends one."""
    vendor = await in_database(configuration.get, "/identity/vendor")
    known = request.payload["vendorId"] in {vendor, meter_keys.VENDOR}
    return status("UnknownMessageId" if known else "UnknownVendorId")


async def get_configuration(request: Request) -> Reply:
    """Answer the named keys, or all; more than GetConfigurationMaxKeys are served, too."""
    return Reply(payload=await in_database(_configuration, request.payload.get("key") or []))


def _configuration(names: list[str]) -> Payload:
    listing = configuration.listing(Origin.BACKEND, names)
    known = []
    for listed in listing.known:
        entry: Payload = {"key": listed.key.name, "readonly": listed.read_only}
        if listed.value is not None:
            entry["value"] = listed.value[:_MAX_VALUE_LENGTH]
        known.append(entry)
    answer: Payload = {}
    if known or not names:
        answer["configurationKey"] = known
    if listing.unknown:
        answer["unknownKey"] = list(listing.unknown)
    return answer


async def remote_start(request: Request) -> Reply:
    """Try to start a transaction; Accepted does not promise that the car charges."""
    payload = request.payload
    connector_id = payload.get("connectorId")
    if connector_id is not None and connector_id <= 0:
        return status("Rejected")
    profile = payload.get("chargingProfile")
    if "SmartCharging" not in await in_database(configuration.get_list, "SupportedFeatureProfiles"):
        # Section 5.11: a station without smart charging ignores it.
        profile = None
    if profile is not None and await in_database(refuse_remote_profile, profile, connector_id):
        return status("Rejected")
    authorize = await in_database(configuration.get_bool, "AuthorizeRemoteTxRequests")
    outcome = await request.submit(
        commands.StartSession(
            id_tag=payload["idTag"], connector_id=connector_id, charging_profile=profile, authorize=authorize
        )
    )
    return status(_accepted(outcome))


async def remote_stop(request: Request) -> Reply:
    """Stop a transaction by its number, which may have come with the frame before."""
    await request.link.outbox.settled()
    command = commands.StopSession(transaction_id=request.payload["transactionId"], reason="Remote")
    return status(_accepted(await request.submit(command)))


async def reset(request: Request) -> Reply:
    """Restart the software (Soft) or the station (Hard)."""
    hard = request.payload["type"] == "Hard"
    stop_sessions = await in_database(configuration.get_bool, "StopTxOnReset")
    command = commands.Reset(hard=hard, stop_sessions=stop_sessions, reason="HardReset" if hard else "SoftReset")
    return status(_accepted(await request.submit(command)))


async def unlock_connector(request: Request) -> Reply:
    """End the session, open the lock and answer what the lock says."""
    connector_id = request.payload["connectorId"]
    if not 0 < connector_id <= await in_database(configuration.get_int, "NumberOfConnectors"):
        return status("NotSupported")
    outcome = await request.submit(commands.UnlockConnector(connector_id=connector_id))
    if outcome.succeeded:
        return status("Unlocked")
    return status("NotSupported" if outcome.status is Status.NOT_SUPPORTED else "UnlockFailed")


HANDLERS: dict[str, Handler] = {
    "ChangeAvailability": change_availability,
    "ChangeConfiguration": change_configuration,
    "ClearCache": clear_cache,
    "DataTransfer": data_transfer,
    "GetConfiguration": get_configuration,
    "RemoteStartTransaction": remote_start,
    "RemoteStopTransaction": remote_stop,
    "Reset": reset,
    "UnlockConnector": unlock_connector,
}
