"""The verbs of reservations."""

from collections.abc import Sequence
from datetime import datetime

from station.domain.reservations import Reservation, active
from station.models import ReservationRow


def present(now: datetime) -> tuple[Reservation, ...]:
    """Read the reservations that still hold."""
    rows = ReservationRow.objects.order_by("reservation_id")
    return active(
        (
            Reservation(
                reservation_id=row.reservation_id,
                connector_id=row.connector_id,
                id_tag=row.id_tag,
                expires_at=row.expires_at,
                parent_id_tag=row.parent_id_tag or None,
            )
            for row in rows
        ),
        now,
    )


def store(wanted: Reservation) -> None:
    """Write a reservation; one of the same number is replaced."""
    ReservationRow.objects.update_or_create(
        reservation_id=wanted.reservation_id,
        defaults={
            "connector_id": wanted.connector_id,
            "id_tag": wanted.id_tag,
            "parent_id_tag": wanted.parent_id_tag or "",
            "expires_at": wanted.expires_at,
        },
    )


def delete(numbers: Sequence[int]) -> int:
    """Delete reservations by number; return how many there were."""
    deleted, _ = ReservationRow.objects.filter(reservation_id__in=numbers).delete()
    return deleted


def delete_expired(now: datetime) -> None:
    """Delete what is over."""
    ReservationRow.objects.filter(expires_at__lte=now).delete()
