"""The running session as the control loop sees it: a few facts of the database row, kept at hand."""

from dataclasses import dataclass
from datetime import datetime

from station.models import ChargingSession


@dataclass(kw_only=True)
class RunningSession:
    """Mirrors one running `ChargingSession`.

    `energy_ceiling_wh`: register up to which a refused card may still draw (MaxEnergyOnInvalidId); None: no ceiling.
    `suspended`: the backend refused the card and the session goes on without energy (StopTransactionOnInvalidId off).
    `ending`: the final register is being read.
    """

    id: int
    id_tag: str
    parent_id_tag: str
    origin: str
    started_at: datetime
    meter_start_wh: int
    transaction_id: int | None = None
    energy_ceiling_wh: int | None = None
    suspended: bool = False
    ending: bool = False
    last_noted_s: float = 0.0
    last_sample_wh: int | None = None

    @classmethod
    def of(cls, row: ChargingSession) -> "RunningSession":
        """Take the facts of a row."""
        return cls(
            id=row.pk,
            id_tag=row.id_tag,
            parent_id_tag=row.parent_id_tag,
            origin=row.origin,
            started_at=row.started_at,
            meter_start_wh=row.meter_start_wh,
            transaction_id=row.transaction_id,
            energy_ceiling_wh=row.energy_allowed_wh,
            suspended=row.deauthorized_at is not None and row.energy_allowed_wh is None,
        )
