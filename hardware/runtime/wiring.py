"""Puts the control loop together: the only module that knows both the drivers and the station's services."""

import asyncio

from django.conf import settings

from hardware.drivers.config import build, load
from hardware.runtime.actuator import Actuator
from hardware.runtime.control_loop import ControlLoop
from hardware.runtime.energy_off import WITHDRAW_S, withdraw_energy
from station import clock, host
from station.services import identity, redis


async def make_control_loop() -> ControlLoop:
    """Build the control loop from its hardware configuration; raises HardwareConfigInvalid with every mistake in it."""
    config = await asyncio.to_thread(load, settings.DATA.hardware)
    return ControlLoop(
        build(config),
        host=host.for_settings(),
        redis=redis.async_client(),
        has_lock=identity.load().socket_lock,
    )


async def withdraw_energy_before_start() -> None:
    """Withdraw energy where no control loop has begun yet: the one before may have left it on."""
    controllers = build(load(settings.DATA.hardware)).controllers
    actuators = {number: Actuator(controller, has_lock=False) for number, controller in controllers.items()}
    await withdraw_energy(actuators, until_s=clock.monotonic_s() + WITHDRAW_S)
