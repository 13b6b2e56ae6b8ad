"""The firewall of a station against neighbours in networks of their own (network namespaces of this test)."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from station.host.firewall import Openings
from tests.units import DEPLOY

pytestmark = pytest.mark.process
# Everything a computer might serve by accident: SSH, DNS, Redis, the simulator, and what a station really has.
PORTS = (22, 53, 80, 443, 502, 503, 5020, 6379, 8080, 8443)
# Interface of the station, where it leads, and its number in the addresses.
NEIGHBOURS = {"laptop": ("service0", 32), "site": ("eth0", 33), "mobile": ("wwan0", 34), "stranger": ("usb0", 35)}

LISTEN = """
import select, socket, sys
listeners = []
for family, any_address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    for port in map(int, sys.argv[1].split(",")):
        listener = socket.socket(family)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((any_address, port))
        listener.listen(64)
        listeners.append(listener)
print("listening", flush=True)
kept = []
while True:
    for listener in select.select(listeners, [], [])[0]:
        kept.append(listener.accept())
"""
SCAN = """
import asyncio, json, sys
async def reach(host, port):
    try:
        await asyncio.wait_for(asyncio.open_connection(host, port), float(sys.argv[3]))
    except OSError:
        return None
    return port
async def scan():
    ports = list(map(int, sys.argv[2].split(",")))
    return [port for port in await asyncio.gather(*(reach(sys.argv[1], port) for port in ports)) if port]
print(json.dumps(asyncio.run(scan())))
"""
DATAGRAM = """
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.bind(("0.0.0.0", int(sys.argv[3])))
sender.sendto(b"discover", (sys.argv[1], int(sys.argv[2])))
"""
RECEIVE = """
import socket, sys
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("0.0.0.0", int(sys.argv[1])))
print("listening", flush=True)
while True:
    print(receiver.recvfrom(100)[1][0], flush=True)
"""
# A packet that is dropped is never answered; one that is let in is answered at once, even on a busy computer.
WAIT_S = 1.5


class Site:
    """A station's network namespace with one neighbour per interface."""

    def __init__(self, data: Path) -> None:
        self.prefix = f"fw{os.getpid()}"
        self.openings = data / "firewall.json"
        self.running: list[subprocess.Popen[str]] = []

    def ip(self, *arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)

    def within(self, where: str, *command: str) -> list[str]:
        return ["ip", "netns", "exec", f"{self.prefix}-{where}", *command]

    def build(self) -> None:
        for name in ("station", *NEIGHBOURS):
            self.ip("netns", "add", f"{self.prefix}-{name}")
            self.ip("-n", f"{self.prefix}-{name}", "link", "set", "lo", "up")
        for name, (interface, number) in NEIGHBOURS.items():
            here, there = f"{self.prefix}-station", f"{self.prefix}-{name}"
            self.ip("-n", here, "link", "add", interface, "type", "veth", "peer", "name", "up0", "netns", there)
            for where, device, host in ((here, interface, 1), (there, "up0", 2)):
                self.ip("-n", where, "address", "add", f"192.168.{number}.{host}/24", "dev", device)
                self.ip("-n", where, "address", "add", f"fd00:{number}::{host}/64", "dev", device, "nodad")
                self.ip("-n", where, "link", "set", device, "up")
            self.ip("-n", there, "route", "add", "default", "via", f"192.168.{number}.1")

    def take_down(self) -> None:
        for process in self.running:
            process.kill()
            process.wait()
        for name in ("station", *NEIGHBOURS):
            with suppress(subprocess.CalledProcessError):
                self.ip("netns", "del", f"{self.prefix}-{name}")

    def serve(self, where: str, program: str, argument: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self.within(where, sys.executable, "-c", program, argument), stdout=subprocess.PIPE, text=True
        )
        self.running.append(process)
        assert process.stdout.readline() == "listening\n"
        return process

    def load(self, openings: Openings, **environment: str) -> int:
        self.openings.unlink(missing_ok=True)
        openings.write(self.openings)
        return self.load_again(**environment)

    def load_again(self, **environment: str) -> int:
        command = [sys.executable, "-m", "station.host.firewall", str(DEPLOY / "station.nft"), str(self.openings)]
        return subprocess.run(
            self.within("station", *command), cwd=DEPLOY.parent, env={**os.environ, **environment}, check=False
        ).returncode

    def open_from(self, neighbour: str, *, ports: tuple[int, ...] = PORTS, host: str | None = None) -> list[int]:
        """Return the ports at which a neighbour reaches the station (or another host)."""
        target = host or f"192.168.{NEIGHBOURS[neighbour][1]}.1"
        words = [sys.executable, "-c", SCAN, target, ",".join(map(str, ports)), str(WAIT_S)]
        scanned = subprocess.run(self.within(neighbour, *words), capture_output=True, text=True, check=True)
        return json.loads(scanned.stdout)


def missing() -> str:
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "nft"):
        if shutil.which(tool) is None:
            return f"{tool} is not on this computer"
    probe = ["unshare", "--net", "nft", "--check", "--file", str(DEPLOY / "station.nft")]
    tried = subprocess.run(probe, capture_output=True, text=True, check=False)
    return tried.stderr.strip()[-200:] if tried.returncode else ""


LACKING = missing()
needs_namespaces = pytest.mark.skipif(bool(LACKING), reason=f"the firewall cannot be tried: {LACKING}")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    try:
        site.build()
        yield site
    finally:
        site.take_down()


