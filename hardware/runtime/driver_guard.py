"""Makes whatever goes wrong in a driver its device's fault, so that one driver never ends the control of all points."""

import inspect
import logging
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from station.domain.ports import DeviceFailed, Devices, DriverFailed

logger = logging.getLogger(__name__)

_Driver = TypeVar("_Driver")


class GuardedDriver:
    """A driver that raises nothing but `DeviceFailed`, as the ports promise; everything else of it is as it was."""

    def __init__(self, driver: object, name: str) -> None:
        self._driver = driver
        self._name = name
        # A poll comes back several times a second; each place of the code is reported once.
        self._reported: set[tuple[type[Exception], str, int | None]] = set()

    def __getattr__(self, name: str) -> Any:
        return self._forward(name)

    def _forward(self, name: str) -> Any:
        attribute = getattr(self._driver, name)
        return self._guard(attribute) if inspect.iscoroutinefunction(attribute) else attribute

    def _guard(self, method: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return await method(*args, **kwargs)
            except DeviceFailed:
                raise
            except Exception as error:
                self._report(error)
                raise DriverFailed(f"{method.__name__}: {error!r}") from error

        return call

    def _report(self, error: Exception) -> None:
        innermost = traceback.extract_tb(error.__traceback__)[-1]
        place = (type(error), innermost.filename, innermost.lineno)
        if place not in self._reported:
            self._reported.add(place)
            logger.error(
                "the driver of %s has failed; that counts as silence of the device", self._name, exc_info=error
            )


def guarded(devices: Devices) -> Devices:
    """Return the same devices behind guards."""
    return Devices(
        controllers={
            number: _guarded(controller, f"controller {number}") for number, controller in devices.controllers.items()
        },
        meters={number: _guarded(meter, f"meter {number}") for number, meter in devices.meters.items()},
        readers=[(connector_id, _guarded(reader, "the card reader")) for connector_id, reader in devices.readers],
        io=devices.io and _guarded(devices.io, "the input module"),
        phases=devices.phases,
    )


def _guarded(driver: _Driver, name: str) -> _Driver:
    # From Python 3.12 on isinstance() with a Protocol does not ask __getattr__: what a driver can do beyond its port
    # has to stand in the class of its guard.
    names = {each: _forwarded(each) for each in dir(driver) if not each.startswith("_")}
    guard = type(f"Guarded{type(driver).__name__}", (GuardedDriver,), names)
    return cast("_Driver", guard(driver, name))


def _forwarded(name: str) -> property:
    return property(lambda guard: guard._forward(name))  # noqa: SLF001 - of the guard itself
