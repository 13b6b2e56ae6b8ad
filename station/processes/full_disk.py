"""A station that exists and cannot be prepared because its disk is full waits for room, and says so, instead of ending.

It comes up by itself; nobody may be there to start it.
"""

import errno
import gc
import json
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TypeVar

from django.db import DatabaseError, connections
from django.utils.translation import gettext as _
from typing_extensions import override

from station.paths import DataDirectory
from station.processes import energy
from station.processes.console import say
from station.processes.plan import Address, Plan
from station.ui import words

_TRY_AGAIN_S = 3.0
_REASON = "records_unwritable"
# A read-only disk and a damaged file do not get better by waiting: they are refused with a sentence, see manage.py.
_FILE_TROUBLES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})
# SQLite maps its index of the log into memory; without room for that it speaks of a failed write.
_DATABASE_TROUBLES = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})
_PRIMARY = 0xFF
_CLIENT_ANSWERS_S = 2.0
_Result = TypeVar("_Result")


def once_there_is_room(plan: Plan, prepare: Callable[[], _Result]) -> _Result:
    """Return what `prepare` returns, trying again for as long as a station that exists lacks room on its disk.

    Meanwhile energy is withdrawn and /healthz answers why nobody can charge. At a first start the refusal is raised:
    who sets a station up is there to read it, and there is nothing to go on with. Every other failure is raised, too:
    no control loop begins after it, so energy is withdrawn before.
    """
    with ExitStack() as stack:
        is_first = True
        while True:
            try:
                return prepare()
            except Exception as error:
                data = DataDirectory(plan.data)
                has_identity = data.identity.exists() or data.identity_copy.exists()
                if not (has_identity and isinstance(error, (DatabaseError, OSError)) and _is_for_want_of_room(error)):
                    if has_identity and is_first:
                        connections.close_all()
                        energy.withdraw(plan)
                    raise
                problem = str(error)
            connections.close_all()
            if is_first:
                is_first = False
                say(
                    _("The station cannot write to %(path)s (%(problem)s). It starts by itself when there is room.")
                    % {"path": plan.data, "problem": problem}
                )
                energy.withdraw(plan)
                stack.enter_context(_answering(plan.http))
            # The main process collects no garbage before its children are forked; a failed attempt leaves some.
            gc.collect()
            time.sleep(_TRY_AGAIN_S)


def _is_for_want_of_room(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in _FILE_TROUBLES
    # Django's exception wraps that of the database.
    code: int = getattr(error.__cause__, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & _PRIMARY in _DATABASE_TROUBLES


@contextmanager
def _answering(address: Address) -> Iterator[None]:
    """Answer every request with the reason why the station is not there; without it where the port is not to be had."""
    try:
        server = _Server(address)
    except OSError:
        yield
        return
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="full disk")
    thread.daemon = True
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(HTTPServer):
    def __init__(self, address: Address) -> None:
        if ":" in address.host:
            self.address_family = socket.AF_INET6
        super().__init__((address.host, address.port), _Handler)

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no accident."""


class _Handler(BaseHTTPRequestHandler):
    server_version, sys_version = "station", ""
    timeout = _CLIENT_ANSWERS_S

    def do_GET(self) -> None:
        """Answer what /healthz answers while records cannot be written, under every path."""
        text = words.word(words.NOT_READY, _REASON)
        answer = json.dumps({"ready": False, "reasons": [{"code": _REASON, "text": text}]}).encode()
        self.send_response(HTTPStatus.SERVICE_UNAVAILABLE)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Retry-After", str(round(_TRY_AGAIN_S)))
        self.end_headers()
        self.wfile.write(answer)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Keep no log: there is no room for one."""
