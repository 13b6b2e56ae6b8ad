"""Strangers at the web interface of a started station: what they may cost, and that nobody else suffers."""

import http.client
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_websocket
from websockets.typing import Origin

from tests.station import Station, free_port
from tests.station import http as ask

pytestmark = pytest.mark.process

MIB = 1024 * 1024
PASSWORD = "Wolken-Kabel-42-Ast"
IDENTITY = {"/identity/factoryPassword": PASSWORD, "/identity/productionDate": "2025-09"}
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    with Station.start(tmp_path_factory.mktemp("strangers"), config=IDENTITY, https_port=free_port()) as running:
        yield running


def connect(station: Station, *, address: str = "127.0.0.1", timeout_s: float = 30.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", station.http_port), timeout_s, (address, 0))


def read_all(connection: socket.socket) -> bytes:
    received = b""
    with suppress(ConnectionError):
        while data := connection.recv(65536):
            received += data
    return received


def converse(station: Station, sent: bytes, **options: Any) -> bytes:
    """Send bytes and return the first answer to them."""
    with closing(connect(station, **options)) as connection:
        with suppress(ConnectionError):
            connection.sendall(sent)
        return read_answer(connection)


def read_answer(connection: socket.socket) -> bytes:
    """Return one answer: its head and as much body as the head tells of."""
    received = b""
    while b"\r\n\r\n" not in received and (data := connection.recv(65536)):
        received += data
    start, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", start)
    while length and len(body) < int(length[1]) and (data := connection.recv(65536)):
        body += data
    return start + b"\r\n\r\n" + body


def status_of(received: bytes) -> int:
    return int(received.split(b" ", 2)[1])


def head(line: str, *headers: str) -> bytes:
    return "\r\n".join([line, "Host: localhost", *headers, "", ""]).encode("latin-1")


def web_memory_kib(station: Station) -> int:
    status = Path(f"/proc/{station.pid_of('web')}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    assert found
    return int(found[1])


def open_files(station: Station) -> list[str]:
    folder = Path(f"/proc/{station.pid_of('web')}/fd")
    return [str(entry.readlink()) for entry in folder.iterdir() if entry.exists()]


@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        ("GET /" + "a" * 3_000 + " HTTP/1.1", (), 414),
        ("GET /" + "a" * 10_000 + " HTTP/1.1", (), 414),
        ("GET /" + "a" * 1_000_000 + " HTTP/1.1", (), 414),
        ("GET /login?" + "a=1&" * 1_000 + " HTTP/1.1", (), 414),
        ("GET /login HTTP/1.1", ("X-Long: " + "b" * 10_000,), 431),
        ("GET /login HTTP/1.1", ("X-Long: " + "b" * 1_000_000,), 431),
        ("GET /login HTTP/1.1", tuple(f"X-{number}: b" for number in range(100)), 431),
        ("POST /login HTTP/1.1", ("Content-Length: 200000000",), 413),
        ("POST /login HTTP/1.1", ("Content-Length: " + "9" * 5_000,), 413),
        ("POST /login HTTP/1.1", ("Content-Length: 200000000", "Expect: 100-continue"), 413),
        ("PUT /system/reboot HTTP/1.1", ("Content-Length: 200000000",), 413),
    ],
)
def test_what_is_too_long_is_refused_with_a_reason_in_both_languages(
    station: Station, line: str, headers: tuple[str, ...], status: int
) -> None:
    received = converse(station, head(line, *headers))

    assert status_of(received) == status
    english, german = received.partition(b"\r\n\r\n")[2].decode().splitlines()
    assert english != german
    assert b"Traceback" not in received


def test_two_hundred_megabytes_of_a_stranger_leave_memory_flat(station: Station) -> None:
    ask("GET", station.http_port, "/login")
    before_kib, most_kib = web_memory_kib(station), 0
    for headers in ({"Content-Length": str(200 * MIB)}, {"Transfer-Encoding": "chunked"}):
        connection = http.client.HTTPConnection("127.0.0.1", station.http_port, timeout=30)
        connection.putrequest("POST", "/login")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        with suppress(ConnectionError):
            for _ in range(200):
                chunk = b"%x\r\n" % MIB + bytes(MIB) + b"\r\n" if "Transfer-Encoding" in headers else bytes(MIB)
                connection.send(chunk)
                most_kib = max(most_kib, web_memory_kib(station))
                assert not [name for name in open_files(station) if name.endswith("(deleted)")]
        answer = connection.getresponse()
        assert answer.status == 413
        assert "sign in" in answer.read().decode()
        connection.close()

    assert most_kib - before_kib <= 5 * 1024


