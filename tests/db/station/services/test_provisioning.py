"""A station takes its identity once."""

import json
import stat
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from station.paths import DataDirectory
from station.services import identity, provisioning
from station.services.provisioning import ProvisioningRefused

GOOD = {"serial": "100012345", "factoryPassword": "ZD5HM8RT3VNE"}


@pytest.fixture
def data(settings, tmp_path):
    settings.DATA = DataDirectory(tmp_path / "data")
    settings.DATA.create()
    return settings.DATA


def take(**entries):
    return provisioning.take(provisioning.parse(json.dumps(GOOD | entries)), check_hardware=lambda _content: None)


def test_a_fresh_station_takes_identity_and_hardware(data):
    assert take(connectors=1, hardware={"connectors": []})

    made = identity.load()
    assert (made.serial, made.connectors) == ("100012345", 1)
    assert made.accepts_first_password(GOOD["factoryPassword"])
    assert json.loads(data.hardware.read_text()) == {"connectors": []}
    assert stat.S_IMODE(data.identity.stat().st_mode) == 0o600
    assert GOOD["factoryPassword"] not in data.identity.read_text()


def test_the_same_once_more_changes_nothing(data):
    take()
    written = data.identity.read_bytes()

    assert not take(connectors=1)
    assert data.identity.read_bytes() == written


@pytest.mark.parametrize(
    ("entry", "why"),
    [({"serial": "2"}, "has the serial number 100012345 already"), ({"factoryPassword": "ANOTHER0NE"}, "keeps it")],
)
def test_a_station_keeps_its_identity(data, entry, why):
    take()

    with pytest.raises(ProvisioningRefused, match=why):
        take(**entry)
    assert identity.load().serial == "100012345"


def test_hardware_that_is_wrong_leaves_the_station_as_it_was(data, monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO(json.dumps(GOOD | {"hardware": {"nonsense": 1}})))

    with pytest.raises(CommandError, match="was not provisioned"):
        call_command("provision")
    assert not data.identity.exists()
    assert not data.hardware.exists()


@pytest.mark.usefixtures("data")
def test_the_console_asks_again_until_it_can_take_the_answers(monkeypatch):
    # The third serial number can be; then it wants a search, finds nothing it could write, and gives up.
    answers = iter(["1", "", "100012345", "yes", "no"])
    passwords = iter(["ZD5HM8RT3VNE", "different000", "ZD5HM8RT3VNE", "ZD5HM8RT3VNE", "ZD5HM8RT3VNE", "ZD5HM8RT3VNE"])
    monkeypatch.setattr("builtins.input", lambda _prompt: next(answers))
    monkeypatch.setattr("getpass.getpass", lambda _prompt: next(passwords))
    monkeypatch.setattr("station.management.commands.hardware.ports_here", list)
    said = StringIO()

    call_command("provision", "--console", stdout=said)

    assert identity.load().serial == "100012345"
    assert "has no serial port" in said.getvalue()
    assert "cannot charge" in said.getvalue()
    assert "not the same" in said.getvalue()
    assert "“serial” is missing" in said.getvalue()
    assert "ZD5HM8RT3VNE" not in said.getvalue()


def test_a_byte_order_mark_does_no_harm():
    assert provisioning.parse("\ufeff" + json.dumps(GOOD)).serial == GOOD["serial"]


def test_a_file_that_is_nested_without_end_is_no_json():
    with pytest.raises(ProvisioningRefused, match="no JSON"):
        provisioning.parse("[" * 200_000)


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
def test_answers_that_end_leave_the_station_as_it_was(data, monkeypatch, end):
    monkeypatch.setattr("builtins.input", _raises(end))

    with pytest.raises(CommandError, match="Begin again"):
        call_command("provision", "--console")

    assert not identity.load().serial


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
def test_who_ends_the_search_at_the_console_starts_the_station_without_it(data, monkeypatch, end):
    answers = iter([GOOD["serial"]])
    monkeypatch.setattr("builtins.input", lambda _question: next(answers, None) or _raises(end)())
    monkeypatch.setattr("getpass.getpass", lambda _question: GOOD["factoryPassword"])
    said = StringIO()

    call_command("provision", "--console", stdout=said)

    assert identity.load().serial == GOOD["serial"]
    assert "starts without hardware.json" in said.getvalue()


def _raises(problem):
    def ask(*_question):
        raise problem

    return ask
