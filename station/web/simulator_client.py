"""The way from the page /sim to the simulator: its control API over a Unix socket in the data directory."""

import http.client
import json
import os
import socket
from http import HTTPStatus
from typing import Any

from django.conf import settings

_TIMEOUT_S = 3.0
_SOCKET_NAME = "control.sock"


class SimulatorAway(Exception):
    """The simulator does not answer."""


class SimulatorRefused(Exception):
    """The simulator says that this cannot be done; the text is its reason."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self) -> None:
        super().__init__("simulator", timeout=_TIMEOUT_S)

    def connect(self) -> None:
        # A socket address holds 107 bytes at most; the open descriptor of its directory gives a short name.
        directory = os.open(settings.DATA.simulation, os.O_PATH | os.O_DIRECTORY)
        try:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(_TIMEOUT_S)
            self.sock.connect(f"/proc/self/fd/{directory}/{_SOCKET_NAME}")
        finally:
            os.close(directory)


def state() -> dict[str, Any]:
    """Read what is physically true; raises SimulatorAway."""
    return _ask("GET", "/state", None)


def act(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Do something to the simulated world and return its new state; raises SimulatorAway, SimulatorRefused."""
    return _ask("POST", path, body)


def _ask(method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
    connection = _UnixConnection()
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        content = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise SimulatorAway(str(error)) from error
    finally:
        connection.close()
    if response.status != HTTPStatus.OK:
        raise SimulatorRefused(str(content.get("error", response.reason)))
    return content  # type: ignore[no-any-return]
