"""Puts the control loop together: the only module that knows both the drivers and the station's services."""

import asyncio
import logging
from pathlib import Path

from django.conf import settings

from hardware.drivers.config import HardwareConfigInvalid, build, load
from hardware.runtime.actuator import Actuator
from hardware.runtime.control_loop import ControlLoop
from hardware.runtime.driver_guard import guarded
from hardware.runtime.energy_off import WITHDRAW_S, withdraw_energy
from hardware.runtime.kept_off import KeptOff
from hardware.runtime.safe_mode import SafeMode
from station import clock, host
from station.domain.crash_guard import CrashCause, CrashHistory
from station.domain.ports import Devices
from station.domain.units import MilliAmpere
from station.services import identity, redis

logger = logging.getLogger(__name__)


async def make_control_loop() -> ControlLoop:
    """Build the control loop from its hardware configuration; raises HardwareConfigInvalid with every mistake in it."""
    config = await asyncio.to_thread(load, settings.DATA.hardware)
    station = identity.load()
    return ControlLoop(
        build(config),
        host=host.for_settings(),
        redis=redis.async_client(),
        has_lock=station.socket_lock,
        rating=MilliAmpere(station.rated_current_a * 1_000),
    )


def make_safe_mode(history: CrashHistory) -> SafeMode:
    """Build what keeps energy off while the control loop may not try; it needs no more than controllers and meters."""
    file = settings.DATA.hardware
    described = _written_at(file)
    station, devices = identity.load(), _devices()
    return SafeMode(
        [
            KeptOff(
                number=number, controller=controller, meter=devices.meters.get(number), has_lock=station.socket_lock
            )
            for number, controller in devices.controllers.items()
        ],
        history,
        connectors=station.connectors,
        power=host.for_settings().power,
        redis=redis.async_client(),
        # Somebody has mended the description; any other reason may only be gone.
        is_mended=lambda: history.cause is CrashCause.CONFIGURATION and _written_at(file) != described,
    )


async def withdraw_energy_before_start() -> None:
    """Withdraw energy where no control loop has begun yet: the one before may have left it on."""
    controllers = _devices().controllers
    actuators = {number: Actuator(controller, has_lock=False) for number, controller in controllers.items()}
    await withdraw_energy(actuators, until_s=clock.monotonic_s() + WITHDRAW_S)


def cause_of(error: Exception) -> CrashCause:
    """Return what an exception that has ended the control loop says about it."""
    return CrashCause.CONFIGURATION if isinstance(error, HardwareConfigInvalid) else CrashCause.EXCEPTION


def _written_at(file: Path) -> int | None:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return None


def _devices() -> Devices:
    try:
        return guarded(build(load(settings.DATA.hardware)))
    except HardwareConfigInvalid as error:
        logger.error("no controller is known: %s", error)  # noqa: TRY400 - the mistakes are in the message
        return Devices(controllers={}, meters={}, readers=[], io=None)