@needs_namespaces
def test_a_port_scan_finds_what_is_switched_on_and_nothing_else(site: Site) -> None:
    site.serve("station", LISTEN, ",".join(map(str, PORTS)))
    assert site.open_from("mobile") == list(PORTS)

    assert site.load(Openings()) == 0

    assert site.open_from("laptop") == [80, 443]
    assert site.open_from("site") == [80, 443]
    assert site.open_from("mobile") == []
    assert site.open_from("stranger") == []
    assert site.open_from("laptop", host="fd00:32::1") == [80, 443]
    assert site.open_from("mobile", host="fd00:34::1") == []
    # The service address is not reached through another interface either.
    assert site.open_from("stranger", host="192.168.32.1") == []


@needs_namespaces
def test_modbus_and_cluster_are_reached_while_they_are_switched_on_and_by_the_site_only(site: Site) -> None:
    site.serve("station", LISTEN, ",".join(map(str, PORTS)))

    assert site.load(Openings(modbus_ports=(502, 503), cluster_port=6379)) == 0
    assert site.open_from("site") == [80, 443, 502, 503, 6379]
    assert site.open_from("laptop") == [80, 443]
    assert site.open_from("mobile") == []

    # Stations look for one another in the network of the site: of all who send, only it is heard.
    assert site.load(Openings(mdns=True)) == 0
    searches = site.serve("station", RECEIVE, "5353")
    for neighbour in ("mobile", "laptop", "site"):
        target = f"192.168.{NEIGHBOURS[neighbour][1]}.1"
        subprocess.run(site.within(neighbour, sys.executable, "-c", DATAGRAM, target, "5353", "5353"), check=True)
    assert searches.stdout.readline() == "192.168.33.2\n"

    assert site.load(Openings(), STATION_WEB_OVER_LAN="no") == 0
    assert site.open_from("site") == []
    assert site.open_from("laptop") == [80, 443]


@needs_namespaces
@pytest.mark.parametrize("broken", ["", "{", "[]", '{"modbus_ports": ["502; accept"], "cluster_port": true}'])
def test_what_was_written_wrongly_opens_nothing(site: Site, broken: str) -> None:
    site.serve("station", LISTEN, ",".join(map(str, PORTS)))
    site.openings.write_text(broken)

    assert site.load_again() == 0

    assert site.open_from("site") == [80, 443]


@needs_namespaces
def test_settings_that_make_no_sense_leave_the_service_port_only(site: Site) -> None:
    site.serve("station", LISTEN, ",".join(map(str, PORTS)))

    assert site.load(Openings(modbus_ports=(502,)), STATION_LAN_INTERFACES='eth0" } ; flush ruleset #') == os.EX_CONFIG

    assert site.open_from("site") == []
    assert site.open_from("laptop") == [80, 443]


@needs_namespaces
def test_the_station_goes_out_and_gives_addresses_but_connects_no_networks(site: Site) -> None:
    site.load(Openings())
    site.serve("mobile", LISTEN, "443")
    subprocess.run(site.within("station", "sysctl", "-qw", "net.ipv4.ip_forward=1"), check=True)
    requests = site.serve("station", RECEIVE, "67")

    # Out: the backend behind the modem is reached, and its answers come in.
    assert site.open_from("station", ports=(443,), host="192.168.34.2") == [443]
    # Through: the laptop does not get into the mobile network over the station.
    assert site.open_from("laptop", ports=(443,), host="192.168.34.2") == []
    # DHCP requests reach the station from the service port alone; the site's come first and would be seen.
    for neighbour in ("site", "mobile", "laptop"):
        target = f"192.168.{NEIGHBOURS[neighbour][1]}.1"
        subprocess.run(site.within(neighbour, sys.executable, "-c", DATAGRAM, target, "67", "68"), check=True)
    assert requests.stdout.readline() == "192.168.32.2\n"


@needs_namespaces
def test_in_shared_mode_the_site_gets_out_and_nothing_gets_in(site: Site) -> None:
    for neighbour in ("laptop", "mobile", "site", "stranger"):
        site.serve(neighbour, LISTEN, "443")
    site.serve("station", LISTEN, ",".join(map(str, PORTS)))
    subprocess.run(site.within("station", "sysctl", "-qw", "net.ipv4.ip_forward=1"), check=True)
    assert site.load(Openings()) == 0
    assert site.open_from("site", ports=(443,), host="192.168.34.2") == []

    assert site.load(Openings(shared_interface="eth0")) == 0
    requests = site.serve("station", RECEIVE, "67")

    # A mobile network knows no address behind the station's.
    mobile = f"{site.prefix}-mobile"
    site.ip("-n", mobile, "route", "del", "default")
    assert site.open_from("site", ports=(443,), host="192.168.34.2") == [443]
    site.ip("-n", mobile, "route", "add", "default", "via", "192.168.34.1")
    # The service port is nobody's way, and nobody comes in from the uplink.
    assert site.open_from("site", ports=(443,), host="192.168.32.2") == []
    assert site.open_from("mobile", ports=(443,), host="192.168.33.2") == []
    assert site.open_from("laptop", ports=(443,), host="192.168.33.2") == []
    # The site asks the station for names and addresses.
    assert site.open_from("site") == [53, 80, 443]
    assert site.open_from("laptop") == [80, 443]
    for neighbour in ("mobile", "site"):
        target = f"192.168.{NEIGHBOURS[neighbour][1]}.1"
        subprocess.run(site.within(neighbour, sys.executable, "-c", DATAGRAM, target, "67", "68"), check=True)
    assert requests.stdout.readline() == "192.168.33.2\n"
