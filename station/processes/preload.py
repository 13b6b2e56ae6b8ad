"""What several processes need is loaded once, before they are forked, and shared by them.

Daphne and Twisted are left out: a reactor belongs to one process, and only `web` has one.
"""

from importlib import import_module

_SHARED = (
    "asyncio",
    "ctypes",
    "setproctitle",
    "cryptography.x509",
    "asgiref.sync",
    "channels.consumer",
    "channels.db",
    "channels.layers",
    "channels.worker",
    "channels_redis.core",
    "celery.app.amqp",
    "celery.app.control",
    "celery.app.events",
    "celery.app.log",
    "celery.apps.worker",
    "celery.beat",
    "celery.concurrency.solo",
    "celery.contrib.django.task",
    "celery.events.receiver",
    "celery.worker.autoscale",
    "celery.worker.consumer",
    "celery.worker.consumer.delayed_delivery",
    "celery.worker.strategy",
    "celery.worker.components",
    "celery.fixups.django",
    "kombu.transport.redis",
    "redis.asyncio",
    "websockets.asyncio.client",
    "django.core.management",
    "django.template.loader",
    "django.contrib.admin",
    "jsonschema",
    "ocpp.v16",
    "station.celery",
    "station.domain.authorization",
    "station.domain.charging_profiles",
    "station.domain.limits",
    "station.host.simulated",
    "station.host.updates",
    "station.host.versions",
    "station.services.accounts",
    "station.services.commands",
    "station.services.configuration",
    "station.services.file_jobs.jobs",
    "station.services.event_log",
    "station.services.live",
    "station.services.redis",
    "station.services.security_log",
    "station.ui.words",
    "whitelist.table",
    "station.processes.programs.celery_worker",
)


def preload() -> None:
    """Load the modules and fill what would be filled in every process anyway."""
    for name in _SHARED:
        import_module(name)
