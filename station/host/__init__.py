"""The computer the station runs on: network, modem, clock, power – one interface each, see `station.host.ports`."""

from dataclasses import dataclass
from functools import cache

from station.host.ports import ClockPort, ModemPort, NetworkPort, PowerPort, VendorAccessPort

__all__ = ["ClockPort", "Host", "ModemPort", "NetworkPort", "PowerPort", "VendorAccessPort", "for_settings"]


@dataclass(frozen=True, kw_only=True)
class Host:
    """All of the computer."""

    network: NetworkPort
    modem: ModemPort
    clock: ClockPort
    power: PowerPort
    vendor_access: VendorAccessPort
    is_simulated: bool


@cache
def for_settings() -> Host:
    """Return the computer the settings name: the real one, or the simulator's."""
    from django.conf import settings

    from station.host import modem, network, power, vendor_access, wall_clock
    from station.host.simulated import modem as simulated_modem
    from station.host.simulated.host_file import HostFile
    from station.host.simulated.memory import Memory

    if settings.SIMULATE:
        file = HostFile(settings.DATA.simulation / "host.json")
        return Host(
            network=network.SimulatedNetwork(file),
            modem=simulated_modem.SimulatedModem(file, Memory(settings.DATA.simulation / simulated_modem.MEMORY_FILE)),
            clock=wall_clock.SimulatedClock(settings.DATA.run / "clock-set-in-boot"),
            power=power.EmbeddedPower(settings.DATA),
            vendor_access=vendor_access.SimulatedVendorAccess(settings.DATA.simulation / "vendor_access.json"),
            is_simulated=True,
        )
    return Host(
        network=network.ComputerNetwork(),
        modem=modem.ReportedModem(settings.DATA.run / modem.REPORT_FILE),
        clock=wall_clock.SystemClock(settings.DATA.run / "clock-set-in-boot"),
        power=power.SystemPower(settings.DATA),
        vendor_access=vendor_access.SystemVendorAccess(),
        is_simulated=False,
    )
