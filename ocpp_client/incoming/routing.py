"""The decorators `on` and `after` of the `ocpp` package, with types, and the routes they declare.

Handlers are called as the package calls them, by the fields of the request in snake case, with three differences:
objects inside a field keep the names of the wire; `on` gets the moment of the call as `at`; `after` gets the response
as `response`. A response may be a subclass of the package's that carries what `after` needs.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from ocpp import routing
from ocpp.v16 import call_result
from ocpp.v16.enums import Action

from ocpp_client.rpc import messages

Handler = Callable[..., Awaitable[Any]]
_Handler = TypeVar("_Handler", bound=Handler)


def on(action: Action) -> Callable[[_Handler], _Handler]:
    """Declare the method that answers a call with a message of `ocpp.v16.call_result`."""
    decorate: Callable[[_Handler], _Handler] = routing.on(action)
    return decorate


def after(action: Action) -> Callable[[_Handler], _Handler]:
    """Declare the method that runs once the response has left."""
    decorate: Callable[[_Handler], _Handler] = routing.after(action)
    return decorate


@dataclass(frozen=True, kw_only=True)
class Route:
    """What answers the calls of one action."""

    on: Handler
    after: Handler | None


def routes_of(*handlers: object) -> Mapping[str, Route]:
    """Collect what the methods of these objects are declared for."""
    return {
        str(action): Route(on=found["_on_action"], after=found.get("_after_action"))
        for each in handlers
        for action, found in routing.create_route_map(each).items()
    }


def payload_of_response(action: str, response: Any) -> dict[str, Any]:
    """Return the JSON object of a response: the fields of the standard, whatever else it carries."""
    standard = getattr(call_result, action)
    if type(response) is not standard:
        response = standard(**{field.name: getattr(response, field.name) for field in fields(standard)})
    return messages.payload_of(response)
