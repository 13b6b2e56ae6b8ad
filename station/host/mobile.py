"""The mobile modem for people's pages: ModemManager and NetworkManager of a real station, or the simulated modem."""

from station.host.ports import MobilePort


def for_settings() -> MobilePort:
    """Return the modem the settings name."""
    from django.conf import settings

    if settings.SIMULATE:
        from station.host.simulated.host_file import HostFile
        from station.host.simulated.memory import Memory
        from station.host.simulated.modem import MEMORY_FILE, SimulatedModem

        folder = settings.DATA.simulation
        return SimulatedModem(HostFile(folder / "host.json"), Memory(folder / MEMORY_FILE))
    from station.host.dbus.modem_manager import ModemManager

    return ModemManager()
