"""The image as it is delivered: with the factory's file beside the boot loader it becomes one certain station."""

import json
import subprocess
from collections.abc import Iterator
from http import HTTPStatus
from ipaddress import IPv4Address

import pytest

from scripts.image.disk import partitions
from tests.image import built
from tests.image.bench import BY_DHCP, PATIENCE_S, Bench, new_board
from tests.image.machines import BOOT_TIMEOUT_S
from tests.station import wait_until

# Another image to build.
pytestmark = pytest.mark.long

SERIAL, PASSWORD = "100012345", "Q7RW-KX4M-9TJC"
FILE = {"serial": SERIAL, "factoryPassword": PASSWORD, "model": "TE-AC22", "connectors": 1}
NAME = "station-provision.json"
EFI = partitions("amd64")[0]
LAPTOP = IPv4Address("192.168.30.99")


@pytest.fixture(scope="module")
def delivered() -> Iterator[Bench]:
    """A board without a description of its hardware, switched on with the factory's file on its disk."""
    with new_board(built.image_to_ship()) as station:
        scratch = station.machine.scratch
        (scratch / NAME).write_text(json.dumps(FILE))
        subprocess.run(["mcopy", "-i", efi(station), scratch / NAME, f"::{NAME}"], check=True)
        station.machine.start()
        wait_until(lambda: station.health()[0], timeout_s=BOOT_TIMEOUT_S, what="an answer of /healthz")
        yield station


def efi(station: Bench) -> str:
    """Name the EFI partition of a disk as mtools does."""
    return f"{station.machine.scratch / 'disk.img'}@@{EFI.start}"


def reasons(station: Bench) -> list[str]:
    """Return why the station cannot charge."""
    status, health = station.health()
    return [each["code"] for each in health["reasons"]] if status == HTTPStatus.SERVICE_UNAVAILABLE else []


def test_it_says_that_nobody_has_described_its_hardware_and_nothing_else(delivered: Bench) -> None:
    wait_until(lambda: reasons(delivered) == ["hardware_missing"], timeout_s=PATIENCE_S, what="hardware_missing")

    assert "details" not in delivered.health()[1]


def test_the_password_of_the_sticker_opens_its_pages(delivered: Bench) -> None:
    assert SERIAL in delivered.person.ask("GET", "/login")[1]

    delivered.person.fill_in("/login", {"username": "admin", "password": PASSWORD})

    status, page = delivered.person.ask("GET", "/")
    assert status == HTTPStatus.OK
    assert "hardware.json" in page


def test_no_other_port_is_open_and_the_console_takes_no_commands(delivered: Bench) -> None:
    station = IPv4Address(BY_DHCP)
    mac = delivered.laptop.mac_of(station, own=LAPTOP)
    assert mac is not None
    delivered.machine.console.type("\n echo nobody''listens\n")

    found = delivered.laptop.open_ports(station, mac, [*range(1, 1025), 6379, 8080, 8600, 8601], own=LAPTOP)

    assert found == {80, 443}
    assert "nobodylistens" not in delivered.machine.console.text
    assert "login:" not in delivered.machine.console.text


def test_power_lost_now_leaves_neither_the_factorys_file_nor_its_password_on_the_disk(delivered: Bench) -> None:
    delivered.machine.cut()

    listed = subprocess.run(["mdir", "-b", "-i", efi(delivered), "::"], check=True, capture_output=True, text=True)
    assert NAME not in listed.stdout
    # grep reads the holes of a sparse disk faster than anything here would.
    found = subprocess.run(
        ["grep", "--text", "--count", "--fixed-strings", PASSWORD, delivered.machine.scratch / "disk.img"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert found.stdout.strip() == "0"
