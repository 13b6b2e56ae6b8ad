"""The meter of one charging point: its newest reading, and the plausible register that a session is billed by."""

from datetime import datetime

from hardware.runtime.records import MeterUnreadable
from hardware.runtime.session import RunningSession
from station import clock
from station.domain import plausible_energy
from station.domain.plausible_energy import Plausibility, Register
from station.domain.ports import DeviceFailed, Meter, MeterReading, PhaseValues, ReadingUnusable
from station.domain.supervision import highest_current
from station.domain.units import PAUSE, MilliAmpere, WattHour

# A meter that has not answered for so long will not tell the final register; what was written down last stands.
METER_ANSWERS_S = 15.0
# A register read with an open contactor cannot have moved since.
REGISTER_IS_FRESH_S = 5.0
# Nobody looks at a station that was away for longer than a month as if it had only been restarted.
LONGEST_ABSENCE_S = 31 * 24 * 3600.0


class PointMeter:
    """Reads the meter, and judges what it tells; `device` None: nothing is measured here."""

    def __init__(self, device: Meter | None, *, rating: MilliAmpere) -> None:
        self.device = device
        self.reading: MeterReading | None = None
        self.reading_at: datetime | None = None
        self._rating = rating
        # What the meter has shown last, whatever its register said.
        self._phases: PhaseValues | None = None
        self._phases_read_s = 0.0
        # The last plausible register; a session is billed by no other.
        self._register: Register | None = None

    @property
    def flowing(self) -> MilliAmpere:
        """The current of the phase that carries most, by the last word of a meter that was heard lately."""
        if self._phases is None or clock.monotonic_s() - self._phases_read_s > METER_ANSWERS_S:
            return PAUSE
        return highest_current(self._phases)

    async def read(self, *, serial: str, has_session: bool) -> MeterReading:
        """Read the meter now; raises DeviceFailed, also for a register that cannot be true."""
        if self.device is None:
            raise DeviceFailed("this point has no meter")
        try:
            reading = await self.device.read()
        except ReadingUnusable as error:
            self._note_phases(error.phases)
            raise
        self._note_phases(reading)
        register = Register(energy=reading.import_energy, read_at_s=reading.read_at_s, meter_serial=serial)
        verdict = plausible_energy.judge(self._register, register, rating=self._rating)
        if verdict is not Plausibility.PLAUSIBLE:
            if not has_session:
                # No bill depends on it: another meter, or one that was set, counts from where it stands.
                self._register, self.reading, self.reading_at = None, None, None
            raise ReadingUnusable(f"the register {register.energy} Wh {verdict}", reading)
        self._register = register
        self.reading, self.reading_at = reading, clock.now()
        return reading

    async def read_for_start(self, *, serial: str) -> MeterReading:
        """Return the register a session can begin with; raises MeterUnreadable."""
        if self.reading is not None and clock.monotonic_s() - self.reading.read_at_s < REGISTER_IS_FRESH_S:
            return self.reading
        try:
            return await self.read(serial=serial, has_session=False)
        except DeviceFailed as error:
            raise MeterUnreadable(str(error)) from error

    def begin_with(self, reading: MeterReading, *, serial: str) -> None:
        """Take the first register of a session, which the next one is compared with."""
        self._register = Register(energy=reading.import_energy, read_at_s=reading.read_at_s, meter_serial=serial)

    def compare_with_record(self, session: RunningSession) -> None:
        """Go on from the register that was written down: one that cannot follow it is no base for a bill."""
        now, sign = clock.stamp(), session.last_sign
        age_s = max(now.since(sign).total_seconds(), 0.0) if sign is not None else 0.0
        if session.meter_last_wh == session.meter_start_wh:
            # As old as the begin, perhaps: a session that was rebuilt from the archive has noted no other since.
            age_s = max(age_s, clock.monotonic_s() - session.began_s)
        if sign is None or sign.boot_id != now.boot_id:
            # The board may have gone on while the computer was away, and its clock may have lost the time: how long
            # that was cannot be known, so only the direction and the meter are compared.
            age_s = LONGEST_ABSENCE_S
        noted = Register(
            energy=WattHour(session.meter_last_wh),
            read_at_s=clock.monotonic_s() - age_s,
            meter_serial=session.meter_serial,
        )
        read = self._register
        if read is None or plausible_energy.judge(noted, read, rating=self._rating) is not Plausibility.PLAUSIBLE:
            self._register, self.reading, self.reading_at = noted, None, None

    def _note_phases(self, phases: PhaseValues) -> None:
        self._phases, self._phases_read_s = phases, clock.monotonic_s()
