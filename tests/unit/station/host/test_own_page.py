"""Whether the station's own page answers."""

import errno
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from station import private_files
from station.host import own_page
from station.paths import DataDirectory


class Page(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/login" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def data(tmp_path: Path) -> DataDirectory:
    data = DataDirectory(tmp_path)
    data.run.mkdir()
    return data


@pytest.fixture
def address() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_page_that_is_served_answers(data: DataDirectory, address: str):
    own_page.announce(data, address)

    assert own_page.answers(data)


def test_a_page_with_a_fault_does_not(data: DataDirectory, address: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Page, "status", 500)
    own_page.announce(data, address)

    assert not own_page.answers(data)


def test_neither_does_one_that_is_not_there(data: DataDirectory):
    assert not own_page.answers(data)
    own_page.announce(data, "http://127.0.0.1:1/")
    assert not own_page.answers(data)


def test_a_disk_that_takes_nothing_costs_the_note_only(data: DataDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    own_page.announce(data, "http://127.0.0.1:8080/")
    monkeypatch.setattr(private_files, "write", full)
    own_page.announce(data, "http://127.0.0.1:8081/")

    assert data.own_page.read_text() == "http://127.0.0.1:8080/"
