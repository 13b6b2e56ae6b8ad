"""Transfers against real servers: FTP, FTPS, SFTP, HTTP and HTTPS, good and bad ones."""

import asyncio
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncssh
import pytest
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import FTPServer

from station.services import transfers
from station.services.transfers import Exchange, Location
from station.services.transfers.errors import (
    AddressForbidden,
    ConnectionBroken,
    IdentityRefused,
    LocationRefused,
    LoginRefused,
    ProtocolUnknown,
    QuotaExceeded,
    ServerRefused,
    TransferCancelled,
    TransferFailed,
)
from tests.certificates import CertificateAuthority, server_context

USER, PASSWORD = "station", "p@ss/wörd"
LOGIN = "station:p%40ss%2Fw%C3%B6rd@"
CONTENT = b"software " * 50_000
PROTOCOLS = ["ftp", "ftps", "sftp", "http", "https"]


@dataclass
class Server:
    """One running server and the directory it shows."""

    scheme: str
    port: int
    root: Path
    seen: list[str] = field(default_factory=list)

    def url(self, path: str, login: str = LOGIN) -> str:
        return f"{self.scheme}://{login}localhost:{self.port}/{path}"


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> CertificateAuthority:
    return CertificateAuthority.make(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def exchange(tmp_path, authority) -> Exchange:
    return Exchange(known_hosts=tmp_path / "known_hosts", authorities=authority.pem, allow_loopback=True, timeout_s=5)


@contextmanager
def ftp_server(root: Path, authority: CertificateAuthority | None = None) -> Iterator[Server]:
    accounts = DummyAuthorizer()
    accounts.add_user(USER, PASSWORD, str(root), perm="elradfmwMT")
    attributes = {"authorizer": accounts, "auth_failed_timeout": 0, "log_prefix": ""}
    base = FTPHandler
    if authority is not None:
        issued = authority.server()
        base = TLS_FTPHandler
        attributes |= {
            "certfile": str(issued.certificate),
            "keyfile": str(issued.key),
            "tls_control_required": True,
            "tls_data_required": True,
        }
    loop = IOLoop()
    server = FTPServer(("127.0.0.1", 0), type("Handler", (base,), attributes), ioloop=loop)
    stopped = threading.Event()

    def serve() -> None:
        while not stopped.is_set():
            loop.loop(timeout=0.02, blocking=False)
        server.close_all()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield Server(scheme="ftps" if authority else "ftp", port=server.address[1], root=root)
    finally:
        stopped.set()
        thread.join()


class SshAccounts(asyncssh.SSHServer):
    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USER, PASSWORD)


@contextmanager
def sftp_server(root: Path, key: asyncssh.SSHKey | None = None, port: int = 0) -> Iterator[Server]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            port,
            server_host_keys=[key or asyncssh.generate_private_key("ssh-ed25519")],
            server_factory=SshAccounts,
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(root).encode()),
            allow_scp=False,
        )

    acceptor = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield Server(scheme="sftp", port=acceptor.get_port(), root=root)
    finally:

        async def stop() -> None:
            acceptor.close()
            await acceptor.wait_closed()

        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Web(BaseHTTPRequestHandler):
    """Files by GET and PUT, forms by POST, and some misbehaviour by path."""

    def log_message(self, *_args: object) -> None: ...

    @property
    def shown(self) -> Server:
        server: Any = self.server
        return server.shown

    def _is_known(self) -> bool:
        import base64

        wanted = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") == f"Basic {wanted}":
            return True
        self._answer(401)
        return False

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.shown.seen.append(f"GET {self.path}")
        if self.path.startswith("/to/"):
            self._answer(302, Location=self.path.removeprefix("/to/"))
        elif self.path == "/loop":
            self._answer(302, Location="/loop")
        elif self._is_known():
            file = self.shown.root / self.path.lstrip("/")
            if not file.is_file():
                self._answer(404)
            elif self.path.endswith("cut"):
                content = file.read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
            else:
                self._answer(200, file.read_bytes())

    def do_PUT(self) -> None:
        self.shown.seen.append(f"PUT {self.path}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/form"):
            self._answer(405)
        elif self._is_known():
            target = self.shown.root / self.path.lstrip("/").partition("?")[0]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(body)
            self._answer(201)

    def do_POST(self) -> None:
        self.shown.seen.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"].startswith("multipart/form-data")
        head, _, rest = body.partition(b"\r\n\r\n")
        name = head.decode().partition('filename="')[2].partition('"')[0]
        (self.shown.root / name).write_bytes(rest.rpartition(b"\r\n--")[0])
        self._answer(200)


