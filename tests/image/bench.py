"""A booted station with everything around it: a backend and a person on this computer, a laptop at the same cable.

The machine has two network cards. `eth0` is the site's network: qemu's user network and the laptop's cable, on one hub.
`eth1` is an uplink, as a modem would be.
"""

import http.client
import json
import os
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from scripts.image.disk import MIB
from tests.backend import Backend, ThreadedBackend
from tests.image import built
from tests.image.disks import CachedDisk, Disk, copy
from tests.image.ethernet import Computer
from tests.image.machines import AMD64, BOOT_TIMEOUT_S, Forward, Machine, Model, forward
from tests.station import NeverHappened, wait_until
from tests.station import http as ask_http

# What deploy/image/test brings along.
SERIAL, PASSWORD = "TEST0001", "TESTPASSW0RD"
CONTROL_PORT = 8601
# The network that a station in shared mode serves (station.domain.network.SHARED_DEFAULT) is the site's here, always.
SITE, UPLINK = "192.168.30", "192.168.77"
ROUTER, BY_DHCP, FIXED, SHARED = f"{SITE}.2", f"{SITE}.15", f"{SITE}.16", f"{SITE}.50"
MANAGE = "cd /opt/station && runuser -u station -- env STATION_DATA_DIR=/var/lib/station .venv/bin/python manage.py"
CARD = "04A2B3C4D5E6F7"
# An image ends with a small data partition; on a board it takes the rest of the disk, which updates need.
DISK_BYTES = 6144 * MIB
# Emulated: seconds become minutes when others work on this computer, too.
PATIENCE_S = 300.0


class Bench:
    """One station, switched on and off."""

    def __init__(self, disk: Disk, scratch: Path, backend: ThreadedBackend, model: Model = AMD64) -> None:
        self.backend = backend
        self.address = BY_DHCP
        self._forwards = {
            (address, port): forward(port, address)
            for address in (BY_DHCP, FIXED, SHARED)
            for port in (443, CONTROL_PORT)
        }
        self.laptop = Computer(scratch, "laptop")
        cards = [
            *("-netdev", self.laptop.option()),
            *("-netdev", "hubport,id=hub0,hubid=0,netdev=site", "-netdev", "hubport,id=hub1,hubid=0,netdev=laptop"),
            *("-netdev", "hubport,id=eth0,hubid=0", "-device", "virtio-net-pci,netdev=eth0,addr=0x10"),
            *("-netdev", f"user,id=uplink,net={UPLINK}.0/24,host={UPLINK}.2"),
            *("-device", "virtio-net-pci,netdev=uplink,addr=0x11"),
        ]
        self.machine = Machine(
            disk,
            scratch,
            forwards=tuple(self._forwards.values()),
            site=f"net={SITE}.0/24,host={ROUTER},dns={SITE}.3,dhcpstart={BY_DHCP}",
            devices=cards,
            # What the watchdog does is a matter of the tests of updates; here a slow computer is no reason to restart.
            watchdog=False,
            model=model,
        )
        self.person = Person(self)

    @classmethod
    def over(cls, image: Path, scratch: Path, backend: ThreadedBackend, model: Model = AMD64) -> Self:
        """Make a station with a disk of its own that loses what was not flushed."""
        return cls(CachedDisk(image, scratch), scratch, backend, model)

    def close(self) -> None:
        """Leave nothing behind."""
        self.machine.kill()
        self.laptop.__exit__()

    def forwarded(self, port: int) -> Forward:
        """Return how a port of the station is reached, at the address that it has now."""
        return self._forwards[self.address, port]

    # --- the station --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Switch on and wait until the station is ready to charge."""
        self.machine.start()
        self.wait_ready()

    def wait_ready(self, *, timeout_s: float = BOOT_TIMEOUT_S) -> float:
        """Wait for /healthz 200; return the seconds since the power came."""
        try:
            wait_until(lambda: self.health()[0] == 200, timeout_s=timeout_s, what="healthz 200")
        except NeverHappened as problem:
            said = f"{problem}; last: {self.health()}\n{self.machine.console.tail()}\n{self._journal()}"
            raise NeverHappened(said) from None
        return time.monotonic() - self.machine.started_at_s

    def _journal(self) -> str:
        """Return what the services have said since this boot, for the message of a failure."""
        asked = "systemctl list-jobs; df /data; journalctl --boot --unit 'station-*' --no-pager --lines 200"
        try:
            return self.machine.run(asked, timeout_s=60)
        except Exception as silent:  # noqa: BLE001 - the failure that is being told matters more
            return f"no journal: {silent}"

    def health(self) -> tuple[int, Any]:
        """Ask /healthz; a station that does not answer has the status 0."""
        assert self.machine.is_on, self.machine.console.tail()
        try:
            # An emulated station that has just begun may take longer than 10 s to answer; hanging up and asking again
            # makes it begin anew.
            status, text = self.person.ask("GET", "/healthz", timeout_s=60)
            return status, json.loads(text)
        except (OSError, http.client.HTTPException, ValueError) as problem:
            # Whoever asks all the time takes the processor away from who is asked.
            time.sleep(0.5)
            return 0, repr(problem)

    def connect_to_backend(self) -> None:
        """Have the station charge for the backend on this computer, as an installer does, and wait until it does."""
        mark = self.backend.mark()
        self.person.sign_in()
        self.person.fill_in("/communication/ocpp", {"ocpp-url": f"ws://{ROUTER}:{self.backend.port}"})
        self.wait_accepted(after=mark)
        for key, value in {"MeterValueSampleInterval": "2"}.items():
            asked = {"key": key, "value": value}
            answer = self.backend.call("ChangeConfiguration", asked, timeout=PATIENCE_S)
            assert answer == {"status": "Accepted"}, f"{key}: {answer}"

    def wait_accepted(self, *, after: int) -> None:
        """Wait until the backend has accepted the station: before that a card it does not know is refused."""
        self.backend.wait_for("BootNotification", after=after, timeout=PATIENCE_S)
        # Only an accepted station tells its state.
        self.backend.wait_for("StatusNotification", after=after, timeout=PATIENCE_S)

    def sim(self, path: str, **body: Any) -> dict[str, Any]:
        """Do something to the simulated devices, or ask for their state."""
        method = "GET" if path == "/state" else "POST"
        status, answer = ask_http(
            method, self.forwarded(CONTROL_PORT).here, path, None if method == "GET" else body, timeout_s=30
        )
        assert status == 200, f"{path}: {status} {answer}"
        return answer

    def connector(self, number: int) -> dict[str, Any]:
        """Read the physical truth of one charging point."""
        return next(entry for entry in self.sim("/state")["connectors"] if entry["id"] == number)

    def begin_session(self, number: int, card: str = CARD) -> dict[str, Any]:
        """Plug a car in, hold a card to the reader and wait until energy flows; return the StartTransaction."""
        mark = self.backend.mark()
        self.sim(f"/connectors/{number}/plug")
        wait_until(lambda: self.connector(number)["cp_state"] != "A", timeout_s=PATIENCE_S, what="a plugged car")
        self.sim("/reader/swipe", uid=card)
        try:
            begun = self.backend.wait_for(
                "StartTransaction", where=lambda sent: sent["connectorId"] == number, after=mark, timeout=PATIENCE_S
            )
        except TimeoutError as nothing:
            # The machine is gone when somebody reads this.
            nothing.add_note(self.machine.run("journalctl --unit 'station-*' --no-pager --lines 80"))
            raise
        wait_until(lambda: self.connector(number)["power_w"] > 0, timeout_s=PATIENCE_S, what="energy")
        return begun.payload


