"""Periodic jobs, and what a worker does before it takes any."""

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


def test_a_worker_does_not_set_django_up_a_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.setup", lambda *_: pytest.fail("Django is set up by whoever starts the process"))

    app.loader.import_default_modules()