@contextmanager
def web_server(root: Path, context: ssl.SSLContext | None = None) -> Iterator[Server]:
    web: Any = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    web.daemon_threads = True
    if context is not None:
        web.socket = context.wrap_socket(web.socket, server_side=True)
    shown = Server(scheme="https" if context else "http", port=web.server_address[1], root=root)
    web.shown = shown
    web.handle_error = lambda *_args: None
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield shown
    finally:
        web.shutdown()
        web.server_close()
        thread.join()


@contextmanager
def running(scheme: str, root: Path, authority: CertificateAuthority) -> Iterator[Server]:
    root.mkdir(exist_ok=True)
    logging.getLogger("pyftpdlib").setLevel(logging.CRITICAL)
    logging.getLogger("asyncssh").setLevel(logging.CRITICAL)
    match scheme:
        case "ftp":
            manager = ftp_server(root)
        case "ftps":
            manager = ftp_server(root, authority)
        case "sftp":
            manager = sftp_server(root)
        case "http":
            manager = web_server(root)
        case _:
            manager = web_server(root, server_context(authority.server()))
    with manager as server:
        yield server


@pytest.fixture(params=PROTOCOLS)
def server(request, tmp_path, authority) -> Iterator[Server]:
    with running(request.param, tmp_path / "shown", authority) as server:
        yield server


def fetch(url: str, target: Path, exchange: Exchange) -> None:
    transfers.download(Location.read(url), target, exchange)


def bring(url: str, source: Path, exchange: Exchange, name: str = "123.tar.gz") -> None:
    transfers.upload(Location.read(url), source, name, exchange)


def test_a_file_is_fetched_whole(server, tmp_path, exchange):
    (server.root / "dir").mkdir()
    (server.root / "dir" / "image-1.0").write_bytes(CONTENT)

    fetch(server.url("dir/image-1.0"), tmp_path / "image", exchange)

    assert (tmp_path / "image").read_bytes() == CONTENT


@pytest.mark.parametrize("path", ["", "logs/", "logs", "new/deep/"])
def test_a_file_is_brought_into_the_directory_of_the_location(server, tmp_path, exchange, path):
    (server.root / "logs").mkdir()
    (tmp_path / "archive").write_bytes(CONTENT)

    bring(server.url(path), tmp_path / "archive", exchange)

    assert (server.root / path / "123.tar.gz").read_bytes() == CONTENT


def test_a_refused_login_says_so_without_the_password(server, tmp_path, exchange):
    (server.root / "image").write_bytes(CONTENT)

    with pytest.raises(LoginRefused) as refusal:
        fetch(server.url("image", "station:wrong-secret@"), tmp_path / "image", exchange)

    assert "wrong-secret" not in str(refusal.value)
    assert not (tmp_path / "image").exists()


def test_a_missing_file_is_a_refusal_and_leaves_nothing_behind(server, tmp_path, exchange):
    with pytest.raises((ServerRefused, LoginRefused)):
        fetch(server.url("nothing"), tmp_path / "image", exchange)

    assert not list(tmp_path.glob("image*"))


def test_a_file_beyond_the_quota_is_refused(server, tmp_path, exchange):
    (server.root / "image").write_bytes(CONTENT)

    with pytest.raises(QuotaExceeded):
        fetch(server.url("image"), tmp_path / "image", replace(exchange, most_bytes=10_000))

    assert not list(tmp_path.glob("image*"))


def test_a_transfer_nobody_wants_any_more_is_stopped(server, tmp_path, exchange):
    def check() -> None:
        raise TransferCancelled

    (server.root / "image").write_bytes(CONTENT)
    (tmp_path / "archive").write_bytes(CONTENT)
    unwanted = replace(exchange, check=check)

    with pytest.raises(TransferCancelled):
        fetch(server.url("image"), tmp_path / "image", unwanted)
    with pytest.raises(TransferCancelled):
        bring(server.url(""), tmp_path / "archive", unwanted)


