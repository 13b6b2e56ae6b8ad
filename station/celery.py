"""The Celery application: commands for the hardware on one queue, long jobs of the system on the other."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "station.settings")

HARDWARE_QUEUE = "hardware"
SYSTEM_QUEUE = "system"

app = Celery("station")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    accept_content=["json"],
    task_serializer="json",
    task_ignore_result=True,
    result_backend=None,
    task_default_queue=SYSTEM_QUEUE,
    task_routes={"hardware.*": {"queue": HARDWARE_QUEUE}, "system.*": {"queue": SYSTEM_QUEUE}},
    task_acks_late=False,
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
