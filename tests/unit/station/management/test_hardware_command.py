"""`manage.py hardware`: what an installer answers becomes hardware.json, and what is wrong is said."""

import asyncio
import errno
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from hardware.drivers.config import load
from hardware.drivers.config_data import Role
from hardware.drivers.search import Extent, Found, Searched, search
from hardware.links.port import PortTrouble
from station import private_files
from station.management.commands import hardware
from station.paths import DataDirectory

BUS, OTHER, USB = "/dev/serial/by-id/usb-bus", "/dev/serial/by-id/usb-other", "/dev/serial/by-id/usb-reader"


def on_bus(role: Role, driver: str, address: int, *, port: str = BUS, name: str = "", trouble: str = "") -> Found:
    options = {"port": port, "address": address, "baudrate": 9600, "parity": "N", "stopbits": 1}
    return Found(
        role=role, driver=driver, options=options, name=name, serial=f"{address}000", line="9600 8N1", trouble=trouble
    )


BOARD, SECOND_BOARD = (on_bus(Role.CONTROLLER, "phoenix_ev_cc", each, name="EV-CC-AC1-M3") for each in (1, 2))
METER, SECOND_METER = (on_bus(Role.METER, "eastron_sdm630", each, port=OTHER, name="SDM630") for each in (1, 2))
READER = Found(role=Role.READER, driver="elatec_twn4", options={"port": USB}, name="Elatec TWN4")
IO = on_bus(Role.IO, "modbus_io", 10, name="Modbus I/O")
EVERYTHING = (BOARD, SECOND_BOARD, IO, METER, SECOND_METER, READER)