def new_disk(image: Path, place: Path) -> Path:
    """Write an image to a disk of the size of a real one: the data partition grows at the first boot."""
    copy(image, place)
    os.truncate(place, DISK_BYTES)
    return place


@contextmanager
def new_board(image: Path, model: Model = AMD64) -> Iterator[Bench]:
    """Write an image to a new board's disk; the board is off, and there is a backend in its network."""
    scratch = built.scratch_directory()
    disk = new_disk(image, scratch / "disk.img")
    with Backend.threaded(interval_s=60) as backend:
        station = Bench.over(disk, scratch, backend, model)
        try:
            yield station
        finally:
            station.close()
            built.clear(scratch)


@contextmanager
def first_boot(image: Path, model: Model = AMD64) -> Iterator[Bench]:
    """Switch a new board on for the first time, and wait until it can charge."""
    with new_board(image, model) as station:
        station.start()
        yield station


class Person:
    """Somebody with a browser in the site's network, at the encrypted address."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.context = ssl.create_default_context()
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.cookies: dict[str, str] = {}

    def ask(
        self, method: str, path: str, fields: dict[str, str] | None = None, *, timeout_s: float = 60.0
    ) -> tuple[int, str]:
        """Ask for a page or send a form; return status and text."""
        port = self.bench.forwarded(443).here
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout_s, context=self.context)
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        headers |= {"Origin": f"https://127.0.0.1:{port}"}
        if fields is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(method, path, urlencode(fields) if fields is not None else None, headers)
            answer = connection.getresponse()
            for _, value in (each for each in answer.getheaders() if each[0].lower() == "set-cookie"):
                self.cookies.update({name: morsel.value for name, morsel in SimpleCookie(value).items()})
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def send(self, path: str, fields: dict[str, str], *, form: str = "") -> tuple[int, str]:
        """Fill in the form of a page and send it."""
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.ask("GET", form or path)[1])
        assert found, f"no form at {form or path}"
        return self.ask("POST", path, {"csrfmiddlewaretoken": found[1]} | fields)

    def sign_in(self) -> None:
        """Sign in with the password of the sticker."""
        # Whoever is signed in already is shown no form.
        self.cookies.clear()
        self.fill_in("/login", {"username": "admin", "password": PASSWORD})

    def fill_in(self, path: str, fields: dict[str, str]) -> None:
        """Fill in a form that leads on when everything in it is right."""
        status, text = self.send(path, fields)
        assert status == 302, text[-3000:]

    def change_network(self, **fields: str) -> str:
        """Save the page Interfaces; return the link's secret."""
        wanted = {f"ipv{family}-{key}": "" for family in (4, 6) for key in ("address", "netmask", "gateway", "dns")}
        wanted |= {"ipv4-method": "auto", "ipv6-method": "auto"}
        wanted |= {name.replace("_", "-"): value for name, value in fields.items()}
        status, text = self.send("/network/interfaces", wanted)
        assert status == 200, text[-3000:]
        found = re.search(r'name="ticket" value="([^"]+)"', text)
        assert found, text[-3000:]
        return found[1]

    def wait_reached(self, *, timeout_s: float = PATIENCE_S) -> None:
        """Wait until the station answers at the address it should have."""

        def answers() -> bool:
            with suppress(OSError, http.client.HTTPException):
                return self.ask("GET", "/login", timeout_s=5)[0] in {200, 302}
            return False

        wait_until(answers, timeout_s=timeout_s, what=f"the station at {self.bench.address}")
