"""Withdrawing energy from boards that nobody will control any more.

Boards without a watchdog go on delivering what they were told last, for ever; what one with a watchdog does stands in
its capabilities.
"""

import asyncio
import logging
from collections.abc import Mapping

from hardware.runtime.actuator import Actuator
from station.domain.ports import Watchdog

logger = logging.getLogger(__name__)

# How long an orderly end tries at boards that do not answer; the supervisor waits 3 s for the end.
WITHDRAW_S = 1.5


async def withdraw_energy(actuators: Mapping[int, Actuator], *, until_s: float) -> None:
    """Withdraw energy at all points at once, until the moment has come or each board has confirmed it."""
    confirmed = await asyncio.gather(*(actuator.disable_for_good(until_s=until_s) for actuator in actuators.values()))
    for number, is_off in zip(actuators, confirmed, strict=True):
        if not is_off:
            logger.error(
                "point %d: the controller has not confirmed that energy is withdrawn; %s",
                number,
                _left_alone(actuators[number].watchdog),
            )


def _left_alone(watchdog: Watchdog | None) -> str:
    if watchdog is None:
        return "it has no watchdog and goes on with what it was told last"
    after = "after a time its maker does not tell" if watchdog.timeout_s is None else f"after {watchdog.timeout_s:g} s"
    if watchdog.fallback is None:
        return f"by itself it reduces the current {after}"
    return f"by itself it goes on with {watchdog.fallback} mA {after}"
