"""The trail of set-points in the database, apart from the audit trail, which it would fill."""

from collections.abc import Mapping
from datetime import datetime

from loadmgmt.energy_manager import SetPoint
from loadmgmt.models import SetPointRow
from station.domain.units import MilliAmpere, Watt

# A change each ten seconds: more than a day of the most restless energy manager.
KEPT_ROWS = 10_000
_TIDY_EVERY = 100


def note(number: int, set_point: SetPoint, *, client: str, at: datetime) -> None:
    """Append a set-point, and forget the oldest ones now and then."""
    row = SetPointRow.objects.create(
        at=at, connector_id=number, current_ma=set_point.current, power_w=set_point.power, client=client
    )
    if row.pk % _TIDY_EVERY == 0:
        SetPointRow.objects.filter(pk__lte=row.pk - KEPT_ROWS).delete()


def newest(number: int) -> SetPointRow | None:
    """Return what was kept last for a charging point."""
    return SetPointRow.objects.filter(connector_id=number).order_by("-id").first()


def recent(count: int) -> list[SetPointRow]:
    """Return what was kept last, the newest first."""
    return list(SetPointRow.objects.order_by("-id")[:count])


def remembered(numbers: tuple[int, ...]) -> Mapping[int, SetPoint]:
    """Return what energy managers wrote before a restart."""
    rows = {number: newest(number) for number in numbers}
    return {number: set_point_of(row) for number, row in rows.items() if row is not None}


def set_point_of(row: SetPointRow) -> SetPoint:
    """Return a row as the value it stands for."""
    return SetPoint(
        current=None if row.current_ma is None else MilliAmpere(row.current_ma),
        power=None if row.power_w is None else Watt(row.power_w),
    )