class Terminal(io.StringIO):
    """Somebody who answers."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def data(tmp_path: Path, settings: Any) -> DataDirectory:
    settings.DATA = DataDirectory(tmp_path / "data")
    return settings.DATA


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> dict[str, Searched]:
    """What is connected, by its port."""
    connected: dict[str, Searched] = {}

    async def search(ports: Sequence[str], _extent: Extent) -> list[Searched]:
        return [connected.get(port, Searched(port=port)) for port in ports]

    monkeypatch.setattr(hardware, "search", search)
    monkeypatch.setattr(hardware, "ports_here", lambda: sorted(connected))
    connect(connected, *EVERYTHING)
    return connected


def connect(connected: dict[str, Searched], *devices: Found) -> None:
    connected.clear()
    for device in devices:
        before = connected.get(device.port, Searched(port=device.port))
        connected[device.port] = Searched(port=device.port, found=(*before.found, device))


def run(*arguments: str) -> str:
    said = io.StringIO()
    call_command("hardware", *arguments, stdout=said, stderr=io.StringIO())
    return said.getvalue()


@pytest.mark.usefixtures("bench")
def test_without_options_the_points_are_in_the_order_of_the_list(data: DataDirectory):
    run("write")

    config = load(data.hardware)
    pairs = [
        (each.controller.options["address"], each.meter and each.meter.options["address"]) for each in config.connectors
    ]
    assert pairs == [(1, 1), (2, 2)]
    assert [(reader.driver, reader.options["connector"]) for reader in config.readers] == [("elatec_twn4", None)]
    assert config.io is not None


@pytest.mark.usefixtures("bench")
def test_options_say_what_belongs_where(data: DataDirectory):
    run("write", "--point", "2,4", "--point", "1,5,1", "--reader", "6=2")

    config = load(data.hardware)
    assert [each.controller.options["address"] for each in config.connectors] == [2, 1]
    assert [each.phases for each in config.connectors] == [3, 1]
    assert config.readers[0].options["connector"] == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--point", "one"], "for instance 1,2"),
        (["--point", "4,1"], "no charge controller of the list; there is 1, 2"),
        (["--point", "1,4", "--point", "1,5"], "one charging point only"),
        (["--point", "1,4", "--reader", "6=2"], "for instance 3=1"),
        (["--reader", "1"], "no card reader of the list; there is 6"),
    ],
)
@pytest.mark.usefixtures("bench")
def test_an_answer_that_cannot_be_is_explained_and_nothing_is_written(
    data: DataDirectory, arguments: list[str], says: str
):
    with pytest.raises(CommandError, match=says):
        run("write", *arguments)

    assert not data.hardware.exists()


def test_a_station_without_a_meter_or_without_anything_is_not_described(
    data: DataDirectory, bench: dict[str, Searched]
):
    connect(bench, BOARD)
    with pytest.raises(CommandError, match="There is no meter"):
        run("write")
    bench.clear()
    with pytest.raises(CommandError, match="no serial port"):
        run("write")

    assert not data.hardware.exists()


@pytest.mark.usefixtures("bench")
def test_the_earlier_description_is_kept_and_what_nobody_finds_stays(data: DataDirectory):
    data.create()
    lamps = {"chip": "/dev/gpiochip0", "lines": [{"connector": 1, "green": 4}]}
    inputs = [{"input": 0, "code": "GroundFailure", "connector": 1}]
    before = {
        "connectors": [{"controller": {**BOARD.entry, "surge_contact": True}, "meter": METER.entry}],
        "readers": [],
        "io": {**IO.entry, "inputs": inputs},
        "lamps": lamps,
    }
    data.hardware.write_text(json.dumps(before))

    said = run("write")

    now = json.loads(data.hardware.read_text())
    assert json.loads((data.root / "hardware.json.old").read_text()) == before
    assert "hardware.json.old" in said
    assert now["connectors"][0]["controller"]["surge_contact"] is True
    assert now["io"]["inputs"] == inputs
    assert now["lamps"] == lamps


@pytest.mark.usefixtures("bench")
@pytest.mark.parametrize(
    "before", ['{"connectors": null, "readers": 3}', '{"connectors": [null], "readers": {}}', "[1"]
)
def test_a_description_spoilt_by_hand_is_replaced_and_kept(data: DataDirectory, before: str):
    data.create()
    data.hardware.write_text(before)

    run("write")

    assert json.loads(data.hardware.read_text())["connectors"]
    assert (data.root / "hardware.json.old").read_text() == before


def ask(monkeypatch: pytest.MonkeyPatch, answers: str, *arguments: str) -> str:
    monkeypatch.setattr("sys.stdin", Terminal(answers))
    return run("find", *arguments)


@pytest.mark.usefixtures("bench")
def test_whoever_takes_what_is_proposed_presses_enter(data: DataDirectory, monkeypatch: pytest.MonkeyPatch):
    said = ask(monkeypatch, "\n" * 9)

    assert "charge controller EV-CC-AC1-M3, serial number 1000, address 1, 9600 8N1" in said
    assert len(load(data.hardware).connectors) == 2


@pytest.mark.usefixtures("bench")
def test_an_answer_that_is_none_is_asked_again_and_a_no_writes_nothing(
    data: DataDirectory, monkeypatch: pytest.MonkeyPatch
):
    said = ask(monkeypatch, "7\n1\n3\n2\n5\n1\n1\nno\n")

    assert "Please one of: 1, 2" in said
    assert "Nothing was written." in said
    assert not data.hardware.exists()


@pytest.mark.usefixtures("bench")
def test_the_questions_are_asked_in_german_too(data: DataDirectory, monkeypatch: pytest.MonkeyPatch):
    said = ask(monkeypatch, "1\n\n\n\n\nja\n", "--lang", "de")

    assert "Wie viele Ladepunkte hat die Station?" in said
    assert "Geschrieben" in said
    assert len(load(data.hardware).connectors) == 1


def test_a_port_in_use_and_a_board_set_wrongly_are_told(data: DataDirectory, bench: dict[str, Searched]):
    connect(bench, on_bus(Role.CONTROLLER, "phoenix_ev_cc", 1, trouble="register 4000 is 1 instead of 3"), METER)
    bench[USB] = Searched(port=USB, trouble=PortTrouble.BUSY, reason="[Errno 11]")

    said = run("write")

    assert "! register 4000 is 1 instead of 3" in said
    assert "systemctl stop station.target" in said
    assert load(data.hardware)


@pytest.mark.usefixtures("bench", "data")
def test_what_was_found_is_told_to_a_programme_as_json():
    listed = json.loads(run("find", "--json"))

    assert [each["entry"]["driver"] for each in listed] == [device.driver for device in EVERYTHING]


def test_the_present_description_is_judged(data: DataDirectory):
    data.create()
    data.hardware.write_text('{"connectors": [{"controller": {"driver": "phoenix"}}]}')
    with pytest.raises(CommandError, match=r"connectors\[0\].meter: every charging point needs a meter"):
        run("check")
    data.hardware.write_text(json.dumps({"connectors": [{"controller": BOARD.entry, "meter": METER.entry}]}))

    assert run("check") == "hardware.json is right: 1 charging point.\n"


def test_without_a_file_check_says_how_to_get_one(data: DataDirectory):
    with pytest.raises(CommandError, match="„hardware find“ sucht"):
        run("check", "--lang", "de")

    assert not data.hardware.exists()


@pytest.mark.usefixtures("bench")
def test_whoever_interrupts_the_search_reads_that_nothing_was_written(
    data: DataDirectory, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(_ports: Sequence[str], _extent: Extent) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(hardware, "search", interrupted)

    with pytest.raises(CommandError, match="Nothing was written"):
        run("find")

    assert not data.hardware.exists()


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("trouble", "english", "german"),
    [
        (PortTrouble.MISSING, "There is no such port", "Diese Schnittstelle gibt es nicht"),
        (PortTrouble.FORBIDDEN, "usermod -aG dialout", "usermod -aG dialout"),
        (PortTrouble.BUSY, "Another program uses it", "Ein anderes Programm benutzt sie"),
        (PortTrouble.UNUSABLE, "no serial port", "keine serielle Schnittstelle"),
        (PortTrouble.LOST, "has gone during the search", "während der Suche verschwunden"),
    ],
)
def test_the_trouble_of_a_port_is_told_in_words_and_never_as_a_number(
    bench: dict[str, Searched], trouble: PortTrouble, english: str, german: str
):
    connect(bench, READER)
    bench[BUS] = Searched(port=BUS, trouble=trouble, reason="[Errno 13] could not open port: Permission denied")

    for language, words in (("en", english), ("de", german)):
        said = run("find", "--lang", language)
        assert words in said
        assert "Errno" not in said
        assert ("systemctl stop" in said) == (trouble is PortTrouble.BUSY)


@pytest.mark.parametrize("flags", [["find"], ["find", "--json"], ["write"]])
@pytest.mark.parametrize("language", ["en", "de"])
def test_a_named_port_that_cannot_be_searched_is_a_failure_and_the_others_are_shown(
    data: DataDirectory, bench: dict[str, Searched], flags: list[str], language: str
):
    missing = "/dev/does-not-exist"
    bench[missing] = Searched(port=missing, trouble=PortTrouble.MISSING, reason="[Errno 2]")
    shown = io.StringIO()

    with pytest.raises(CommandError) as failed:
        call_command(
            "hardware",
            *flags,
            *("--port", BUS, "--port", OTHER, "--port", missing, "--lang", language),
            stdout=shown,
            stderr=io.StringIO(),
        )

    assert failed.value.returncode == 1
    words = {"en": "There is no such port", "de": "Diese Schnittstelle gibt es nicht"}
    assert f"{missing}: {words[language]}" in str(failed.value)
    assert "Errno" not in str(failed.value)
    assert ("phoenix_ev_cc" if "--json" in flags else "EV-CC-AC1-M3") in shown.getvalue()
    assert not data.hardware.exists()


@pytest.mark.usefixtures("data")
def test_a_search_that_nobody_let_begin_is_a_failure(bench: dict[str, Searched]):
    bench.clear()
    bench[BUS] = Searched(port=BUS, trouble=PortTrouble.FORBIDDEN)

    with pytest.raises(CommandError, match="usermod -aG dialout"):
        run("find")


@pytest.mark.usefixtures("bench")
@pytest.mark.parametrize(
    ("number", "english", "german"),
    [
        (errno.EACCES, "may not do that", "darf das nicht"),
        (errno.ENOSPC, "the disk is full", "Der Datenträger ist voll"),
        (errno.EROFS, "can only be read", "lässt sich nur lesen"),
    ],
)
def test_a_file_that_cannot_be_written_is_told_with_its_name(
    data: DataDirectory, monkeypatch: pytest.MonkeyPatch, number: int, english: str, german: str
):
    def refuse(path: Path, _content: bytes) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(private_files, "write", refuse)
    for language, words, beginning in (
        ("en", english, "was not written"),
        ("de", german, "wurde nicht geschrieben"),
    ):
        with pytest.raises(CommandError) as refused:
            run("write", "--lang", language)
        assert words in str(refused.value)
        assert beginning in str(refused.value)
        assert str(data.hardware) in str(refused.value)


def test_mistakes_of_the_description_are_told_in_german(data: DataDirectory):
    data.create()
    entries = {"controller": {**BOARD.entry, "baudrate": 1}, "meter": {"driver": "sdm"}, "colour": 1}
    data.hardware.write_text(json.dumps({"connectors": [entries]}))

    with pytest.raises(CommandError) as refused:
        run("check", "--lang", "de")

    assert refused.value.returncode == 65
    said = str(refused.value)
    assert "connectors[0].controller.baudrate: muss eines von" in said
    assert "connectors[0].meter.driver: Es gibt keinen Treiber 'sdm' für Zähler" in said
    assert "connectors[0].colour: ist hier nicht bekannt" in said


def test_a_description_that_cannot_be_read_is_told(data: DataDirectory):
    data.create()
    data.hardware.mkdir()
    with pytest.raises(CommandError, match="das ist ein Ordner"):
        run("check", "--lang", "de")
    data.hardware.rmdir()
    data.hardware.write_text('{"connectors": [')
    with pytest.raises(CommandError, match="kein JSON \\(Zeile 1, Spalte 17\\)"):
        run("check", "--lang", "de")


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "601", "soon"])
def test_a_time_of_listening_that_is_none_is_a_wrong_command_line(seconds: str) -> None:
    with pytest.raises(CommandError, match="no number of seconds from 0 to 600"):
        call_command("hardware", "find", f"--listen={seconds}")


def test_a_console_is_searched_for_no_device() -> None:
    # Every computer has it.
    [searched] = asyncio.run(search(["/dev/tty"], Extent(listens_s=0)))

    assert searched.trouble is PortTrouble.UNUSABLE
    assert not searched.found
