"""The running session as the control loop sees it: a few facts of the database row, kept at hand."""

from dataclasses import dataclass, field
from datetime import datetime

from station import clock
from station.domain.limits import LimitSource
from station.domain.stamps import Stamp
from station.domain.units import WattHour
from station.models import ChargingSession

# Between samples the register is written down so often, so that a power cut loses little (flash wear: 6 a minute).
NOTE_S = 10.0


@dataclass(kw_only=True)
class RunningSession:
    """Mirrors one running `ChargingSession`.

    `energy_ceiling_wh`: register up to which a refused card may still draw (MaxEnergyOnInvalidId); None: no ceiling.
    `meter_last_wh`, `last_sign`: the register written down when this process took the session up.
    `refused`: the backend does not accept the card; `start_is_answered`: what it said has had its consequence.
    `suspended`: the backend refused the card and the session goes on without energy (StopTransactionOnInvalidId off).
    `began_s`: when it began, in monotonic seconds (the wall clock tells it only for a session of an earlier boot).
    `ending`: it was stopped and is being brought to its end; `stop_is_recorded`: that is written down.
    `limited`: by limit source, for how many seconds it has kept the car below the rated current.
    `highest_wh`: the highest register noted or told; it does not end with less. `meter_serial`: of the meter it began
    with. `signed_begin`: the row of the archive of signed meter data it began with; None: its meter does not sign.
    Nobody else assigns to these attributes.
    """

    id: int
    id_tag: str
    parent_id_tag: str
    origin: str
    started_at: datetime
    began_s: float
    meter_start_wh: int
    meter_last_wh: int = 0
    last_sign: Stamp | None = None
    reservation_id: int | None = None
    transaction_id: int | None = None
    energy_ceiling_wh: int | None = None
    suspended: bool = False
    refused: bool = False
    start_is_answered: bool = False
    ending: bool = False
    stop_is_recorded: bool = False
    meter_serial: str = ""
    highest_wh: int = 0
    signed_begin: int | None = None
    limited: dict[str, float] = field(default_factory=dict)
    _limited_by: LimitSource | None = None
    _limited_since_s: float = 0.0
    _last_noted_s: float = 0.0
    _last_sample_wh: int | None = None

    @classmethod
    def of(cls, row: ChargingSession) -> "RunningSession":
        """Take the facts of a row."""
        now, now_s = clock.stamp(), clock.monotonic_s()
        return cls(
            id=row.pk,
            id_tag=row.id_tag,
            parent_id_tag=row.parent_id_tag,
            origin=row.origin,
            started_at=row.started_at,
            began_s=now_s - max(now.since(row.started).total_seconds(), 0.0),
            meter_start_wh=row.meter_start_wh,
            meter_last_wh=row.meter_last_wh,
            last_sign=row.last_sign,
            reservation_id=row.reservation_id,
            transaction_id=row.transaction_id,
            energy_ceiling_wh=row.energy_allowed_wh,
            refused=row.deauthorized_at is not None,
            suspended=row.deauthorized_at is not None and row.energy_allowed_wh is None,
            stop_is_recorded=row.stop_requested_at is not None,
            meter_serial=row.meter_serial,
            highest_wh=row.meter_last_wh,
            signed_begin=row.signed_begin,
            limited={source: float(seconds) for source, seconds in row.limited_by.items()},
            _last_sample_wh=row.sampled_wh,
        )

    # --- what the backend says of it

    def take_transaction_id(self, transaction_id: int) -> None:
        """Take the backend's number."""
        self.transaction_id = transaction_id

    def note_start_answered(self) -> None:
        """What the backend said to the start has had its consequence."""
        self.start_is_answered = True

    def join_group(self, parent_id_tag: str) -> bool:
        """Take the group that may stop the session; return whether it was unknown."""
        if not parent_id_tag or self.parent_id_tag:
            return False
        self.parent_id_tag = parent_id_tag
        return True

    def refuse(self, *, ceiling_wh: int | None) -> None:
        """Note that the card is refused; it may still draw up to this register, None: nothing."""
        self.refused, self.energy_ceiling_wh = True, ceiling_wh

    def take_ceiling_reached(self, register_wh: int) -> bool:
        """Tell once that a refused card has drawn what it may."""
        if self.energy_ceiling_wh is None or register_wh < self.energy_ceiling_wh:
            return False
        self.energy_ceiling_wh = None
        return True

    def suspend(self) -> None:
        """Let it go on without energy."""
        self.suspended = True

    def release(self) -> None:
        """Give it energy again."""
        self.suspended = False

    # --- what limits it

    def note_limit(self, source: LimitSource | None, now_s: float) -> None:
        """Take what limits the current from now on; None: nothing does."""
        if self._limited_by is not None:
            seconds = max(now_s - self._limited_since_s, 0.0)
            self.limited[self._limited_by] = self.limited.get(self._limited_by, 0.0) + seconds
        self._limited_by, self._limited_since_s = source, now_s

    @property
    def limited_by(self) -> dict[str, int]:
        """The limit sources with their whole seconds, as they are written down; fleeting ones are left out."""
        return {str(source): int(seconds) for source, seconds in self.limited.items() if seconds >= 1}

    # --- its registers

    def begin_ending(self) -> None:
        """From here on nothing is sampled: a later sample would overtake the end on its way into the queue."""
        self.ending = True

    def note_stop_recorded(self) -> None:
        """A restart will not give it energy again."""
        self.stop_is_recorded = True

    def take_note_due(self) -> bool:
        """Return whether the register is to be written down now, which counts as done."""
        if clock.monotonic_s() - self._last_noted_s < NOTE_S:
            return False
        self._last_noted_s = clock.monotonic_s()
        return True

    def is_measured_by(self, meter_serial: str) -> bool:
        """Return whether this is the meter the session began with; one that does not say who it is counts as that."""
        return not self.meter_serial or not meter_serial or meter_serial == self.meter_serial

    def note_is_written(self, register: WattHour) -> None:
        """Take a register that is written down."""
        self.highest_wh = max(self.highest_wh, register)

    def energy_since_sample(self, register: WattHour) -> WattHour:
        """Return what has flowed since the last periodic sample, or since the begin."""
        since = self._last_sample_wh if self._last_sample_wh is not None else self.meter_start_wh
        return WattHour(max(register - since, 0))

    def sample_is_written(self, register: WattHour, *, periodic: bool) -> None:
        """Take the register of a sample that is written down, which serves as a note, too."""
        self._last_noted_s = clock.monotonic_s()
        self.note_is_written(register)
        if periodic:
            self._last_sample_wh = register

    def correct_start(self, at: datetime) -> None:
        """Take the corrected moment of the begin."""
        self.started_at = at
