"""What the processes need is loaded once, before they are forked, and shared by them.

A module that only one process needs costs the same here as there, but loading it there would cost more: its names raise
the reference counts of strings all over the memory, and each page with one of them is no longer shared from then on.

Twisted's reactor is left out, and with it `daphne.server`: it belongs to one process, and only `web` has one. So are
the modules with Celery's tasks: a worker knows those of its own queue.
"""

import gc
import types
import typing
from collections import abc
from importlib import import_module

from redis.exceptions import ConnectionError as RedisAway

from station.processes.programs.web import leave_out_native_masking

_LIBRARIES = (
    "asyncio",
    "ctypes",
    "encodings.unicode_escape",
    "encodings.utf_8_sig",
    "setproctitle",
    "cryptography.x509",
    "asgiref.sync",
    "billiard.pool",
    "celery.app.amqp",
    "celery.app.control",
    "celery.app.events",
    "celery.app.log",
    "celery.apps.worker",
    "celery.backends.base",
    "celery.beat",
    "celery.concurrency.solo",
    "celery.contrib.django.task",
    "celery.events.receiver",
    "celery.fixups.django",
    "celery.worker.autoscale",
    "celery.worker.components",
    "celery.worker.consumer",
    "celery.worker.consumer.delayed_delivery",
    "celery.worker.strategy",
    "channels.consumer",
    "channels.db",
    "channels.layers",
    "channels.worker",
    "channels_redis.core",
    "kombu.transport.redis",
    "redis.asyncio",
    "websockets.asyncio.client",
    "django.contrib.admin",
    "django.contrib.contenttypes.views",
    "django.contrib.messages.storage.fallback",
    "django.contrib.sessions.serializers",
    "django.core.management",
    "django.template.loader",
    "fastjsonschema",
    "jsonschema",
    "ocpp.v16",
    "autobahn.twisted.websocket",
    "daphne.http_protocol",
    "daphne.ws_protocol",
    "twisted.internet.asyncioreactor",
    "twisted.internet.endpoints",
    "twisted.internet.ssl",
    "twisted.web.http",
)
_OURS = (
    "hardware.runtime.bootstep",
    "ocpp_client.over_redis",
    "ocpp_client.worker",
    "station.asgi",
    "station.celery",
    "station.host.archives",
    "station.host.modem",
    "station.host.network",
    "station.host.redaction",
    "station.host.simulated.host_file",
    "station.host.simulated.modem",
    "station.host.simulated.time_service",
    "station.host.updates",
    "station.host.vendor_access",
    "station.host.versions",
    "station.host.wall_clock",
    "station.processes.programs.hardware",
    "station.processes.programs.ocpp",
    "station.processes.programs.system_worker",
    "station.processes.programs.web",
    "station.processes.tls",
    "station.processes.web_server.channel",
    "station.processes.web_server.socket",
    "station.services.channel_layer",
    "station.services.computer_watch",
    "station.services.diagnostics",
    "station.services.file_jobs.runner",
    "station.urls",
    "station.web.bodies",
    "whitelist.backend_list",
)
# What libraries ask of nearly every value. The first question about a type is put to every subclass there is.
_ASKED: tuple[typing.Any, ...] = (
    abc.Awaitable,
    abc.Callable,
    abc.Coroutine,
    abc.Iterable,
    abc.Iterator,
    abc.Mapping,
    abc.MutableMapping,
    abc.Sequence,
)
_ABOUT = (
    # What logging asks of the first thing it is told.
    ConnectionRefusedError,
    FileNotFoundError,
    RedisAway,
    bool,
    bytes,
    dict,
    float,
    frozenset,
    int,
    list,
    set,
    str,
    tuple,
    types.BuiltinFunctionType,
    types.FunctionType,
    types.GeneratorType,
    types.MethodType,
    types.NoneType,
)


def preload() -> None:
    """Load the modules, and do what every process would do for itself anyway."""
    # What the preparation has left behind makes room for what is loaded now. Any later, and each process would fill the
    # holes for itself.
    gc.collect()
    typing.clear_overloads()
    leave_out_native_masking()
    for name in (*_LIBRARIES, *_OURS):
        import_module(name)
    from station.celery import app

    app.finalize()
    for asked in _ASKED:
        for kind in _ABOUT:
            issubclass(kind, asked)
