"""Serial ports: which there are, and why one cannot be used."""

import os
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial
from serial.tools.list_ports_common import ListPortInfo

from hardware.drivers import search
from hardware.drivers.search import Extent
from hardware.links.port import PortFailed, PortTrouble, SerialPort


@pytest.fixture
def port(tmp_path: Path) -> Iterator[Path]:
    """An adapter that is plugged in: a name that can go away."""
    master, slave = os.openpty()
    tty.setraw(slave)
    name = tmp_path / "adapter"
    name.symlink_to(os.ttyname(slave))
    yield name
    os.close(master)
    os.close(slave)


def opened(name: Path) -> SerialPort:
    return SerialPort(str(name), on_received=lambda _: None, on_lost=lambda _: None, baudrate=9600)


async def trouble_of(name: Path) -> PortTrouble:
    with pytest.raises(PortFailed) as failed:
        opened(name)
    return failed.value.trouble


async def test_a_port_that_is_not_there_or_is_none_or_is_in_use_is_told_apart(port: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    holder = opened(port)

    assert await trouble_of(port) is PortTrouble.BUSY
    assert await trouble_of(tmp_path / "none") is PortTrouble.MISSING
    assert await trouble_of(tmp_path / "file") is PortTrouble.UNUSABLE
    holder.close()


async def test_a_port_that_is_forbidden_is_told(port: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_arguments: object, **_options: object) -> None:
        raise serial.SerialException(13, "could not open port: [Errno 13] Permission denied")

    monkeypatch.setattr(serial, "serial_for_url", refuse)

    assert await trouble_of(port) is PortTrouble.FORBIDDEN


async def test_an_adapter_that_is_pulled_during_the_search_is_not_called_empty(
    port: Path, monkeypatch: pytest.MonkeyPatch
):
    async def silent(_port: str, name: str) -> bool:
        # Two kinds of readers are asked; meanwhile somebody pulls the plug.
        if name == "pn532":
            os.unlink(port)  # noqa: PTH108
        return False

    async def nothing(_port: str, _listens_s: float) -> None:
        return None

    asked: list[str] = []
    monkeypatch.setattr(search, "_reader_answers", silent)
    monkeypatch.setattr(search, "_pushing_meter", nothing)

    result = await search.search_port(str(port), Extent(lines=(), on_listening=asked.append))

    assert result.trouble is PortTrouble.MISSING
    assert not result.found
    assert not asked, "nobody is asked to hold a card to a reader whose adapter is gone"


def adapter(device: Path, location: str, *, number: str | None = None) -> ListPortInfo:
    found = ListPortInfo(str(device))
    found.vid, found.pid, found.serial_number, found.location = 0x1A86, 0x7523, number, location
    return found


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    folders = tmp_path / "by-id", tmp_path / "by-path"
    for folder in folders:
        folder.mkdir()
    monkeypatch.setattr(search, "_STABLE_NAMES", folders)
    monkeypatch.setattr(search, "_consoles", set)
    return folders


def test_two_adapters_of_one_kind_without_a_serial_number_go_by_their_sockets(
    tmp_path: Path, names: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    by_id, by_path = names
    devices = [tmp_path / "ttyUSB0", tmp_path / "ttyUSB1"]
    for number, device in enumerate(devices, start=1):
        device.write_text("")
        (by_path / f"usb-0:{number}").symlink_to(device)
    # udev gives the one name to whichever it has seen last; after the next start it may be the other.
    (by_id / "usb-1a86_USB_Serial").symlink_to(devices[1])
    present = [adapter(device, f"1-1.{number}:1.0") for number, device in enumerate(devices, start=1)]
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: present)

    assert search.ports_here() == [str(by_path / "usb-0:1"), str(by_path / "usb-0:2")]


def test_adapters_that_can_be_told_apart_keep_their_names_over_replugging(
    tmp_path: Path, names: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    by_id, by_path = names
    devices = [tmp_path / f"ttyUSB{number}" for number in range(3)]
    # One of its own, and one adapter with two sockets.
    present = [
        adapter(devices[0], "1-1:1.0", number="A1"),
        adapter(devices[1], "1-2:1.0", number="A2"),
        adapter(devices[2], "1-2:1.1", number="A2"),
    ]
    for number, device in enumerate(devices):
        device.write_text("")
        (by_id / f"usb-{number}").symlink_to(device)
        (by_path / f"path-{number}").symlink_to(device)
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: present)

    assert search.ports_here() == [str(by_id / f"usb-{number}") for number in range(3)]
