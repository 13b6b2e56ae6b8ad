"""Periodic jobs, and what a worker does before it takes any."""

import time
from typing import Any

import pytest
from celery.beat import ScheduleEntry
from kombu.exceptions import OperationalError

from station.celery import app, every
from station.processes.programs.celery_worker import PatientScheduler


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


def test_a_message_is_sent_over_a_new_connection_when_the_old_one_is_gone() -> None:
    with app.connection_for_write("memory://") as connection:
        gone = [connection.recoverable_connection_errors[0]("Redis was replaced")]

        def send() -> str:
            if gone:
                raise gone.pop()
            return "sent"

        assert connection.ensure(connection.Producer(), send, max_retries=3)() == "sent"


def _beat(problem: Exception, monkeypatch: pytest.MonkeyPatch) -> PatientScheduler:
    def refuse(*_: Any, **__: Any) -> None:
        raise problem

    monkeypatch.setattr(app, "send_task", refuse)
    return PatientScheduler(app=app, lazy=True)


def test_a_job_waits_for_its_next_time_while_redis_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    entry = ScheduleEntry(name="network", task="system.network", schedule=every(seconds=10), app=app)

    _beat(OperationalError("refused"), monkeypatch).apply_entry(entry)

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "network" in caplog.text


def test_a_job_that_cannot_be_sent_for_another_reason_is_reported_as_an_accident(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    entry = ScheduleEntry(name="network", task="system.network", schedule=every(seconds=10), app=app)

    _beat(TypeError("not JSON"), monkeypatch).apply_entry(entry)

    assert [record.levelname for record in caplog.records] == ["ERROR"]
