"""The Celery application: commands for the hardware on one queue, long jobs of the system on the other."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from celery.fixups.django import DjangoFixup, DjangoWorkerFixup
from celery.schedules import schedule
from kombu.connection import Connection
from typing_extensions import override

from station import clock

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "station.settings")

HARDWARE_QUEUE = "hardware"
SYSTEM_QUEUE = "system"

_STEADY_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def _steady_now() -> datetime:
    return _STEADY_EPOCH + timedelta(seconds=clock.monotonic_s())


def every(**interval: float) -> schedule:
    """Return the schedule of a periodic job; its interval is no other one when the clock is set.

    By the wall clock, one that is set back by a day keeps every job waiting for that day.
    """
    return schedule(timedelta(**interval), nowfun=_steady_now)


def _first_only(report: Callable[..., Any]) -> Callable[..., Any]:
    told: list[bool] = []

    def once(*arguments: Any) -> Any:
        if not told:
            told.append(True)
            return report(*arguments)
        return None

    return once


# Called about once a second while a process waits for Redis to come back.
waiting_for_redis: list[Callable[[], None]] = []


class _Connection(Connection):
    """Finds Redis again within moments: it is on this computer, and commands wait for it."""

    @override
    def _ensure_connection(
        self,
        errback: Callable[..., Any] | None = None,
        max_retries: int | None = None,
        *_pauses: float,
        callback: Callable[[], Any] | None = None,
        **options: Any,
    ) -> Any:
        # Kombu names its pauses here and leaves their names out there. By default it waits two seconds longer after
        # each failure, up to thirty.
        pauses = {"interval_start": 0.2, "interval_step": 0.2, "interval_max": 1.0}
        report = _first_only(errback) if errback is not None else None

        def waits() -> None:
            for call in (*waiting_for_redis, *((callback,) if callback else ())):
                call()

        return super()._ensure_connection(report, max_retries, callback=waits, **(options | pauses))  # type: ignore[no-untyped-call]


class _Messaging(AMQP):  # type: ignore[misc]
    Connection = _Connection


class _WorkerFixup(DjangoWorkerFixup):  # type: ignore[misc]
    @override
    def validate_models(self) -> None:
        """Do nothing: Django is set up before this module is loaded, and whoever starts the station has run its checks.

        A second time, logging would be configured anew, which writes to every logger: 2.7 MiB that a forked worker then
        no longer shares.
        """


class _Fixup(DjangoFixup):  # type: ignore[misc]
    @cached_property
    def worker_fixup(self) -> DjangoWorkerFixup:
        # Not with the app: it reads what a worker has still to configure.
        return _WorkerFixup(self.app)


app = Celery("station", amqp=_Messaging, fixups=[lambda made: _Fixup(made).install()])
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    accept_content=["json"],
    task_serializer="json",
    task_ignore_result=True,
    result_backend=None,
    task_default_queue=SYSTEM_QUEUE,
    task_routes={"hardware.*": {"queue": HARDWARE_QUEUE}, "system.*": {"queue": SYSTEM_QUEUE}},
    task_acks_late=False,
    # Whoever sends a command says at once that Redis is away, and a periodic job waits for its next time.
    task_publish_retry=False,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
    worker_enable_remote_control=False,
    broker_connection_retry=True,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={"socket_timeout": None, "socket_connect_timeout": 2, "retry_on_timeout": True},
    beat_scheduler="celery.beat:Scheduler",
    timezone="UTC",
    enable_utc=True,
)
