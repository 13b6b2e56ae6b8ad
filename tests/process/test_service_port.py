"""Which end of the station a request comes in at, asked of the real web server in a network of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.station import MANAGE, wait_until

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("ip") is None, reason="network namespaces need root and the program ip"
    ),
]
PORT = 8080
STATION, INSTALLER = "192.168.32.1", "192.168.32.20"
SITE, STRANGER = "192.168.1.50", "192.168.1.66"
ASK = """
import http.client, json, sys
source, target, path, host = sys.argv[1:]
connection = http.client.HTTPConnection(target, int(8080), timeout=20, source_address=(source, 0))
connection.request("GET", path, headers={"Host": host, "X-Forwarded-For": "192.168.32.20"})
answer = connection.getresponse()
print(json.dumps([answer.status, answer.read().decode()]))
"""
START_TIMEOUT_S = 60.0


class Network:
    """A network namespace in which the station has its service address and one of the site."""

    def __init__(self) -> None:
        self.name = f"sp{os.getpid()}"

    def ip(self, *arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)

    def within(self, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *command]

    def build(self) -> None:
        self.ip("netns", "add", self.name)
        for address in (STATION, INSTALLER, SITE, STRANGER):
            self.ip("-n", self.name, "address", "add", f"{address}/24", "dev", "lo")
        self.ip("-n", self.name, "link", "set", "lo", "up")

    def ask(self, source: str, target: str, path: str, *, host: str = "") -> tuple[int, str]:
        words = [sys.executable, "-c", ASK, source, target, path, host or f"{target}:{PORT}"]
        asked = subprocess.run(self.within(*words), capture_output=True, text=True, check=False)
        status, text = json.loads(asked.stdout) if asked.returncode == 0 else (0, asked.stderr)
        return status, text


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    network = Network()
    flags = ["--data-dir", str(tmp_path / "station"), "--http", f"0.0.0.0:{PORT}", "--no-https", "--simulate"]
    station = None
    try:
        network.build()
        with (tmp_path / "console").open("wb") as console:
            station = subprocess.Popen(
                network.within(sys.executable, str(MANAGE), "runstation", *flags),
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        wait_until(
            lambda: network.ask(SITE, SITE, "/healthz")[0] == 200, timeout_s=START_TIMEOUT_S, what="a ready station"
        )
        yield network
    finally:
        if station is not None:
            with suppress(ProcessLookupError):
                os.killpg(station.pid, signal.SIGTERM)
            try:
                station.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(station.pid, signal.SIGKILL)
                station.wait()
        with suppress(subprocess.CalledProcessError):
            network.ip("netns", "del", network.name)


def test_only_a_connection_within_the_service_network_is_offered_the_recovery(network: Network) -> None:
    def is_offered(source: str, target: str, *, host: str = "") -> bool:
        status, page = network.ask(source, target, "/recovery", host=host)
        assert status == 200, page
        return 'id="recovery-begin"' in page

    assert is_offered(INSTALLER, STATION)
    assert not is_offered(STRANGER, SITE)
    # He asks the service address over the site's network, names it, or says that he comes from there.
    assert not is_offered(STRANGER, STATION)
    assert not is_offered(STRANGER, SITE, host=STATION)
    assert not is_offered(INSTALLER, SITE, host=STATION)
