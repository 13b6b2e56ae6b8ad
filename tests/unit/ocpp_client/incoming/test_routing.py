"""Handlers declared with the decorators of the `ocpp` package."""

from dataclasses import dataclass
from unittest.mock import Mock

from ocpp.v16 import call_result
from ocpp.v16.enums import Action, ClearCacheStatus, UnlockStatus

from ocpp_client.incoming import feature_profiles
from ocpp_client.incoming.handlers import make_routes
from ocpp_client.incoming.handlers.context import HandlerContext
from ocpp_client.incoming.routing import after, on, payload_of_response, routes_of


@dataclass
class Unlocked(call_result.UnlockConnector):
    reason: str = ""


class Handlers:
    @on(Action.unlock_connector)
    async def on_unlock_connector(self, *, connector_id, at):
        return Unlocked(UnlockStatus.unlocked, f"{connector_id} at {at}")

    @after(Action.unlock_connector)
    async def after_unlock_connector(self, *, connector_id, response):
        return response.reason


class OtherHandlers:
    @on(Action.clear_cache)
    async def on_clear_cache(self, **_):
        return call_result.ClearCache(ClearCacheStatus.accepted)


async def test_what_the_decorators_declare_is_found():
    routes = routes_of(Handlers(), OtherHandlers())

    assert set(routes) == {"UnlockConnector", "ClearCache"}
    response = await routes["UnlockConnector"].on(connector_id=2, at="noon")
    assert await routes["UnlockConnector"].after(connector_id=2, response=response) == "2 at noon"
    assert routes["ClearCache"].after is None


async def test_only_the_fields_of_the_standard_go_over_the_wire():
    response = await Handlers().on_unlock_connector(connector_id=2, at="noon")

    assert payload_of_response("UnlockConnector", response) == {"status": "Unlocked"}


def test_every_call_of_a_profile_has_a_handler_and_the_other_way_round():
    names = HandlerContext.__dataclass_fields__
    routes = make_routes(HandlerContext(**{name: Mock() for name in names}))

    assert set(routes) == {str(action) for action in feature_profiles.PROFILES}
