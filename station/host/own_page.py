"""Whether the station's own web interface answers, asked from the outside as a browser would."""

import logging
import ssl
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from station import private_files
from station.paths import DataDirectory

logger = logging.getLogger(__name__)

# The page on which people sign in: it needs templates, texts and the database, and no rights.
_PATH = "/login"
_TIMEOUT_S = 10.0


def announce(data: DataDirectory, url: str) -> None:
    """Note where the web interface listens, for `answers`."""
    try:
        private_files.write(data.own_page, url.encode())
    except OSError as error:
        # A full disk costs the note, not the pages; the one of the last start mostly still holds.
        logger.warning("the address of the web interface could not be noted: %s", error)


def answers(data: DataDirectory) -> bool:
    """Return whether the page for signing in is served."""
    try:
        address = urlsplit(private_files.read(data.own_page).decode())
    except (OSError, ValueError):
        return False
    host = address.netloc
    connection: HTTPConnection
    if address.scheme == "https":
        # The certificate is the station's own, for the names others call it by; this stays in the computer.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = HTTPSConnection(host, timeout=_TIMEOUT_S, context=context)
    else:
        connection = HTTPConnection(host, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", _PATH, headers={"Host": host})
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
