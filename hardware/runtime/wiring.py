"""Puts the control loop together: the only module that knows both the drivers and the station's services."""

import asyncio

from django.conf import settings

from hardware.drivers.config import build, load
from hardware.runtime.control_loop import ControlLoop
from station import host
from station.services import identity, redis


async def make_control_loop() -> ControlLoop:
    """Build the control loop from its hardware configuration; raises HardwareConfigError with every mistake in it."""
    config = await asyncio.to_thread(load, settings.DATA.hardware)
    return ControlLoop(
        build(config),
        host=host.for_settings(),
        redis=redis.async_client(),
        has_lock=identity.load().socket_lock,
    )
