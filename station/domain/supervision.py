"""What a meter's values say about the wiring: the fault rules of a point with a meter and a contactor.

Thresholds: phase loss below 0.85 of 230 V for 2 s; a current over 0.5 A with an idle point for 7 s means a welded
contactor; over-current as ABL's controllers judge it (specification 05 0015 20 Rev. B): more than 110 % for 100 s or
more than 120 % for 10 s. Once proven it holds for a while without energy, or a car that does not follow its limit would
take too much again and again, with hardly a pause.
"""

from dataclasses import dataclass, field, replace

from station.domain.faults import FaultCode
from station.domain.ports import PhaseValues
from station.domain.units import MilliAmpere, MilliVolt

LOWEST_VOLTAGE = MilliVolt(195_000)
PHASE_LOSS_S = 2.0
IDLE_CURRENT = MilliAmpere(500)
WELD_S = 7.0
OVERLOAD_STEPS = ((110, 100.0), (120, 10.0))
# Shorter than what ends a session: a car that was only slow goes on afterwards.
OVERLOAD_HOLDS_S = 30.0


def highest_current(phases: PhaseValues) -> MilliAmpere:
    """Return the current of the phase that carries most; some meters tell one that is wired backwards as negative."""
    return max((MilliAmpere(abs(each)) for each in phases.currents if each is not None), default=MilliAmpere(0))


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Since when each suspicion stands (monotonic seconds); a suspicion that lasts becomes a fault.

    `overload_until_s`: until when an over-current that was proven counts, whatever flows now.
    """

    since: dict[str, float] = field(default_factory=dict)
    overload_until_s: float = float("-inf")

    def judge(
        self, phases: PhaseValues, *, energy_allowed: bool, limit: MilliAmpere, at_s: float
    ) -> tuple["Watch", frozenset[FaultCode]]:
        """Take one reading; return the new watch and the faults it proves.

        `limit` is the highest current the car may take now (0 while paused: only welding is judged then). A phase is
        lost when another one has voltage and it has not; a meter without voltages proves nothing.
        """
        voltages = [voltage for voltage in phases.voltages if voltage is not None]
        highest = highest_current(phases)
        suspicions: dict[str, tuple[bool, float, FaultCode]] = {
            "phase": (bool(voltages) and min(voltages) < LOWEST_VOLTAGE, PHASE_LOSS_S, FaultCode.UNDER_VOLTAGE),
            "weld": (not energy_allowed and highest > IDLE_CURRENT, WELD_S, FaultCode.POWER_SWITCH_FAILURE),
        }
        for percent, seconds in OVERLOAD_STEPS:
            over = energy_allowed and limit > 0 and highest * 100 > limit * percent
            suspicions[f"over{percent}"] = (over, seconds, FaultCode.OVER_CURRENT_FAILURE)
        since = {name: self.since.get(name, at_s) for name, (suspected, _, _) in suspicions.items() if suspected}
        proven = frozenset(
            code for name, (_, seconds, code) in suspicions.items() if name in since and at_s - since[name] >= seconds
        )
        overload_until_s = self.overload_until_s
        if FaultCode.OVER_CURRENT_FAILURE in proven:
            overload_until_s = at_s + OVERLOAD_HOLDS_S
        elif at_s < overload_until_s:
            proven |= {FaultCode.OVER_CURRENT_FAILURE}
        return replace(self, since=since, overload_until_s=overload_until_s), proven
