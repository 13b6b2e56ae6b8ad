"""The orders to write the firmware of controllers, and what became of them."""

from datetime import datetime

from django.db import transaction

from station.models import Connector, LogEntry
from station.services import event_log
from station.services.connectors import connector

DONE, FAILED = "controller.flashed", "controller.flash.failed"


def pending(number: int) -> str | None:
    """Return which firmware an unfinished order replaces, empty when it was not begun; None: there is no order."""
    row = connector(number)
    return row.flash_firmware_before if row.flash_ordered_at else None


def order(number: int, *, at: datetime) -> None:
    """Write an order down."""
    connector(number)
    Connector.objects.filter(number=number).update(flash_ordered_at=at, flash_firmware_before="")


def note_begun(number: int, *, before: str) -> bool:
    """Write down that the firmware is being stopped, and which one it was; return True."""
    Connector.objects.filter(number=number).update(flash_firmware_before=before)
    return True


@transaction.atomic
def end(number: int, *, before: str, after: str, at: datetime) -> bool:
    """Write down that the controller runs the new firmware; return True."""
    _forget(number)
    event_log.log(DONE, at=at, connector_id=number, before=before, after=after)
    return True


@transaction.atomic
def end_failed(number: int, *, at: datetime) -> bool:
    """Write down that the firmware could not be written; return True."""
    _forget(number)
    event_log.log(FAILED, at=at, connector_id=number)
    return True


def last_results() -> dict[int, LogEntry]:
    """Return what became of the firmware of each controller the last time."""
    entries = LogEntry.objects.filter(code__in=(DONE, FAILED)).order_by("id")
    return {each.connector_id: each for each in entries if each.connector_id is not None}


def _forget(number: int) -> None:
    Connector.objects.filter(number=number).update(flash_ordered_at=None, flash_firmware_before="")
