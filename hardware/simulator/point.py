"""One charging point of the simulated world: car, cable, bolt, contactor, residual-current device and meter."""

from dataclasses import dataclass, field
from math import inf

from hardware.protocols.phoenix import BoardError
from hardware.simulator.board import STOPS_PWM, Board
from hardware.simulator.electricity import EnergyCounter, Load, load
from hardware.simulator.lock import LockMotor
from hardware.simulator.signing import Signing
from hardware.simulator.vehicle import Vehicle
from station.domain.faults import FaultCode
from station.domain.ports import Pilot

# While something moves, physics is worked out in steps of this length; while nothing does, in one step.
STEP_S = 0.05
# What is shorter is left to the next call; a step must never vanish in the resolution of the clock.
SHORTEST_STEP_S = 1e-6
SECONDS_PER_HOUR = 3600.0
# A finger stays on the button at least this long, and until the board was asked, but not longer than the second value.
BUTTON_HELD_S = 0.4
BUTTON_HELD_AT_MOST_S = 2.0


class ConnectorIsLocked(Exception):
    """The plug cannot be pulled out of the socket while the bolt is in."""

    def __init__(self) -> None:
        super().__init__("the plug is locked in the socket")


class CableIsFixed(Exception):
    """A tethered cable has no plug at the station's end."""

    def __init__(self) -> None:
        super().__init__("the cable is fixed to the station")


@dataclass(kw_only=True)
class Button:
    """The stop button, a momentary contact."""

    pressed_at_s: float = -inf
    was_seen: bool = True

    def press(self, *, now_s: float) -> None:
        """Press the button."""
        self.pressed_at_s = now_s
        self.was_seen = False

    def is_pressed(self, *, now_s: float) -> bool:
        """Whether the contact is closed; a poll that comes a little late still finds it so."""
        held_s = now_s - self.pressed_at_s
        return held_s < BUTTON_HELD_S or (not self.was_seen and held_s < BUTTON_HELD_AT_MOST_S)


