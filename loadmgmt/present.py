"""What registers say is read from the snapshot of the station that pages see, too."""

from dataclasses import replace

from loadmgmt.energy_manager import SetPoint, Watchdog
from loadmgmt.registers import View
from loadmgmt.settings import ServerSettings
from station.domain.snapshot import HardwareSnapshot, ModbusSnapshot

NOTHING = ModbusSnapshot(enabled=False)


def view(hardware: HardwareSnapshot, number: int | None, settings: ServerSettings, *, firmware: str) -> View:
    """Return what the registers of a charging point, or of the station (None), are made from."""
    modbus = hardware.modbus or NOTHING
    whole = View(
        at=hardware.at,
        zone=settings.zone,
        uptime_s=modbus.uptime_s,
        firmware=firmware,
        model=settings.model,
        serial=settings.serial,
        mains=hardware.mains_ma,
        mains_ceiling=settings.mains_ceiling,
        cluster=hardware.cluster,
        settings=settings.limits,
        points=hardware.points,
    )
    if number is None:
        silent = min(modbus.points, key=lambda each: each.remaining_s, default=None)
        if silent is None:
            return whole
        return replace(whole, watchdog=Watchdog(silent.watchdog), remaining_s=silent.remaining_s)
    point = hardware.point(number)
    if point is not None and point.session is not None and not settings.discloses_cards:
        point = replace(point, session=replace(point.session, id_tag=""))
    control = next((each for each in modbus.points if each.number == number), None)
    if control is None:
        return replace(whole, point=point)
    return replace(
        whole,
        point=point,
        has_meter=control.has_meter,
        set_point=SetPoint(current=control.current_ma, power=control.power_w),
        limit=control.limit_ma,
        watchdog=Watchdog(control.watchdog),
        remaining_s=control.remaining_s,
    )
