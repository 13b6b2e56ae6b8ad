"""Safe mode: what runs instead of a control loop that keeps crashing."""

from collections.abc import Iterable
from typing import Any

from hardware.runtime.kept_off import KeptOff
from hardware.runtime.stand_in import StandIn, WhyNone
from station import clock
from station.domain.commands import Refusal
from station.domain.crash_guard import CrashCause, CrashHistory
from station.host import PowerPort

INFO = "Safe mode: control keeps crashing, energy is off"
REASON = "safe_mode"


class SafeMode(StandIn):
    """Stands in until the control loop may try again."""

    def __init__(
        self, points: Iterable[KeptOff], history: CrashHistory, *, connectors: int, power: PowerPort, redis: Any
    ) -> None:
        cause = history.cause or CrashCause.KILLED
        super().__init__(
            points,
            WhyNone(
                codes=(REASON, cause.value),
                info=INFO,
                event="station.safe_mode",
                data={"cause": cause.value},
                refusal=Refusal.SAFE_MODE,
            ),
            connectors=connectors,
            power=power,
            redis=redis,
            is_over=lambda: clock.monotonic_s() >= (history.safe_until_s or 0.0),
        )
