"""Puts the control loop together: the only module that knows both the drivers and the station's services."""

import asyncio
import contextlib
import logging
from pathlib import Path

from django.conf import settings

from hardware.drivers.config import HardwareConfigInvalid, ProblemCode, build, load
from hardware.runtime.actuator import Actuator
from hardware.runtime.control_loop import ControlLoop
from hardware.runtime.driver_guard import guarded
from hardware.runtime.energy_off import WITHDRAW_S, withdraw_energy
from hardware.runtime.kept_off import KeptOff
from hardware.runtime.safe_mode import SafeMode
from hardware.runtime.stand_in import StandIn
from hardware.runtime.undescribed import Undescribed, stamp_of
from station import clock, host, private_files
from station.domain.crash_guard import CrashHistory
from station.domain.ports import Devices
from station.domain.snapshot import DescriptionMistake
from station.domain.units import MilliAmpere
from station.services import identity, redis

logger = logging.getLogger(__name__)


async def make(history: CrashHistory) -> ControlLoop | StandIn:
    """Build the control loop from its hardware configuration, or what stands in where there can be none."""
    file = settings.DATA.hardware
    # Before it is read: whoever writes it meanwhile is seen.
    stamp = stamp_of(file)
    try:
        devices = build(await asyncio.to_thread(load, file))
    except HardwareConfigInvalid as error:
        return _make_undescribed(file, stamp, error)
    if history.is_safe_mode:
        return _make_safe_mode(history)
    await asyncio.to_thread(_keep_copy)
    station = identity.load()
    return ControlLoop(
        devices,
        host=host.for_settings(),
        redis=redis.async_client(),
        has_lock=station.socket_lock,
        rating=MilliAmpere(station.rated_current_a * 1_000),
    )


def _make_undescribed(file: Path, stamp: tuple[int, int, int] | None, error: HardwareConfigInvalid) -> Undescribed:
    station = _identity_or_none()
    is_missing = stamp is None and all(each.code is ProblemCode.FILE_UNREADABLE for each in error.problems)
    return Undescribed(
        _kept_off(has_lock=station.socket_lock),
        file=file,
        stamp=stamp,
        mistakes=()
        if is_missing
        else tuple(
            DescriptionMistake(where=each.where, template=each.template, data=dict(each.data))
            for each in error.problems
        ),
        connectors=station.connectors,
        power=host.for_settings().power,
        redis=redis.async_client(),
    )


def _make_safe_mode(history: CrashHistory) -> SafeMode:
    station = _identity_or_none()
    return SafeMode(
        _kept_off(has_lock=station.socket_lock),
        history,
        connectors=station.connectors,
        power=host.for_settings().power,
        redis=redis.async_client(),
    )


def _identity_or_none() -> identity.Identity:
    """Return the identity for what keeps energy off, which nobody's mistake may end: without one, plugs are let go."""
    try:
        return identity.load()
    except identity.IdentityFileBroken as damage:
        logger.error("%s", damage)  # noqa: TRY400 - a sentence
        return identity.Identity(socket_lock=True)


def _kept_off(*, has_lock: bool) -> list[KeptOff]:
    """Make what keeps energy off; it needs no more than controllers and meters."""
    devices = _devices()
    return [
        KeptOff(number=number, controller=controller, meter=devices.meters.get(number), has_lock=has_lock)
        for number, controller in devices.controllers.items()
    ]


async def withdraw_energy_before_start() -> None:
    """Withdraw energy where no control loop has begun yet: the one before may have left it on."""
    controllers = _devices().controllers
    actuators = {number: Actuator(controller, has_lock=False) for number, controller in controllers.items()}
    await withdraw_energy(actuators, until_s=clock.monotonic_s() + WITHDRAW_S)


def _devices() -> Devices:
    """Return the devices of the description, or of the last one that was right."""
    for file in (settings.DATA.hardware, settings.DATA.hardware_before):
        with contextlib.suppress(HardwareConfigInvalid):
            return guarded(build(load(file)))
    return Devices(controllers={}, meters={}, readers=[], io=None)


def _keep_copy() -> None:
    """Keep the description that is in use: should it be damaged, energy can still be withdrawn."""
    # A full disk costs the copy, not the control loop.
    with contextlib.suppress(OSError):
        content, copy = settings.DATA.hardware.read_bytes(), settings.DATA.hardware_before
        if not copy.exists() or copy.read_bytes() != content:
            private_files.write(copy, content)
