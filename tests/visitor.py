"""Somebody at the web interface of a running station, without a browser: signs in, reads pages, sends forms."""

import http.client
import re
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from tests.station import Station

PASSWORD = "Wolken-Kabel-42-Ast"
# A station that was delivered: the password on its sticker opens it.
IDENTITY = {"/identity/factoryPassword": PASSWORD, "/identity/productionDate": "2025-09"}
FORM = "application/x-www-form-urlencoded"


class Visitor:
    """Keeps the cookies of one visit."""

    def __init__(self, station: Station) -> None:
        self.station = station
        self.cookies: dict[str, str] = {}

    def headers(self, kind: str = FORM) -> dict[str, str]:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {"Cookie": cookies, "Origin": f"http://127.0.0.1:{self.station.http_port}", "Content-Type": kind}

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = FORM) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.station.http_port, timeout=30)
        connection.request(method, path, body, self.headers(kind))
        answer = connection.getresponse()
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie":
                self.cookies.update({each: morsel.value for each, morsel in SimpleCookie(value).items()})
        return answer.status, answer.read().decode()

    def token(self, path: str) -> str:
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.ask("GET", path)[1])
        assert found
        return found[1]

    def post(self, path: str, *, of: str, **fields: str) -> tuple[int, str]:
        return self.ask("POST", path, urlencode({"csrfmiddlewaretoken": self.token(of)} | fields).encode())

    def sign_in(self, password: str = PASSWORD) -> None:
        assert self.post("/login", of="/login", username="admin", password=password)[0] == 302
