"""Time zone, time service and clock of the computer: timedated of a real station, or the simulated one."""

from station.host.ports import TimePort
from station.host.wall_clock import ClockNote


def for_settings() -> TimePort:
    """Return the time service the settings name."""
    from django.conf import settings

    if settings.SIMULATE:
        from station.host.simulated.host_file import HostFile
        from station.host.simulated.memory import Memory
        from station.host.simulated.time_service import MEMORY_FILE, SimulatedTime

        folder = settings.DATA.simulation
        return SimulatedTime(HostFile(folder / "host.json"), Memory(folder / MEMORY_FILE))
    from station.host.dbus.timedate import Timedate

    return Timedate()


def note() -> ClockNote:
    """Return who has set the clock since the computer started."""
    from django.conf import settings

    return ClockNote(settings.DATA.run / "clock-set-in-boot")