def test_five_hundred_slow_bodies_end_at_the_deadline_and_lock_nobody_out(station: Station) -> None:
    with ExitStack() as stack:
        began_s = time.monotonic()
        slow = []
        for _ in range(500):
            connection = stack.enter_context(closing(connect(station)))
            connection.sendall(head("POST /login HTTP/1.1", "Content-Length: 1000") + b"a")
            slow.append(connection)

        assert ask("GET", station.http_port, "/login")[0] == 308
        assert ask("GET", station.http_port, "/healthz")[0] == 200
        established = sum(name.startswith("socket:") for name in open_files(station))
        answers = [status_of(received) for each in slow if (received := read_all(each))]
        took_s = time.monotonic() - began_s

    assert established < 80
    assert answers
    assert set(answers) == {408}
    assert took_s < 40
    assert ask("GET", station.http_port, "/healthz")[0] == 200


def test_the_health_check_answers_during_a_flood(station: Station) -> None:
    with ExitStack() as stack:
        for number in range(300):
            connection = stack.enter_context(closing(connect(station, address=f"127.0.1.{number % 50 + 1}")))
            connection.sendall(head("GET /login HTTP/1.1") * 3)
            if number % 30 == 0:
                assert ask("GET", station.http_port, "/healthz")[0] == 200


@pytest.mark.parametrize("path", ["/", "/no/such/path", "/live/", "/live2", "/%6cive%00", "/admin/"])
def test_a_websocket_to_an_unknown_address_is_refused_without_a_word_in_the_log(station: Station, path: str) -> None:
    before = station.log("web")

    received = converse(station, handshake(path, "Origin: http://localhost"))

    assert status_of(received) == 403
    assert station.log("web") == before


@pytest.mark.parametrize(
    "headers",
    [
        ("Origin: http://evil.example",),
        ("Origin: http://localh\xf6st",),
        ("Sec-WebSocket-Protocol: \xff\xfe",),
        ("Cookie: station=\xff\xfe; a=\xf6",),
        ("Sec-WebSocket-Extensions: permessage-deflate; \x01",),
        ("X-Bad: \xf6",),
    ],
)
def test_a_strange_handshake_leaves_no_traceback(station: Station, headers: tuple[str, ...]) -> None:
    received = converse(station, handshake("/live", *headers))

    assert status_of(received) in {400, 403}
    assert "Traceback" not in station.log("web")


def handshake(path: str, *headers: str) -> bytes:
    return head(
        f"GET {path} HTTP/1.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *headers,
    )


class Person:
    """Somebody with a browser, at the encrypted address."""

    def __init__(self, station: Station) -> None:
        self.station = station
        self.origin = f"https://127.0.0.1:{station.https_port}"
        self.context = ssl.create_default_context()
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.cookies: dict[str, str] = {}

    @property
    def cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = FORM) -> tuple[int, str]:
        connection = http.client.HTTPSConnection("127.0.0.1", self.station.https_port, timeout=30, context=self.context)
        headers = {"Cookie": self.cookie, "Origin": self.origin, "Content-Type": kind}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        for _, value in (each for each in answer.getheaders() if each[0].lower() == "set-cookie"):
            self.cookies.update({name: morsel.value for name, morsel in SimpleCookie(value).items()})
        return answer.status, answer.read().decode()

    def sign_in(self) -> None:
        fields = {"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": self.token("/login")}
        assert self.ask("POST", "/login", urlencode(fields).encode())[0] == 302

    def token(self, path: str) -> str:
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.ask("GET", path)[1])
        assert found
        return found[1]

    def send_file(self, content: bytes) -> tuple[int, str]:
        token = self.token("/users/import") if self.cookies else ""
        parts = {'name="csrfmiddlewaretoken"': token.encode(), 'name="mode"': b"update"}
        parts['name="file"; filename="cards.csv"'] = content
        body = b"".join(
            b"--x\r\nContent-Disposition: form-data; " + name.encode() + b"\r\n\r\n" + value + b"\r\n"
            for name, value in parts.items()
        )
        return self.ask("POST", "/users/import", body + b"--x--\r\n", "multipart/form-data; boundary=x")


def test_a_file_is_taken_from_who_is_signed_in_and_from_nobody_else(station: Station) -> None:
    person, stranger = Person(station), Person(station)
    person.sign_in()
    cards = b"UID,GID,Expiry,Authorization\n" + b"".join(b"%014X,,,accepted\n" % number for number in range(900))
    # A comment nobody reads makes it as large as a file may be.
    large = cards + b" " * (900_000 - len(cards))

    refused = stranger.send_file(large)
    taken = person.send_file(large)
    too_large = person.send_file(bytes(1_300_000))

    assert (refused[0], too_large[0]) == (403, 413)
    assert "Nothing was read" in refused[1]
    assert taken[0] in {200, 302, 400}
    assert "Nothing was read" not in taken[1]
    assert not [name for name in open_files(station) if name.endswith("(deleted)")]
    assert "Traceback" not in station.log("web")


