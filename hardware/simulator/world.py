"""The simulated world as a whole: every action of the control API as a method. Nothing here waits."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hardware.simulator.faults import MISSING_PHASE, WEAK_SIGNAL_PERCENT, fault_code, is_of_station
from hardware.simulator.field import ReaderField
from hardware.simulator.lamp import Lamp
from hardware.simulator.point import ChargingPoint
from hardware.simulator.signing import SigningFault
from hardware.simulator.vehicle import Vehicle
from station.domain.faults import FaultCode

BASIC_SIGNAL_PERCENT = 80
BASIC_CABLE_A = 32


class LineMode(StrEnum):
    """How a device behaves on its serial line."""

    OK = "ok"
    SILENT = "silent"
    UNPLUGGED = "unplugged"
    GARBAGE = "garbage"


class LineDevice(StrEnum):
    """Devices of a charging point with a line of their own."""

    CONTROLLER = "controller"
    METER = "meter"


class ConnectorUnknown(Exception):
    """The station has no such charging point."""

    def __init__(self, number: int) -> None:
        super().__init__(f"there is no connector {number}")


class MeterDoesNotSign(Exception):
    """The meter of the charging point is of a kind that signs nothing."""

    def __init__(self, number: int) -> None:
        super().__init__(f'the meter of connector {number} does not sign; choose "driver": "ocmf_meter" for it')


class NoVehicle(Exception):
    """There is no car whose behaviour could change."""

    def __init__(self, number: int) -> None:
        super().__init__(f"no car is connected to connector {number}")


@dataclass(frozen=True, kw_only=True)
class VehicleChange:
    """What to change at a car; None leaves it as it is."""

    max_current_a: float | None = None
    phases: int | None = None
    ready: bool | None = None
    battery_wh: float | None = None

    def apply(self, vehicle: Vehicle) -> None:
        """Change the car. Another battery size keeps what has been charged."""
        if self.max_current_a is not None:
            vehicle.max_current_a = self.max_current_a
        if self.phases is not None:
            vehicle.phases = self.phases
        if self.ready is not None:
            vehicle.ready = self.ready
        if self.battery_wh is not None:
            vehicle.battery_wh = self.battery_wh


class SimCard(StrEnum):
    """The card in the modem."""

    READY = "ready"
    ABSENT = "absent"
    LOCKED = "locked"  # with the PIN 1234


class MobileNetwork(StrEnum):
    """What the mobile network says to the modem."""

    HOME = "home"
    SEARCHING = "searching"
    DENIED = "denied"


def _nobody_listens() -> None:
    """Serve as listener where there is none."""


@dataclass(kw_only=True)
class World:
    """Charging points, reader, modem and network. Bring it up to the present with `advance` before an action."""

    points: dict[int, ChargingPoint]
    now_s: float
    lines: dict[tuple[int, LineDevice], LineMode]
    lamps: dict[int, Lamp]
    reader: ReaderField = field(default_factory=ReaderField)
    faults: set[FaultCode] = field(default_factory=set)
    signal_percent: int = BASIC_SIGNAL_PERCENT
    sim: SimCard = SimCard.READY
    # Counts the cards that were put in: each begins with all its tries.
    sim_number: int = 0
    registration: MobileNetwork = MobileNetwork.HOME
    backend_link: bool = True
    # The contact of the grid operator's control box, and the line to the input/output module it is wired to.
    dimming_closed: bool = False
    io_line: LineMode = LineMode.OK
    factor: float = 1.0
    started_at_s: float = 0.0
    # Called when modem or network have changed.
    on_host_change: Callable[[], None] = _nobody_listens
    on_line_change: Callable[[], None] = _nobody_listens

    @classmethod
    def build(cls, *, connectors: int, now_s: float, socket_lock: bool = True) -> "World":
        """Make the basic state: no car, no fault, link up. Without `socket_lock` the cables are fixed."""
        numbers = range(1, connectors + 1)
        return cls(
            points={
                number: ChargingPoint(
                    number=number,
                    now_s=now_s,
                    cable_is_fixed=not socket_lock,
                )
                for number in numbers
            },
            now_s=now_s,
            started_at_s=now_s,
            lines={(number, device): LineMode.OK for number in numbers for device in LineDevice},
            lamps={number: Lamp() for number in numbers},
        )

    def point(self, number: int) -> ChargingPoint:
        """Find a charging point; raises ConnectorUnknown."""
        try:
            return self.points[number]
        except KeyError as error:
            raise ConnectorUnknown(number) from error

    def advance(self, *, now_s: float) -> None:
        """Let time pass; a moment that is already over changes nothing."""
        for point in self.points.values():
            point.advance(now_s=now_s, factor=self.factor)
        self.now_s = max(self.now_s, now_s)
        self.reader.advance(now_s=self.now_s)

    @property
    def modem_signal_percent(self) -> int:
        """What the modem says about its reception."""
        return WEAK_SIGNAL_PERCENT if FaultCode.WEAK_SIGNAL in self.faults else self.signal_percent

    @property
    def arrester_failed(self) -> bool:
        """Whether the contact of the surge arrester, wired to input IN of controller 1, is closed."""
        return FaultCode.OVER_VOLTAGE_PROTECTION_FAILURE in self.faults

    @property
    def reader_is_silent(self) -> bool:
        """Whether the reader answers nothing."""
        return FaultCode.READER_FAILURE in self.faults

    @property
    def io_mode(self) -> LineMode:
        """Return how the input/output module behaves on its line now, an injected fault included."""
        return LineMode.SILENT if FaultCode.INPUT_MODULE_FAILURE in self.faults else self.io_line

    def line_mode(self, number: int, device: LineDevice) -> LineMode:
        """Return how a device behaves on its line now, injected faults included."""
        silencing = {
            LineDevice.CONTROLLER: FaultCode.EVSE_COMMUNICATION_ERROR,
            LineDevice.METER: FaultCode.POWER_METER_FAILURE,
        }
        if silencing[device] in self.points[number].faults:
            return LineMode.SILENT
        return self.lines[number, device]

    def contact_is_closed(self, code: FaultCode, connector: int) -> bool:
        """Whether the auxiliary contact of this fault is closed (`connector` 0: the station's)."""
        return code in (self.points[connector].faults if connector else self.faults)

    def plug(self, number: int, change: VehicleChange, *, cable_a: int | None) -> None:
        """Bring a car and connect it; when one is connected already, only what is given changes at it."""
        point = self.point(number)
        vehicle = point.vehicle or Vehicle()
        change.apply(vehicle)
        point.plug(vehicle, cable_a=cable_a or BASIC_CABLE_A)

    def unplug_vehicle(self, number: int) -> None:
        """Pull the car's end of the cable."""
        self.point(number).unplug_vehicle()

    def unplug_station(self, number: int, *, force: bool) -> None:
        """Pull the station's end of the cable; raises ConnectorIsLocked or CableIsFixed."""
        self.point(number).unplug_station(force=force)

    def change_vehicle(self, number: int, change: VehicleChange) -> None:
        """Change the car at a connector; raises NoVehicle."""
        point = self.point(number)
        if point.vehicle is None:
            raise NoVehicle(number)
        change.apply(point.vehicle)
        point.settle()

    def press_button(self, number: int) -> None:
        """Press the stop button of a charging point."""
        self.point(number).button.press(now_s=self.now_s)

    def set_fault(self, code: str, *, active: bool, connector: int | None) -> None:
        """Let a fault come or go at its natural place; raises FaultUnknown.

        A fault of the station stays one when a connector is named; one of a connector hits all when none is.
        """
        fault = fault_code(code)
        named = [self.point(connector)] if connector is not None else list(self.points.values())
        for faults in [self.faults] if is_of_station(fault) else [point.faults for point in named]:
            if active:
                faults.add(fault)
            else:
                faults.discard(fault)
        self._spread_faults()

    def set_lock_failure(self, number: int, *, fails: bool) -> None:
        """Jam the bolt, or free it."""
        point = self.point(number)
        point.lock.jam(jammed=fails, now_s=self.now_s)
        point.settle()

    def set_line(self, number: int, device: LineDevice, mode: LineMode) -> None:
        """Make a device silent or garbled on its line, pull its adapter, or let it work again."""
        self.point(number)
        self.lines[number, device] = mode
        self.on_line_change()

    def set_signing(
        self, number: int, *, seconds: float | None = None, fault: SigningFault | None = None, active: bool = True
    ) -> None:
        """Set how long the meter signs, or let a fault of its signing come or go; raises MeterDoesNotSign."""
        signing = self.point(number).signing
        if not signing.is_played:
            raise MeterDoesNotSign(number)
        if seconds is not None:
            signing.seconds = seconds
        if fault is not None and active:
            signing.faults.add(fault)
        elif fault is not None:
            signing.faults.discard(fault)

    def swipe(self, uid: str, *, connector: int | None, is_legic: bool = False) -> None:
        """Hold a card before the reader, which serves all connectors; TagUnusable, ConnectorUnknown."""
        if connector is not None:
            self.point(connector)
        self.reader.swipe(uid, now_s=self.now_s, is_legic=is_legic)

    def set_backend_link(self, *, up: bool) -> None:
        """Cut the link to the backend or give it back."""
        self.backend_link = up
        self.on_host_change()

    def set_modem(
        self, *, percent: int | None = None, sim: SimCard | None = None, registration: MobileNetwork | None = None
    ) -> None:
        """Set the reception of the modem, put another SIM card in, or let the network answer differently."""
        if percent is not None:
            self.signal_percent = percent
        if sim is not None:
            self.sim, self.sim_number = sim, self.sim_number + 1
        if registration is not None:
            self.registration = registration
        self.on_host_change()

    @property
    def modem(self) -> dict[str, Any]:
        """Describe what the modem finds around it."""
        return {
            "signal": self.modem_signal_percent,
            "sim": self.sim.value,
            "sim_number": self.sim_number,
            "registration": self.registration.value,
        }

    def set_dimming(self, *, closed: bool) -> None:
        """Close or open the contact of the grid operator's control box."""
        self.dimming_closed = closed

    def set_io_line(self, mode: LineMode) -> None:
        """Make the input/output module silent or garbled on its line, or working again."""
        self.io_line = mode

    def set_speed(self, factor: float) -> None:
        """Make energy count faster than the clock runs."""
        self.factor = factor

    def reset(self) -> None:
        """Take all cars and cables away and mend everything; what the meters counted and the speed stay."""
        self.faults.clear()
        self.lines = dict.fromkeys(self.lines, LineMode.OK)
        self.on_line_change()
        self.reader.clear(now_s=self.now_s)
        self.dimming_closed, self.io_line = False, LineMode.OK
        self.backend_link, self.signal_percent = True, BASIC_SIGNAL_PERCENT
        self.sim, self.registration = SimCard.READY, MobileNetwork.HOME
        for point in self.points.values():
            point.faults.clear()
            point.signing.mend()
            point.lock.jam(jammed=False, now_s=self.now_s)
            point.vehicle, point.plugged_cable_a = None, None
        self._spread_faults()

    def _spread_faults(self) -> None:
        missing = MISSING_PHASE if FaultCode.UNDER_VOLTAGE in self.faults else None
        for point in self.points.values():
            point.missing_phase = missing
            point.settle()
        self.on_host_change()