def test_loopback_is_refused_where_the_station_is_no_simulation(server, tmp_path, exchange):
    with pytest.raises(AddressForbidden):
        fetch(server.url("image"), tmp_path / "image", replace(exchange, allow_loopback=False))


@pytest.mark.parametrize("scheme", ["ftps", "https"])
def test_a_server_nobody_vouches_for_is_refused(scheme, tmp_path, authority, exchange):
    (tmp_path / "other").mkdir()
    stranger = CertificateAuthority.make(tmp_path / "other")

    with running(scheme, tmp_path / "shown", stranger) as server, pytest.raises(IdentityRefused):
        fetch(server.url("image"), tmp_path / "image", exchange)


def test_a_certificate_for_another_name_is_refused(tmp_path, authority, exchange):
    (tmp_path / "shown").mkdir()
    context = server_context(authority.wrong_name_server())

    with web_server(tmp_path / "shown", context) as server, pytest.raises(IdentityRefused):
        fetch(server.url("image"), tmp_path / "image", exchange)


def test_the_key_of_an_sftp_server_is_remembered_and_another_one_refused(tmp_path, exchange):
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown" / "image").write_bytes(CONTENT)
    told: list[str] = []
    listening = replace(exchange, on_new_host=lambda where, _fingerprint: told.append(where))

    with sftp_server(tmp_path / "shown") as server:
        fetch(server.url("image"), tmp_path / "image", listening)
        fetch(server.url("image"), tmp_path / "image", listening)
        url, port = server.url("image"), server.port
    assert told == [f"[localhost]:{port}"]
    with sftp_server(tmp_path / "shown", port=port), pytest.raises(IdentityRefused, match="changed"):
        fetch(url, tmp_path / "image", listening)

    assert (tmp_path / "known_hosts").stat().st_mode & 0o077 == 0


@contextmanager
def mute_server(*, greeting: bytes = b"") -> Iterator[SimpleNamespace]:
    """Take connections, say a greeting at most, and then nothing; `greeting` b"\\0": hang up at once."""
    listener = socket.create_server(("127.0.0.1", 0))
    taken: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                taken.append(connection)
                if greeting == b"\0":
                    connection.close()
                else:
                    connection.sendall(greeting)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield SimpleNamespace(port=listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in taken:
            connection.close()


@pytest.mark.parametrize("scheme", PROTOCOLS)
@pytest.mark.parametrize("greeting", [b"", b"\0", b"220 hello\r\n"])
def test_a_server_that_falls_silent_or_hangs_up_does_not_hold_the_station(scheme, greeting, tmp_path, exchange):
    before_s = time.monotonic()

    with mute_server(greeting=greeting) as server, pytest.raises(TransferFailed):
        fetch(f"{scheme}://localhost:{server.port}/image", tmp_path / "image", replace(exchange, timeout_s=0.3))

    # Nobody's default of a minute or for ever; the time-out itself is 0.3 s a step.
    assert time.monotonic() - before_s < 30


@pytest.mark.parametrize("scheme", PROTOCOLS)
def test_nobody_at_the_port_is_a_broken_connection(scheme, tmp_path, exchange):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    with pytest.raises(ConnectionBroken):
        fetch(f"{scheme}://localhost:{port}/image", tmp_path / "image", exchange)


def test_a_download_that_is_cut_in_the_middle_is_noticed(tmp_path, exchange):
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown" / "cut").write_bytes(CONTENT)

    with web_server(tmp_path / "shown") as server, pytest.raises(ConnectionBroken):
        fetch(server.url("cut"), tmp_path / "image", exchange)

    assert not list(tmp_path.glob("image*"))


def test_redirects_are_followed_on_the_same_server_with_the_login(tmp_path, exchange):
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown" / "image").write_bytes(CONTENT)

    with web_server(tmp_path / "shown") as server:
        fetch(server.url("to//image"), tmp_path / "image", exchange)

    assert (tmp_path / "image").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("there", "refusal"),
    [
        ("https://localhost/image", LocationRefused),
        ("ftp://localhost/image", LocationRefused),
        ("file:///etc/passwd", ProtocolUnknown),
        ("http://169.254.169.254/latest", AddressForbidden),
        ("http://192.168.32.1/image", AddressForbidden),
    ],
)
def test_a_redirect_to_elsewhere_is_refused(there, refusal, tmp_path, exchange):
    (tmp_path / "shown").mkdir()

    with web_server(tmp_path / "shown") as server, pytest.raises(refusal):
        fetch(server.url(f"to/{there}"), tmp_path / "image", exchange)