def test_an_installer_works_on_while_a_stranger_holds_all_he_can(station: Station) -> None:
    installer = Person(station)
    with ExitStack() as stack:
        for number in range(200):
            slow = stack.enter_context(closing(connect(station, address=f"127.0.2.{number % 9 + 1}")))
            slow.sendall(head("POST /login HTTP/1.1", "Content-Length: 1000") + b"a")
            secure = socket.create_connection(("127.0.0.1", station.https_port or 0), 30, ("127.0.0.1", 0))
            stack.enter_context(closing(secure))
            secure.sendall(b"\x16\x03\x01")
            if number == 50:
                installer.sign_in()
            if number > 50 and number % 30 == 0:
                assert installer.ask("GET", "/")[0] == 200

    with connect_websocket(
        f"wss://127.0.0.1:{station.https_port}/live?page=dashboard",
        ssl=installer.context,
        origin=Origin(installer.origin),
        additional_headers={"Cookie": installer.cookie},
    ) as live:
        assert "connector-1-live" in live.recv(10)
        with pytest.raises(ConnectionClosed):
            talk(live)
    assert installer.ask("GET", "/")[0] == 200
    assert "Traceback" not in station.log("web")


def test_the_live_socket_is_refused_over_plain_http(station: Station) -> None:
    installer = Person(station)
    installer.sign_in()

    with pytest.raises(InvalidStatus, match="403"):
        connect_websocket(
            f"ws://127.0.0.1:{station.http_port}/live?page=dashboard",
            origin=Origin(f"http://127.0.0.1:{station.http_port}"),
            additional_headers={"Cookie": installer.cookie},
        )


def talk(live: ClientConnection) -> None:
    """Say much more than a page has to say."""
    for _ in range(20_000):
        live.send("x" * 100)
    while True:
        live.recv(10)


ODD = {
    "the answer alone is missing": (head("HEAD /login HTTP/1.1"), {308, 200}),
    "a method nobody knows": (head("BREW /login HTTP/1.1"), {308, 405}),
    "trace": (head("TRACE /healthz HTTP/1.1"), {405}),
    "put": (head("PUT /healthz HTTP/1.1", "Content-Length: 0"), {403, 405}),
    "options of everything": (head("OPTIONS * HTTP/1.1"), {308, 400, 404, 405}),
    "a tunnel": (head("CONNECT evil.example:443 HTTP/1.1"), {308, 400, 404, 405}),
    "a method in a header": (head("POST /healthz HTTP/1.1", "X-HTTP-Method-Override: GET"), {403, 405}),
    "two slashes": (head("GET //healthz HTTP/1.1"), {308, 404}),
    "two slashes and a name": (head("GET //evil.example/%2e%2e HTTP/1.1"), {308, 404}),
    "dots": (head("GET /static/../../station.sqlite3 HTTP/1.1"), {308, 404}),
    "encoded dots": (head("GET /static/%2e%2e/%2e%2e/secret.key HTTP/1.1"), {308, 404}),
    "an encoded letter": (head("GET /health%7a HTTP/1.1"), {200, 503}),
    "a null byte": (head("GET /healthz%00 HTTP/1.1"), {308, 404}),
    "a whole address": (head("GET http://evil.example/healthz HTTP/1.1"), {308, 400, 404}),
    "no name": (b"GET /healthz HTTP/1.0\r\n\r\n", {400}),
    "no name in 1.1": (b"GET /healthz HTTP/1.1\r\n\r\n", {400}),
    "two names": (head("GET /healthz HTTP/1.1", "Host: evil.example"), {400}),
    "a forwarded name": (
        b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: localhost\r\n\r\n",
        {400},
    ),
    "a forwarded scheme": (head("GET /login HTTP/1.1", "X-Forwarded-Proto: https"), {308}),
    "a root of somebody's choice": (head("GET /login HTTP/1.1", "Daphne-Root-Path: /x"), {308, 404}),
    "a chunked body without need": (
        head("POST /healthz HTTP/1.1", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        {403, 405},
    ),
}


@pytest.mark.parametrize("name", list(ODD))
def test_an_odd_request_gets_a_plain_refusal_and_no_traceback(station: Station, name: str) -> None:
    sent, allowed = ODD[name]
    before = station.log("web")

    received = converse(station, sent)

    assert status_of(received) in allowed, received[:300]
    if status_of(received) == 308:
        assert b"Location: https://localhost:" in received
    assert "Traceback" not in station.log("web").removeprefix(before)
