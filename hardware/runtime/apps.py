"""Django's entry of the control loop."""

from django.apps import AppConfig


class Config(AppConfig):
    """Registers the Celery tasks of the queue `hardware`."""

    name = "hardware.runtime"
    label = "hardware_runtime"
