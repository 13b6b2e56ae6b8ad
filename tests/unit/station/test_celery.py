"""Periodic jobs."""

import time

import pytest
from celery.beat import ScheduleEntry

from station.celery import app, every


def test_a_clock_that_is_set_back_keeps_no_periodic_job_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    steady_s = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: steady_s)
    entry = ScheduleEntry(name="job", task="job", schedule=every(seconds=10), app=app)

    assert not entry.is_due().is_due
    monkeypatch.setattr(app, "now", lambda: pytest.fail("the wall clock was asked"))
    steady_s += 10.0

    assert entry.is_due().is_due
    assert not next(entry).is_due().is_due