def test_a_password_does_not_follow_a_redirect_to_another_server(tmp_path, exchange):
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown" / "image").write_bytes(CONTENT)

    with web_server(tmp_path / "shown") as first, web_server(tmp_path / "shown") as second, pytest.raises(LoginRefused):
        fetch(first.url(f"to/http://localhost:{second.port}/image"), tmp_path / "image", exchange)


def test_redirects_in_a_circle_come_to_an_end(tmp_path, exchange):
    (tmp_path / "shown").mkdir()

    with web_server(tmp_path / "shown") as server, pytest.raises(ServerRefused):
        fetch(server.url("loop"), tmp_path / "image", exchange)


def test_a_web_server_that_takes_no_put_gets_a_form(tmp_path, exchange):
    (tmp_path / "shown").mkdir()
    (tmp_path / "archive").write_bytes(CONTENT)

    with web_server(tmp_path / "shown") as server:
        bring(server.url("form/upload"), tmp_path / "archive", exchange)

    assert server.seen == ["PUT /form/upload/123.tar.gz", "POST /form/upload"]
    assert (tmp_path / "shown" / "123.tar.gz").read_bytes() == CONTENT


def test_a_signed_location_is_used_exactly_as_it_stands(tmp_path, exchange):
    (tmp_path / "shown").mkdir()
    (tmp_path / "archive").write_bytes(CONTENT)

    with web_server(tmp_path / "shown") as server:
        bring(server.url("bucket/object?signature=abc"), tmp_path / "archive", exchange)

    assert server.seen == ["PUT /bucket/object?signature=abc"]


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "192.168.32.1",
        "192.168.32.77",
        "0.0.0.0",
        "224.0.0.1",
        "[fe80::1]",
        "[::]",
        "[::ffff:169.254.169.254]",
        "[::ffff:192.168.32.1]",
        "[64:ff9b::c0a8:2001]",
        "3232243713",
        "0xc0a82001",
        "192.168.8193",
    ],
)
def test_forbidden_addresses_are_refused_in_every_spelling(address, tmp_path, exchange):
    with pytest.raises(AddressForbidden):
        fetch(f"http://{address}/image", tmp_path / "image", exchange)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "localhost"])
def test_loopback_is_refused_in_every_spelling(address, tmp_path, exchange):
    with pytest.raises(AddressForbidden):
        fetch(f"http://{address}/image", tmp_path / "image", replace(exchange, allow_loopback=False))


def test_the_station_does_not_dial_its_own_address_in_the_network(tmp_path, exchange):
    with pytest.raises(AddressForbidden):
        fetch("http://10.9.8.7/i", tmp_path / "i", replace(exchange, own_addresses=frozenset({"10.9.8.7"})))


@pytest.mark.parametrize(
    ("url", "refusal"),
    [
        ("file:///etc/passwd", ProtocolUnknown),
        ("gopher://host/x", ProtocolUnknown),
        ("no url", LocationRefused),
        ("host/path", LocationRefused),
        ("http:///path", LocationRefused),
        ("http://host:99999/x", LocationRefused),
        ("http://host:0/x", LocationRefused),
        ("http://[::1/x", LocationRefused),
        ("ftp://host/a%0d%0aDELE%20b", LocationRefused),
        ("ftp://us%0aer@host/a", LocationRefused),
        ("ftp://host/%2e%2e/x", LocationRefused),
        ("http://host/" + "x" * 3_000, LocationRefused),
    ],
)
def test_a_location_that_is_no_good_is_refused_unseen(url, refusal):
    with pytest.raises(refusal):
        Location.read(url)


def test_a_location_does_not_show_its_password():
    location = Location.read("ftp://user:hidden@host/x?token=hidden")

    assert "hidden" not in f"{location} {location!r}"
