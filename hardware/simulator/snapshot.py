"""The whole state of the world as the control API shows it: amperes, volts and watts for people, energy in whole Wh."""

from typing import Any

from hardware.protocols.twn4 import Led
from hardware.simulator.point import ChargingPoint
from hardware.simulator.world import LineDevice, World


def snapshot(world: World) -> dict[str, Any]:
    """Describe everything that is physically true now."""
    return {
        "connectors": [_point(world, point) for point in world.points.values()],
        "faults": sorted(world.faults),
        "lamp": [
            {
                "connector": number,
                "colour": lamp.colour.value,
                "blinks": lamp.blinks(now_s=world.now_s),
                "blinking": lamp.blinking.value if lamp.blinks(now_s=world.now_s) else None,
            }
            for number, lamp in world.lamps.items()
        ],
        "reader": {
            "field": world.reader.present,
            "waiting": len(world.reader.waiting),
            "leds": {led.name.lower(): led in world.reader.leds for led in Led if led.name},
            "beeps": world.reader.beeps,
            "silent": world.reader_is_silent,
        },
        "dimming": {"closed": world.dimming_closed},
        "io": {"line": world.io_line.value},
        "modem": world.modem,
        "network": {"backend": world.backend_link},
        "speed": _short(world.factor),
        "clock": round(world.now_s - world.started_at_s, 3),
    }


def _point(world: World, point: ChargingPoint) -> dict[str, Any]:
    present = point.load
    vehicle = point.vehicle
    return {
        "id": point.number,
        "connector": point.number,
        "cp_state": point.pilot.value,
        "plugged": point.plugged,
        "locked": point.lock.locked,
        "lock_fails": point.lock.jammed,
        "contactor": point.contactor_closed,
        "offered_a": point.offered_a,
        "phases": sum(current > 0 for current in present.currents_ma),
        "currents_a": [current / 1000 for current in present.currents_ma],
        "voltages_v": [voltage / 1000 for voltage in present.voltages_mv],
        "power_w": round(present.power_w),
        "energy_wh": round(point.energy.total_wh, 3),
        "vehicle": None
        if vehicle is None
        else {
            "max_current_a": _short(vehicle.max_current_a),
            "phases": vehicle.phases,
            "ready": vehicle.ready,
            "wants_energy": vehicle.wants_energy,
            "battery_wh": None if vehicle.battery_wh is None else _short(vehicle.battery_wh),
            "charged_wh": round(vehicle.charged_wh, 3),
            "state_of_charge_percent": None
            if vehicle.state_of_charge is None
            else round(100 * vehicle.state_of_charge, 1),
        },
        "cable": {"rating_a": point.cable_a, "fixed": point.cable_is_fixed} if point.cable_a else None,
        "available": point.board.available,
        "released": point.board.released,
        "tripped": point.tripped,
        "button": point.button.is_pressed(now_s=world.now_s),
        "faults": sorted(point.faults),
        "signing": {"seconds": _short(point.signing.seconds), "faults": sorted(point.signing.faults)}
        if point.signing.is_played
        else None,
        "line": {device.value: world.line_mode(point.number, device).value for device in LineDevice},
    }


def _short(value: float) -> float | int:
    return int(value) if value == int(value) else value
