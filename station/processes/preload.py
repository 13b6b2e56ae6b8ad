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
    "channels.layers",
    "channels.worker",
    "channels_redis.core",
    "celery.apps.worker",
    "celery.beat",
    "celery.concurrency.solo",
    "celery.worker.consumer",
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
    "station.services.commands",
    "station.services.configuration",
    "station.services.live",
    "station.services.redis",
    "station.processes.programs.celery_worker",
)


def preload() -> None:
    """Load the modules and fill what would be filled in every process anyway."""
    for name in _SHARED:
        import_module(name)
