"""Updates from a file and the factory reset on the started product: processes die, the page finds the station again."""

import http.client
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backend import Backend, ThreadedBackend
from tests.images import Maker
from tests.station import Station, wait_until
from tests.visitor import IDENTITY, PASSWORD, Visitor

pytestmark = pytest.mark.process

OFFLINE = {
    "/ocpp/reconnectMinS": "1",
    "/ocpp/reconnectMaxS": "1",
    "LocalAuthorizeOffline": "true",
    "AllowOfflineTxForUnknownId": "true",
}
CARD = "04A2B3C4D5E6"
LONG_S = 60.0
TAKEN_WH = 100
_BOUNDARY = "x-x-x"


class Person(Visitor):
    """Somebody with a browser who brings a file."""

    def upload(self, content: bytes) -> bytes:
        """Return the body of a form with a file."""
        parts = {'name="csrfmiddlewaretoken"': self.token("/software/log-files").encode()}
        parts['name="image"; filename="new.raucb"'] = content
        lines = [
            f"--{_BOUNDARY}\r\nContent-Disposition: form-data; {name}\r\n\r\n".encode() + value + b"\r\n"
            for name, value in parts.items()
        ]
        return b"".join(lines) + f"--{_BOUNDARY}--\r\n".encode()

    def page(self) -> str:
        try:
            return self.ask("GET", "/software/update")[1]
        except (OSError, http.client.HTTPException):
            # The station restarts.
            return ""


UPLOAD, FACTORY = "/software/update/upload", "/software/factory-settings"
MULTIPART = f"multipart/form-data; boundary={_BOUNDARY}"


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    with Station.start(tmp_path, config=IDENTITY) as running:
        yield running


@pytest.fixture
def maker(station: Station) -> Maker:
    maker = Maker()
    (station.data / "sim" / "update_key.pem").write_bytes(maker.key.pem)
    return maker


def left_files(station: Station) -> list[str]:
    """List what uploads and jobs have left in the data directory."""
    files = station.data / "files"
    return [str(path) for path in files.rglob("*") if path.is_file() and "slots" not in path.parts]


def test_an_upload_that_dies_with_the_web_process_leaves_nothing_and_the_next_one_is_installed(
    station: Station, maker: Maker, tmp_path: Path
) -> None:
    person = Person(station)
    person.sign_in()
    image = maker.image(tmp_path / "image", files={"root": bytes(3_000_000)}).read_bytes()
    body = person.upload(image)
    web = station.pid_of("web")
    head = "".join(f"{name}: {value}\r\n" for name, value in person.headers(MULTIPART).items())
    with socket.create_connection(("127.0.0.1", station.http_port)) as cut:
        cut.sendall(f"POST {UPLOAD} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode())
        cut.sendall(body[: len(body) // 2])
        station.kill("web", signal.SIGKILL)
    wait_until(lambda: station.healthy() and station.pid_of("web") != web, timeout_s=LONG_S, what="another web process")
    assert left_files(station) == []

    assert person.ask("POST", UPLOAD, body, MULTIPART)[0] == 302
    wait_until(lambda: 'data-fact="wanted">9.1.0<' in person.page(), timeout_s=LONG_S, what="the checked file")
    station.kill("worker", signal.SIGKILL)
    assert person.post("/software/update/install", of="/software/update")[0] == 302

    wait_until(lambda: "Version 9.1.0 was installed" in person.page(), timeout_s=LONG_S, what="the new version")
    assert left_files(station) == []


def test_after_a_factory_reset_the_sticker_opens_the_station_and_nothing_owed_is_lost(tmp_path: Path) -> None:
    with (
        Backend.threaded() as backend,
        Station.start(tmp_path, config=IDENTITY | OFFLINE | {"/ocpp/url": backend.url}) as station,
    ):
        backend.wait_for("BootNotification", timeout=LONG_S)
        charge_offline(station, backend)
        person = Person(station)
        person.sign_in()
        # While the session is being ended the page offers no reset.
        wait_until(lambda: 'name="word"' in person.ask("GET", FACTORY)[1], timeout_s=LONG_S, what="the session's end")
        assert "has not got" in person.ask("GET", FACTORY)[1]

        reset = person.post(FACTORY, of=FACTORY, word="RESET", messages="keep", password=PASSWORD)

        assert reset[0] == 200
        wait_until(lambda: not (station.data / "factory_reset.json").exists(), timeout_s=LONG_S, what="the reset")
        station.wait_healthy(timeout_s=LONG_S)
        assert person.ask("GET", "/")[0] == 302
        Person(station).sign_in()
        url = station.manage("config", "get", "--data-dir", str(station.data), "/ocpp/url")
        assert backend.url not in url.stdout
        mark = backend.mark()
        station.sim("/network", {"backend": True})
        station.config_set({"/ocpp/url": backend.url})
        stop = backend.wait_for("StopTransaction", after=mark, timeout=LONG_S)
        assert stop.payload["meterStop"] > 0
        assert backend.received("StartTransaction", after=mark)
        assert "Traceback" not in station.log("main")


def charge_offline(station: Station, backend: ThreadedBackend) -> None:
    station.sim("/network", {"backend": False})
    wait_until(lambda: not backend.backend.connections[-1].is_open, timeout_s=LONG_S, what="the end of the connection")
    station.sim("/speed", {"factor": 240})
    station.sim("/connectors/1/plug", {})
    station.wait_sim(lambda point: point["cp_state"] != "A", timeout_s=LONG_S)
    station.sim("/reader/swipe", {"uid": CARD})
    # The books count whole watt hours of what the meter has told, which lags behind what the car took.
    station.wait_sim(lambda point: point["energy_wh"] >= TAKEN_WH and point["power_w"] > 0, timeout_s=LONG_S)
    station.sim("/connectors/1/unplug", {})
    station.wait_sim(lambda point: not point["plugged"], timeout_s=LONG_S)
