"""How the station asks a service of the computer over D-Bus, and what becomes of a refusal.

    def _ask(...) -> ...:
        async def task(bus: Bus) -> ...:
            return await bus.properties(SERVICE, PATH, INTERFACE)
        return run(task)

A connection lives for one task and never longer: it survives no fork and belongs to no other event loop. dbus-fast is
imported when a task runs; processes that ask nobody do not carry it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from dbus_fast.aio import MessageBus
    from dbus_fast.message import Message

_Result = TypeVar("_Result")

# Services answer within milliseconds; people wait for a page. Installations and the like say how long they may take.
CALL_TIMEOUT_S = 5.0
TASK_TIMEOUT_S = 15.0
_DAEMON, _DAEMON_PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"
_PROPERTIES = "org.freedesktop.DBus.Properties"
# Last words of the errors' names: every service has a prefix of its own for the same refusal.
_ABSENT = frozenset({"ServiceUnknown", "NameHasNoOwner", "Disconnected", "NoServer", "NoSuchUnit"})
_DENIED = frozenset(
    {
        "AccessDenied",
        "AuthFailed",
        "InteractiveAuthorizationRequired",
        "NotAuthorized",
        "PermissionDenied",
        "Unauthorized",
    }
)
_SILENT = frozenset({"NoReply", "Timeout", "TimedOut"})
_INVALID = frozenset(
    {
        "InvalidArgs",
        "InvalidArgument",
        "InvalidArguments",
        "InvalidConnection",
        "InvalidProperty",
        "InvalidSetting",
        "InvalidTimezone",
        "MissingProperty",
        "MissingSetting",
    }
)


class ServiceRefused(RuntimeError):
    """A service of the computer did not do what it was asked for; `text` are its own words."""

    def __init__(self, service: str, text: str = "", *, name: str = "") -> None:
        super().__init__(": ".join(part for part in (service, text or name) if part))
        self.service, self.text, self.name = service, text, name


class ServiceAbsent(ServiceRefused):
    """The service, or D-Bus itself, does not run on this computer."""


class AccessIsDenied(ServiceRefused):
    """polkit or the policy of the bus does not let the station do this."""


class NoAnswer(ServiceRefused):
    """The service is there and has not answered in time."""


class ValueIsInvalid(ServiceRefused):
    """The service does not accept a value; `text` says which."""


class CallIsRefused(ServiceRefused):
    """The service refuses for a reason of its own, which `name` and `text` tell."""


def run(task: "Callable[[Bus], Awaitable[_Result]]", *, timeout_s: float = TASK_TIMEOUT_S) -> _Result:
    """Connect, do one task, disconnect. Raises ServiceRefused; not to be called inside a running event loop."""
    return asyncio.run(_within(task, timeout_s))


async def _within(task: "Callable[[Bus], Awaitable[_Result]]", timeout_s: float) -> _Result:
    try:
        async with asyncio.timeout(timeout_s), connect() as bus:
            return await task(bus)
    except TimeoutError as silence:
        raise NoAnswer(_DAEMON, f"no answer within {timeout_s:g} s") from silence


@asynccontextmanager
async def connect() -> "AsyncIterator[Bus]":
    """Connect with the system bus, or the one of DBUS_SYSTEM_BUS_ADDRESS. Raises ServiceAbsent."""
    from dbus_fast import BusType
    from dbus_fast.aio import MessageBus
    from dbus_fast.errors import AuthError, InvalidAddressError

    try:
        connection = MessageBus(bus_type=BusType.SYSTEM, auth_timeout=CALL_TIMEOUT_S)
        await connection.connect()
    except (OSError, AuthError, InvalidAddressError, EOFError) as problem:
        raise ServiceAbsent(_DAEMON, str(problem)) from problem
    try:
        yield Bus(connection)
    finally:
        connection.disconnect()


class Bus:
    """A connection to the bus for one task."""

    def __init__(self, connection: "MessageBus") -> None:
        self._connection = connection

    async def call(
        self,
        service: str,
        path: str,
        method: str,
        signature: str = "",
        arguments: Sequence[object] = (),
        *,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> Any:
        """Call `interface.Method` and return what it returns: nothing, the one value, or a list. Raises ServiceRefused.

        Variants come as dbus-fast's `Variant`, so that a profile can be sent back as it was read; see `plain`.
        """
        from dbus_fast.constants import MessageType
        from dbus_fast.message import Message

        interface, _, member = method.rpartition(".")
        message = Message(
            destination=service,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(arguments),
        )
        try:
            async with asyncio.timeout(timeout_s):
                reply = await self._connection.call(message)
        except TimeoutError as silence:
            raise NoAnswer(service, f"no answer within {timeout_s:g} s") from silence
        except (OSError, EOFError) as problem:
            raise ServiceAbsent(service, str(problem)) from problem
        if reply.message_type is MessageType.ERROR:
            raise refusal(service, reply.error_name or "", str(reply.body[0]) if reply.body else "")
        if not reply.body:
            return None
        return reply.body[0] if len(reply.body) == 1 else reply.body

    async def properties(self, service: str, path: str, interface: str) -> dict[str, Any]:
        """Read all properties of an interface as plain values. Raises ServiceRefused."""
        found: dict[str, Any] = plain(await self.call(service, path, f"{_PROPERTIES}.GetAll", "s", [interface]))
        return found

    async def get(self, service: str, path: str, name: str) -> Any:
        """Read the property `interface.Name` as a plain value. Raises ServiceRefused."""
        interface, _, member = name.rpartition(".")
        return plain(await self.call(service, path, f"{_PROPERTIES}.Get", "ss", [interface, member]))

    async def is_there(self, service: str) -> bool:
        """Return whether the service runs; asking does not start it."""
        there: bool = await self.call(_DAEMON, _DAEMON_PATH, f"{_DAEMON}.NameHasOwner", "s", [service])
        return there

    @asynccontextmanager
    async def signals(self, service: str, path: str) -> "AsyncIterator[Signals]":
        """Collect the signals of a service at a path; enter before the call whose outcome they tell."""
        from dbus_fast.constants import MessageType

        collected: asyncio.Queue[tuple[str, list[Any]]] = asyncio.Queue()

        # Messages name their sender by its number on the bus, so the rule has to choose the service.
        rule = f"type='signal',sender='{service}',path='{path}'"

        def hear(message: "Message") -> None:
            if message.message_type is MessageType.SIGNAL and message.path == path:
                collected.put_nowait((f"{message.interface}.{message.member}", message.body))

        self._connection.add_message_handler(hear)
        try:
            await self.call(_DAEMON, _DAEMON_PATH, f"{_DAEMON}.AddMatch", "s", [rule])
            yield Signals(collected)
        finally:
            self._connection.remove_message_handler(hear)
            with suppress(ServiceRefused):
                await self.call(_DAEMON, _DAEMON_PATH, f"{_DAEMON}.RemoveMatch", "s", [rule])


class Signals:
    """The signals that have come in, in their order."""

    def __init__(self, collected: "asyncio.Queue[tuple[str, list[Any]]]") -> None:
        self._collected = collected

    async def next(self) -> tuple[str, list[Any]]:
        """Wait for the next one: `interface.Name` and its values, plain. Who waits says for how long."""
        name, values = await self._collected.get()
        return name, plain(values)


def refusal(service: str, name: str, text: str) -> ServiceRefused:
    """Return the exception for an error of D-Bus."""
    last = name.rpartition(".")[2]
    kind: type[ServiceRefused] = CallIsRefused
    if last in _ABSENT or ".Spawn." in name:
        kind = ServiceAbsent
    elif last in _DENIED:
        kind = AccessIsDenied
    elif last in _SILENT:
        kind = NoAnswer
    elif last in _INVALID:
        kind = ValueIsInvalid
    return kind(service, text, name=name)


def plain(value: Any) -> Any:
    """Return a value of D-Bus without the types of its variants."""
    from dbus_fast.unpack import unpack_variants

    return unpack_variants(value)


def variant(signature: str, value: object) -> Any:
    """Return a value with its type, as dictionaries of D-Bus want it."""
    from dbus_fast.signature import Variant

    return Variant(signature, value)
