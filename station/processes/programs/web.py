"""The web interface: Daphne in this process, plain and encrypted."""

import logging
import os
from http import HTTPStatus

from station import clock
from station.host.heartbeat import Heartbeat
from station.host.memory import limit_arenas
from station.paths import DataDirectory
from station.processes import web_ports
from station.processes.plan import Address, Plan

# Pages are short; a station has a handful of readers.
_THREADS = 4
_ARENAS = 2
_HTTP_TIMEOUT_S = 30
_WEBSOCKET_TIMEOUT_S = 24 * 3600
_CLOSE_TIMEOUT_S = 1
# The supervisor waits three times as long.
_BEAT_S = 10


def _escaped(text: str) -> str:
    """Quote a value for Twisted's endpoint descriptions, where a colon ends it."""
    return text.replace("\\", "\\\\").replace(":", "\\:").replace("=", "\\=")


def endpoint(address: Address) -> str:
    """Describe a plain listener in Twisted's endpoint language."""
    return f"tcp:{address.port}:interface={_escaped(address.host)}"


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out "not ready yet", which is an answer of /healthz and no accident."""
    return getattr(record, "status_code", None) != HTTPStatus.SERVICE_UNAVAILABLE


def leave_out_native_masking() -> None:
    """Keep Autobahn, before it is loaded, from parsing the C headers of its faster masking; pages get short texts."""
    os.environ.setdefault("AUTOBAHN_USE_NVX", "0")


def main(plan: Plan, heartbeat: Heartbeat) -> int:
    """Serve until SIGTERM. Raises CannotBegin when somebody else keeps a port."""
    logging.getLogger("django.request").addFilter(_is_news)
    os.environ.setdefault("ASGI_THREADS", str(_THREADS))
    leave_out_native_masking()
    web_ports.make_sure(plan, heartbeat)
    # Pages are rendered by several threads, one at a time. Measured: 142 MiB after a thousand pages, and no more then;
    # when each thread has a part of its own, 158 after five hundred, and growing.
    limit_arenas(_ARENAS)
    from twisted.internet.task import LoopingCall

    from station.asgi import application
    from station.host import own_page
    from station.processes import tls
    from station.processes.web_server import spool
    from station.processes.web_server.server import LimitedServer

    spool.remove_leftovers()
    own_page.announce(DataDirectory(plan.data), plan.login_url)
    LoopingCall(lambda: heartbeat.beat(clock.monotonic_s())).start(_BEAT_S)
    server = LimitedServer(
        application=application,
        endpoints=[endpoint(address) for address in (plan.http, plan.display) if address],
        http_timeout=_HTTP_TIMEOUT_S,
        websocket_timeout=_WEBSOCKET_TIMEOUT_S,
        application_close_timeout=_CLOSE_TIMEOUT_S,
        server_name="station",
        verbosity=1,
        listeners_wanted=sum(address is not None for address in (plan.http, plan.display, plan.https)),
        on_listening=lambda: heartbeat.serves("serves the pages"),
    )
    if plan.https:
        tls.listen(plan.https, DataDirectory(plan.data), server)
    server.run()
    return 0
