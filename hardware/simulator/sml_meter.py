"""The simulated SML meter: an eHZ as EMH makes it, unlocked, so that it tells voltages and currents, too."""

from collections.abc import Callable

from hardware.protocols.sml import Entry, Obis, Unit, encode
from hardware.simulator.electricity import FREQUENCY_HZ
from hardware.simulator.point import ChargingPoint

TELEGRAM_INTERVAL_S = 1.0
_MAKER = b"EMH"
_OBIS_DEVICE = "0100000009ff"


class SmlMeter:
    """What the meter tells. `keep` saves the counts before they are told, so that they are never lost."""

    def __init__(self, *, point: ChargingPoint, serial_number: int, keep: Callable[[], None]) -> None:
        self._point = point
        self._keep = keep
        self._told = 0
        # DIN 43863-5: 0A, electricity, the maker, block 00, the number of the device.
        self._server_id = bytes([0x0A, 0x01]) + _MAKER + b"\0" + serial_number.to_bytes(4, "big")

    def tell(self) -> bytes:
        """Return the next telegram."""
        self._keep()
        self._told += 1
        return encode(self._server_id, self._entries(), number=self._told)

    def _entries(self) -> list[Entry]:
        present = self._point.load
        return [
            Entry(obis=Obis.MANUFACTURER, value=_MAKER),
            Entry(obis=_OBIS_DEVICE, value=self._server_id),
            Entry(obis=Obis.IMPORT_ENERGY, value=int(self._point.energy.total_wh * 10), unit=Unit.WATT_HOUR, scaler=-1),
            Entry(obis=Obis.EXPORT_ENERGY, value=0, unit=Unit.WATT_HOUR, scaler=-1),
            Entry(obis=Obis.POWER, value=round(present.power_w), unit=Unit.WATT),
            *(
                Entry(obis=Obis[f"POWER_L{phase}"], value=round(power), unit=Unit.WATT)
                for phase, power in enumerate(present.phase_powers_w, start=1)
            ),
            *(
                Entry(obis=Obis[f"VOLTAGE_L{phase}"], value=round(voltage / 100), unit=Unit.VOLT, scaler=-1)
                for phase, voltage in enumerate(present.voltages_mv, start=1)
            ),
            *(
                Entry(obis=Obis[f"CURRENT_L{phase}"], value=round(current / 10), unit=Unit.AMPERE, scaler=-2)
                for phase, current in enumerate(present.currents_ma, start=1)
            ),
            Entry(obis=Obis.FREQUENCY, value=round(FREQUENCY_HZ * 10), unit=Unit.HERTZ, scaler=-1),
        ]