@dataclass(kw_only=True)
class ChargingPoint:
    """The physical truth at one connector. `advance` brings it up to a moment; actions are for that moment."""

    number: int
    now_s: float
    cable_is_fixed: bool = False
    fixed_cable_a: int = 32
    # By how many phases the installer has connected it.
    wired_phases: int = 3
    board: Board = field(default_factory=Board)
    lock: LockMotor = field(default_factory=LockMotor)
    button: Button = field(default_factory=Button)
    energy: EnergyCounter = field(default_factory=EnergyCounter)
    signing: Signing = field(default_factory=Signing)
    faults: set[FaultCode] = field(default_factory=set)
    vehicle: Vehicle | None = None
    plugged_cable_a: int | None = None
    missing_phase: int | None = None
    contactor_closed: bool = False
    charging_s: float = 0.0
    connected_s: float = 0.0

    @property
    def cable_a(self) -> int:
        """Rating of the cable in the socket (or of the fixed one), 0 without a cable."""
        return self.fixed_cable_a if self.cable_is_fixed else self.plugged_cable_a or 0

    @property
    def plugged(self) -> bool:
        """Whether a cable is in the socket; with a fixed cable, whether a car is at its end."""
        return self.vehicle is not None if self.cable_is_fixed else self.plugged_cable_a is not None

    @property
    def welded(self) -> bool:
        """Whether the contacts of the contactor stick together."""
        return FaultCode.POWER_SWITCH_FAILURE in self.faults

    @property
    def tripped(self) -> bool:
        """Whether the residual-current device has tripped."""
        return FaultCode.GROUND_FAILURE in self.faults

    @property
    def errors(self) -> frozenset[BoardError]:
        """What the board's error word says."""
        feedback_lost = FaultCode.CONNECTOR_LOCK_FAILURE in self.faults
        bolt_stuck = self.lock.has_failed(now_s=self.now_s)
        conditions = {
            BoardError.PILOT_INVALID: FaultCode.EV_COMMUNICATION_ERROR in self.faults,
            BoardError.NOT_AVAILABLE: not self.board.available,
            BoardError.LOCKING_FAILED: (bolt_stuck and self.lock.target) or (feedback_lost and not self.lock.locked),
            BoardError.UNLOCKING_FAILED: bolt_stuck and not self.lock.target,
            BoardError.LOCK_FEEDBACK_LOST: feedback_lost and self.lock.locked,
            BoardError.CONTACTOR: self.welded,
            BoardError.RESIDUAL_CURRENT: self.tripped,
        }
        return frozenset(error for error, present in conditions.items() if present)

    @property
    def pwm_on(self) -> bool:
        """Whether the pilot signals a permitted current."""
        return (
            self.vehicle is not None
            and self.board.released
            and self.board.available
            and not self.board.is_restarting(now_s=self.now_s)
            and not self.errors & STOPS_PWM
        )

    @property
    def offered_a(self) -> float:
        """The current the pilot signals, 0 without PWM."""
        return self.board.permitted_a(cable_a=self.cable_a) if self.pwm_on else 0

    @property
    def pilot(self) -> Pilot:
        """State of the control pilot; a car stays in C while it winds down after the end of PWM.

        A car that wants no more opens its contact at once.
        """
        if self.board.is_restarting(now_s=self.now_s):
            return Pilot.E
        if not self.board.available:
            return Pilot.F
        if self.vehicle is None:
            return Pilot.A
        asks = self.vehicle.wants_energy and (self.pwm_on or self.vehicle.current_a > 0)
        return Pilot.C if asks else Pilot.B

    @property
    def load(self) -> Load:
        """What flows through the meter now."""
        if self.vehicle is None:
            return load(current_a=0.0, phases=0, missing_phase=self.missing_phase)
        return load(
            current_a=self.vehicle.current_a,
            phases=min(self.vehicle.phases, self.wired_phases),
            missing_phase=self.missing_phase,
        )

    def advance(self, *, now_s: float, factor: float) -> None:
        """Let time pass up to `now_s`; energy counts `factor` times as fast as the clock."""
        while now_s - self.now_s > SHORTEST_STEP_S:
            step_s = min(STEP_S, now_s - self.now_s) if self._is_moving() else now_s - self.now_s
            self._pass(step_s, factor=factor)
            self.now_s += step_s
            self.board.advance(now_s=self.now_s)
            self.lock.advance(now_s=self.now_s)
            self.settle()

    def settle(self) -> None:
        """Bring bolt, cable and contactor in line with what has just changed."""
        if self.cable_is_fixed or self.plugged_cable_a is None:
            # Without a plug the board does not drive the bolt.
            self.lock.locked = self.lock.target = False
        else:
            wants_lock = self.board.wants_lock(vehicle_connected=self.vehicle is not None)
            self.lock.drive(locked=wants_lock, now_s=self.now_s)
            if self.vehicle is None and not self.lock.locked and not self.lock.target:
                self.plugged_cable_a = None
        pilot = self.pilot
        in_charge = pilot in (Pilot.C, Pilot.D)
        if self.welded:
            self.contactor_closed = True
        elif self.tripped or not in_charge:
            self.contactor_closed = False
        elif self.pwm_on:
            self.contactor_closed = True
        if self.vehicle is not None and (not self.contactor_closed or self.tripped or not in_charge):
            self.vehicle.current_a = 0.0

    def plug(self, vehicle: Vehicle, *, cable_a: int) -> None:
        """Connect a car; a cable that already is in the socket is used, whatever its rating."""
        if self.plugged_cable_a is None and not self.cable_is_fixed:
            self.plugged_cable_a = cable_a
        self.vehicle = vehicle
        self.settle()

    def unplug_vehicle(self) -> None:
        """Pull the car's end; the station's end follows as soon as the bolt is out."""
        self.vehicle = None
        self.settle()

    def unplug_station(self, *, force: bool) -> None:
        """Pull the station's end; ConnectorIsLocked unless the bolt is out or force is used, CableIsFixed."""
        if self.cable_is_fixed:
            raise CableIsFixed
        if self.lock.locked and not force:
            raise ConnectorIsLocked
        self.vehicle = None
        self.plugged_cable_a = None
        self.settle()

    def _is_moving(self) -> bool:
        if not self.lock.at_rest:
            return True
        return self.vehicle is not None and (self.vehicle.current_a > 0 or self.pilot is Pilot.C)

    def _pass(self, seconds: float, *, factor: float) -> None:
        if self.vehicle is None:
            self.connected_s = 0.0
            self.charging_s = 0.0
            return
        pilot = self.pilot
        self.connected_s += seconds if pilot in (Pilot.B, Pilot.C, Pilot.D) else 0.0
        self.charging_s += seconds if pilot in (Pilot.C, Pilot.D) else 0.0
        if not self.contactor_closed or pilot is not Pilot.C:
            return
        self.vehicle.follow(self.offered_a, seconds=seconds)
        present = self.load
        hours = seconds * factor / SECONDS_PER_HOUR
        room_wh = self.vehicle.room_wh
        expected_wh = present.power_w * hours
        if room_wh is not None and expected_wh > room_wh:
            # The battery gets full within this step.
            hours *= room_wh / expected_wh
            self.energy.count(present, hours=hours)
            self.vehicle.charged_wh = self.vehicle.battery_wh or 0.0
            return
        self.vehicle.charged_wh += self.energy.count(present, hours=hours)
