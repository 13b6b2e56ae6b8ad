"""The encrypted listener of the web interface."""

import logging
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from station.host.web_certificate import Pair
from station.paths import DataDirectory
from station.processes.plan import Address

if TYPE_CHECKING:
    from daphne.server import Server

# TLS 1.2 with forward secrecy and authenticated encryption only; TLS 1.3 brings its own suites, which all are.
CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"

logger = logging.getLogger(__name__)


@implementer(IOpenSSLContextFactory)
class PresentCertificate:
    """Serves each new connection with the certificate that is there now: a renewed one needs no restart."""

    def __init__(self, data: DataDirectory) -> None:
        self._data = data
        self._stamp: object = None
        self._context = self._make()

    def getContext(self) -> SSL.Context:  # noqa: N802 - Twisted's name
        """Return the context for a new connection; Twisted asks each time."""
        if self._present() != self._stamp:
            try:
                self._context = self._make()
            except (SSL.Error, OSError):
                # Somebody is just replacing the files: the next connection looks again.
                logger.warning("The web certificate cannot be read; the one read before is shown")
        return self._context

    def _present(self) -> object:
        return Pair.own(self._data).stamp(), Pair.self_made(self._data).stamp()

    def _make(self) -> SSL.Context:
        stamp, pair = self._present(), Pair.of(self._data)
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_cipher_list(CIPHERS)
        context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
        # A ticket's key would outlive the forward secrecy of its connection.
        context.set_options(SSL.OP_NO_TICKET)
        context.use_privatekey_file(str(pair.key))
        context.use_certificate_chain_file(str(pair.certificate))
        context.check_privatekey()
        self._stamp = stamp
        return context


def listen(address: Address, data: DataDirectory, server: "Server") -> None:
    """Open the listener as soon as the server runs; Daphne itself knows only endpoints with fixed files."""
    # Not earlier: whoever imports it first chooses the reactor, and Daphne needs its own.
    from twisted.internet import reactor

    loop: Any = reactor

    def open_it() -> None:
        try:
            port = loop.listenSSL(address.port, server.http_factory, PresentCertificate(data), interface=address.host)
        except (CannotListenError, SSL.Error):
            server.listen_error(Failure())  # type: ignore[no-untyped-call]
        else:
            server.listen_success(port)

    loop.callWhenRunning(open_it)
