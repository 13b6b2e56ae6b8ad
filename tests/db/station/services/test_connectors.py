"""The rows of the connectors have one writer for each of their columns."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from station.models import LogEntry
from station.services import connectors
from station.services.connectors import Availability, StatusRecord

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
FREE = StatusRecord(
    number=1,
    phase="available",
    phase_since=AT,
    status="Available",
    error_code="NoError",
    info="",
    vendor_error_code="",
    faults=(),
    at=AT,
)
pytestmark = pytest.mark.django_db


def test_a_status_that_was_waiting_to_be_written_does_not_undo_an_availability():
    connectors.store_availability([Availability(number=1, operative=False, scheduled_operative=True)])

    connectors.store_status(FREE)

    stored = connectors.availability(1)
    assert (stored.operative, stored.scheduled_operative) == (False, True)


def test_a_status_has_a_new_revision_only_when_the_backend_would_hear_something_new():
    first = connectors.store_status(replace(FREE, status="Preparing"))

    again = connectors.store_status(replace(FREE, status="Preparing", phase="plugged"))
    other = connectors.store_status(FREE)

    assert (again - first, other - first) == (0, 1)


def test_a_fault_is_logged_when_it_comes_and_closed_when_it_goes():
    faulted = replace(FREE, status="Faulted", faults=("GroundFailure",))
    connectors.store_status(faulted)
    connectors.store_status(faulted)

    connectors.store_status(replace(FREE, at=AT.replace(hour=13)))

    entry = LogEntry.objects.get()
    assert (entry.code, entry.connector_id, entry.cleared_at) == ("fault.GroundFailure", 1, AT.replace(hour=13))
