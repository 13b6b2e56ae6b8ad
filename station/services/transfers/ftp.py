"""FTP, and FTP over TLS as RFC 4217 has it (AUTH TLS on the ordinary port); passive mode only."""

import ftplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from typing_extensions import override

from station.services.transfers.errors import ConnectionBroken, IdentityRefused, LoginRefused, ServerRefused
from station.services.transfers.exchange import BLOCK_BYTES, Exchange, Intake
from station.services.transfers.location import Location

_NOT_LOGGED_IN = ("530", "532", "331", "332")
# RFC 959: the requested action is not taken: no such file, no access, or a name that is not allowed.
_NO_ACCESS = ("550", "553")


class _Secure(ftplib.FTP_TLS):
    """FTP over TLS; servers commonly want the data connection to resume the session of the control one."""

    @override
    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)  # noqa: S321 - the backend chooses the protocol
        control = self.sock
        session = control.session if isinstance(control, ssl.SSLSocket) else None
        return self.context.wrap_socket(connection, server_hostname=self.host, session=session), size


def _make(location: Location, exchange: Exchange) -> ftplib.FTP:
    if location.scheme == "ftps":
        return _Secure(timeout=exchange.timeout_s, encoding="utf-8", context=exchange.tls())
    return ftplib.FTP(timeout=exchange.timeout_s, encoding="utf-8")  # noqa: S321 - the backend chooses the protocol


def _dial(ftp: ftplib.FTP, location: Location, exchange: Exchange) -> None:
    """Connect to an address that was checked, not to whatever the name means now, and read the greeting."""
    ftp.host, ftp.port = location.host, location.port
    ftp.sock = exchange.dial(location.host, location.port)
    ftp.af = ftp.sock.family
    ftp.file = ftp.sock.makefile("r", encoding=ftp.encoding)
    ftp.welcome = ftp.getresp()


@contextmanager
def _connected(location: Location, exchange: Exchange) -> Iterator[ftplib.FTP]:
    ftp = _make(location, exchange)
    try:
        _dial(ftp, location, exchange)
        if isinstance(ftp, _Secure):
            ftp.auth()
        ftp.login(location.user or "anonymous", location.password or ("" if location.user else "station@"))
        if isinstance(ftp, _Secure):
            ftp.prot_p()
        yield ftp
        with suppress(OSError, EOFError, ftplib.Error):
            ftp.quit()
    except ftplib.Error as error:
        answer = str(error)[:120]
        if answer.startswith((*_NOT_LOGGED_IN, *_NO_ACCESS)):
            raise LoginRefused(f"{location}: {answer}") from error
        raise ServerRefused(f"{location}: {answer}") from error
    except ssl.SSLCertVerificationError as error:
        raise IdentityRefused(f"{location}: {error.verify_message}") from error
    except (OSError, EOFError) as error:
        raise ConnectionBroken(f"{location}: {error or 'the connection ended'}") from error
    finally:
        ftp.close()


def download(location: Location, target: BinaryIO, exchange: Exchange) -> None:
    """Download a file."""
    intake = Intake(target, exchange)
    with _connected(location, exchange) as ftp:
        for directory in location.segments[:-1]:
            ftp.cwd(directory)
        ftp.voidcmd("TYPE I")
        size = _size(ftp, location.segments[-1])
        intake.announce(size)
        ftp.retrbinary(f"RETR {location.segments[-1]}", intake.write, blocksize=BLOCK_BYTES)
        if size is not None and intake.size != size:
            raise ConnectionBroken(f"{location}: {intake.size} of {size} bytes arrived")


def upload(location: Location, source: BinaryIO, name: str, exchange: Exchange) -> None:
    """Upload a file into the directory the location names, which is created if missing."""
    with _connected(location, exchange) as ftp:
        for directory in location.segments:
            try:
                ftp.cwd(directory)
            except ftplib.error_perm:
                ftp.mkd(directory)
                ftp.cwd(directory)
        ftp.storbinary(f"STOR {name}", source, blocksize=BLOCK_BYTES, callback=lambda _block: exchange.check())


def _size(ftp: ftplib.FTP, name: str) -> int | None:
    try:
        return ftp.size(name)
    except ftplib.Error:
        # SIZE is an extension (RFC 3659); without it a cut shows only in the server's closing answer.
        return None
