"""A station takes its identity once."""

import json
import stat
from datetime import UTC, datetime
from io import BytesIO, StringIO, TextIOWrapper
from threading import Thread

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import RequestFactory
from django.urls import resolve
from django.utils import translation

from station import clock, private_files, secret_key
from station.host import factory_file
from station.models import LogEntry, UserProfile
from station.paths import DataDirectory
from station.processes import preparation
from station.processes.plan import Address, Plan
from station.services import identity, provisioning
from station.services.provisioning import Mistake, ProvisioningRefused, Taken
from station.ui import event_words
from station.web.context import navigation
from station.web.pages import health

GOOD = {"serial": "100012345", "factoryPassword": "ZD5HM8RT3VNE"}


@pytest.fixture
def data(settings, tmp_path):
    settings.DATA = DataDirectory(tmp_path / "data")
    settings.DATA.create()
    return settings.DATA


def take(**entries):
    return provisioning.take(provisioning.parse(json.dumps(GOOD | entries)), check_hardware=lambda _content: None)


def test_a_fresh_station_takes_identity_and_hardware(data):
    assert take(connectors=1, hardware={"connectors": []}) == Taken(identity=True, hardware=True)

    made = identity.load()
    assert (made.serial, made.connectors) == ("100012345", 1)
    assert made.accepts_first_password(GOOD["factoryPassword"])
    assert json.loads(data.hardware.read_text()) == {"connectors": []}
    assert stat.S_IMODE(data.identity.stat().st_mode) == 0o600
    assert GOOD["factoryPassword"] not in data.identity.read_text()


def test_the_same_once_more_changes_nothing(data):
    take()
    written = data.identity.read_bytes()

    assert take(connectors=1) == Taken()
    assert data.identity.read_bytes() == written


def test_a_station_takes_the_description_of_its_hardware_later_and_keeps_the_former_one(data):
    take()
    written = data.identity.read_bytes()

    assert take(connectors=1, hardware={"connectors": []}) == Taken(hardware=True)
    assert json.loads(data.hardware.read_text()) == {"connectors": []}

    former = data.hardware.read_bytes()
    kept = data.hardware.with_name("hardware.json.old")
    assert take(hardware={"connectors": [], "readers": []}) == Taken(hardware=True, former_hardware=kept)
    assert json.loads(data.hardware.read_text()) == {"connectors": [], "readers": []}
    assert stat.S_IMODE(data.hardware.stat().st_mode) == 0o600
    assert kept.read_bytes() == former
    assert data.identity.read_bytes() == written


def test_the_same_description_once_more_leaves_the_former_one(data):
    take(hardware={"connectors": [], "readers": []})
    take(hardware={"readers": []})
    by_hand = '{"readers":[]}'
    data.hardware.write_text(by_hand)

    assert take(hardware={"readers": []}) == Taken()
    assert data.hardware.read_text() == by_hand
    assert json.loads(data.hardware.with_name("hardware.json.old").read_text()) == {"connectors": [], "readers": []}


@pytest.mark.parametrize("present", ["", "[[", "\ud800", "[" * 200_000, '{"phases": true}'])
def test_what_is_no_description_is_replaced_and_kept(data, present):
    take()
    data.hardware.write_bytes(present.encode(errors="surrogatepass"))

    assert take(hardware={"phases": 1}).hardware
    assert json.loads(data.hardware.read_text()) == {"phases": 1}
    kept = data.hardware.with_name("hardware.json.old")
    assert kept.read_bytes() == present.encode(errors="surrogatepass")


def test_power_lost_before_the_description_is_written_costs_nothing(data, monkeypatch):
    take(hardware={"connectors": []})
    former = data.hardware.read_bytes()
    write = private_files.write

    def lost(path, content):
        if path == data.hardware:
            raise OSError(5, "Input/output error")
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(private_files, "write", lost)
        with pytest.raises(OSError, match="Input/output"):
            take(hardware={"readers": []})
    assert data.hardware.read_bytes() == former

    assert take(hardware={"readers": []}).hardware
    assert data.hardware.with_name("hardware.json.old").read_bytes() == former


@pytest.mark.parametrize("entry", [{"serial": "2"}, {"factoryPassword": "ANOTHER0NE"}])
def test_a_description_for_another_station_is_refused(data, entry):
    take(hardware={"connectors": []})

    with pytest.raises(ProvisioningRefused, match="other_"):
        take(hardware={"readers": []}, **entry)
    assert json.loads(data.hardware.read_text()) == {"connectors": []}
    assert not data.hardware.with_name("hardware.json.old").exists()


@pytest.mark.parametrize(
    ("language", "said", "kept"),
    [
        ("en", "the description of its hardware was taken", "The earlier description is kept"),
        ("de", "die Beschreibung ihrer Hardware wurde übernommen", "Die frühere Beschreibung"),
    ],
)
def test_the_command_says_that_it_has_taken_a_description_and_refuses_a_wrong_one(
    data, monkeypatch, language, said, kept
):
    take()
    former = '{"connectors": []}'
    data.hardware.write_text(former)
    heard = StringIO()

    refusal = given_at_the_start(monkeypatch, GOOD | {"hardware": {"nonsense": 1}}, "--lang", language)
    assert refusal.returncode == 65
    assert "hardware" in str(refusal)
    assert "nonsense" in str(refusal)
    assert {mistake.code for mistake in provisioning.refused_at_this_start()} == {"hardware"}
    assert data.hardware.read_text() == former
    assert not data.hardware.with_name("hardware.json.old").exists()

    monkeypatch.setattr("station.management.commands.provision.parse", lambda _content: None)
    monkeypatch.setattr("sys.stdin", StringIO(json.dumps(GOOD | {"hardware": {"readers": []}})))
    call_command("provision", "--at-start", "--lang", language, stdout=heard)
    assert said in heard.getvalue()
    assert kept in heard.getvalue()
    assert str(data.hardware.with_name("hardware.json.old")) in heard.getvalue()
    assert GOOD["factoryPassword"] not in heard.getvalue()


@pytest.mark.parametrize(
    ("entry", "why"),
    [({"serial": "2"}, "other_serial"), ({"factoryPassword": "ANOTHER0NE"}, "other_password")],
)
def test_a_station_keeps_its_identity(data, entry, why):
    take()

    with pytest.raises(ProvisioningRefused, match=why):
        take(**entry)
    assert identity.load().serial == "100012345"


@pytest.mark.usefixtures("data")
def test_a_weak_password_is_given_to_no_new_station_and_a_delivered_one_keeps_it():
    with pytest.raises(ProvisioningRefused, match="value"):
        take(factoryPassword="12345678")
    assert not identity.load().serial

    identity.save(
        identity.with_values(
            identity.Identity(), {"/identity/serial": GOOD["serial"], "/identity/factoryPassword": "12345678"}
        )
    )
    assert take(factoryPassword="12345678") == Taken()


class Beside(Thread):
    """Somebody who gives another identity meanwhile; `said` holds what came of it."""

    def __init__(self):
        super().__init__()
        self.said = []

    def run(self):
        try:
            self.said.append(take(serial="200054321"))
        except ProvisioningRefused as refusal:
            self.said.append(str(refusal))

    def begin(self, *_content):
        self.start()
        # Without the lock it is through long before.
        self.join(timeout=0.5)


@pytest.mark.usefixtures("data")
def test_of_two_files_at_once_one_wins_and_the_other_is_refused():
    other = Beside()

    given = provisioning.parse(json.dumps(GOOD | {"hardware": {}}))
    assert provisioning.take(given, check_hardware=other.begin).identity

    other.join()
    assert other.said == ["other_serial"]
    assert identity.load().serial == GOOD["serial"]


def test_a_file_beside_the_first_start_is_refused_as_any_other(data, monkeypatch):
    other = Beside()
    write = private_files.write

    def with_somebody_beside(path, content):
        if path == data.factory_password:
            other.begin()
        write(path, content)

    monkeypatch.setattr(private_files, "write", with_somebody_beside)
    identity.ensure(at=datetime(2026, 11, 22, tzinfo=UTC))

    other.join()
    made = identity.load()
    assert other.said == ["other_serial"]
    assert made.accepts_first_password(data.factory_password.read_text().strip())


def test_hardware_that_is_wrong_leaves_the_station_as_it_was(data, monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO(json.dumps(GOOD | {"hardware": {"nonsense": 1}})))

    with pytest.raises(CommandError, match="was not provisioned"):
        call_command("provision")
    assert not data.identity.exists()
    assert not data.hardware.exists()


def test_hardware_that_is_null_is_no_description(data, monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO(json.dumps(GOOD | {"hardware": None})))

    with pytest.raises(CommandError, match="“hardware” cannot be used"):
        call_command("provision")
    assert not data.identity.exists()


@pytest.mark.parametrize("closed", [None, StringIO()])
def test_a_console_without_a_terminal_is_refused_before_anything_is_asked(data, monkeypatch, closed):
    monkeypatch.setattr("sys.stdin", closed)

    with pytest.raises(CommandError, match="Nobody is at a terminal"):
        call_command("provision", "--console")
    assert not data.identity.exists()


@pytest.mark.usefixtures("data")
def test_a_closed_standard_input_is_told(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)

    with pytest.raises(CommandError, match="Standard input is closed"):
        call_command("provision")


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr("station.management.commands.provision._is_at_a_terminal", lambda: True)


@pytest.mark.usefixtures("data", "terminal")
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


@pytest.mark.usefixtures("data", "terminal")
@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize(
    ("answers", "searches"),
    [
        (["y", "N"], 1),
        (["Yes", "no"], 1),
        ([" ja ", "Nein"], 1),
        (["J", "n"], 1),
        (["", "NO"], 1),
        (["maybe", "yep", "YES", "nope", "nein"], 1),
        (["what?", "n"], 0),
    ],
)
def test_the_console_takes_yes_and_no_as_people_write_them_and_asks_again_for_anything_else(
    monkeypatch, language, answers, searches
):
    given = iter([GOOD["serial"], *answers])
    monkeypatch.setattr("builtins.input", lambda _question: next(given))
    monkeypatch.setattr("getpass.getpass", lambda _question: GOOD["factoryPassword"])
    called = []
    monkeypatch.setattr(
        "station.management.commands.provision.call_command", lambda *name, **_options: called.append(name)
    )
    said = StringIO()

    call_command("provision", "--console", "--lang", language, stdout=said)

    assert called == [("hardware", "find")] * searches
    assert not list(given)
    unclear = {"maybe", "yep", "nope", "what?"} & set(answers)
    allowed = "yes, no" if language == "en" else "ja, nein"
    assert said.getvalue().count(allowed) == len(unclear)


def test_a_byte_order_mark_does_no_harm():
    assert provisioning.parse("\ufeff" + json.dumps(GOOD)).serial == GOOD["serial"]


def test_a_file_that_is_nested_without_end_is_no_json():
    with pytest.raises(ProvisioningRefused, match="not_json"):
        provisioning.parse("[" * 200_000)


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
def test_answers_that_end_leave_the_station_as_it_was(data, monkeypatch, end):
    monkeypatch.setattr("builtins.input", _raises(end))

    with pytest.raises(CommandError, match="Begin again"):
        call_command("provision", "--console")

    assert not identity.load().serial


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
def test_who_ends_the_search_at_the_console_starts_the_station_without_it(data, monkeypatch, end):
    answers = iter([GOOD["serial"]])
    monkeypatch.setattr("builtins.input", lambda _question: next(answers, None) or _raises(end)())
    monkeypatch.setattr("getpass.getpass", lambda _question: GOOD["factoryPassword"])
    said = StringIO()

    call_command("provision", "--console", stdout=said)

    assert identity.load().serial == GOOD["serial"]
    assert "starts without hardware.json" in said.getvalue()


def given_at_the_start(monkeypatch, content, *arguments):
    """Give the factory's file as station-provision-file.service does."""
    monkeypatch.setattr("sys.stdin", StringIO(json.dumps(content)))
    with pytest.raises(CommandError) as refused:
        call_command("provision", "--at-start", *arguments)
    return refused.value


def test_a_file_refused_at_the_start_is_told_without_what_stood_in_it(data, monkeypatch):
    refusal = given_at_the_start(monkeypatch, GOOD | {"serial": "10 00/12345"})

    assert refusal.returncode == 65
    assert "for instance 100012345" in str(refusal)
    kept = data.provisioning_refused.read_text()
    assert GOOD["factoryPassword"] not in kept
    assert "10 00" not in kept
    assert stat.S_IMODE(data.provisioning_refused.stat().st_mode) == 0o600


@pytest.mark.parametrize(("language", "said"), [("en", "It is a folder"), ("de", "Das ist ein Ordner")])
def test_a_folder_in_the_place_of_the_file_is_refused_in_words(data, monkeypatch, language, said):
    refusal = given_at_the_start(monkeypatch, {}, "--folder", "--lang", language)

    assert refusal.returncode == 65
    assert said in str(refusal)
    assert "mcopy -i" in str(refusal)
    assert provisioning.refused_at_this_start() == (Mistake(code="folder"),)
    assert not data.identity.exists()


@pytest.mark.usefixtures("data")
def test_the_command_refuses_in_german(monkeypatch):
    refusal = given_at_the_start(monkeypatch, GOOD | {"model": "Säule"}, "--lang", "de")

    assert "Die Station hat nichts übernommen" in str(refusal)
    assert "Umlaute" in str(refusal)


def test_what_is_not_utf8_is_refused_as_a_file_and_what_the_disk_refuses_is_not(data, monkeypatch):
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"\xfc"), encoding="utf-8"))
    with pytest.raises(CommandError, match="UTF-8") as refused:
        call_command("provision", "--at-start")
    assert refused.value.returncode == 65

    # A file that could not be taken because the disk is full has to stay for the next start.
    monkeypatch.setattr("sys.stdin", StringIO(json.dumps(GOOD)))
    monkeypatch.setattr("station.private_files.write", _raises(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        call_command("provision", "--at-start")
    assert not data.identity.exists()


@pytest.mark.django_db
def test_the_event_log_and_the_page_tell_it_until_the_computer_starts_again(data, settings, monkeypatch, client):
    settings.STATIC_ROOT = data.run / "static"
    given_at_the_start(monkeypatch, GOOD | {"serial": "10 00/12345"})
    secret_key.obtain(data.secret_key)
    plan = Plan(data=data.root, http=Address("127.0.0.1", 1), https=None)

    preparation.prepare(plan, at=datetime(2026, 11, 22, tzinfo=UTC))

    entry = LogEntry.objects.get(code="station.provisioning.refused")
    said = event_words.event(entry.code, entry.data)
    assert "station-provision.json was refused" in said
    assert "for instance 100012345" in said
    (detail,) = (
        each
        for each in client.get("/healthz", headers={"host": "127.0.0.1"}).json()["details"]
        if each["code"] == "provisioning_refused"
    )
    assert detail["text"] == said
    assert detail["mistakes"] == ["value"]

    monkeypatch.setattr(clock, "boot_id", lambda: "the next run of the computer")
    preparation.prepare(plan, at=datetime(2026, 11, 23, tzinfo=UTC))

    entry.refresh_from_db()
    assert entry.cleared_at is not None
    assert not data.provisioning_refused.exists()
    assert "provisioning_refused" not in client.get("/healthz", headers={"host": "127.0.0.1"}).content.decode()


@pytest.mark.django_db
def test_a_file_that_cannot_be_removed_is_told_as_long_as_it_is_there(data, settings, monkeypatch, client):
    settings.STATIC_ROOT = data.run / "static"
    left = data.notes_of_the_computer / factory_file.NOTE
    left.touch()
    secret_key.obtain(data.secret_key)
    plan = Plan(data=data.root, http=Address("127.0.0.1", 1), https=None)

    for day in (22, 23):
        preparation.prepare(plan, at=datetime(2026, 11, day, tzinfo=UTC))

    entry = LogEntry.objects.get(code="station.provisioning.left")
    said = event_words.event(entry.code, entry.data)
    assert "its password can be read from the disk" in said
    (detail,) = (
        each
        for each in client.get("/healthz", headers={"host": "127.0.0.1"}).json()["details"]
        if each["code"] == "provisioning_left"
    )
    assert detail["text"] == said

    left.unlink()
    preparation.prepare(plan, at=datetime(2026, 11, 24, tzinfo=UTC))

    entry.refresh_from_db()
    assert entry.cleared_at is not None
    assert "provisioning_left" not in client.get("/healthz", headers={"host": "127.0.0.1"}).content.decode()


@pytest.mark.django_db
def test_a_refused_file_that_cannot_be_removed_is_nowhere_told_as_overwritten(data, settings, monkeypatch):
    settings.STATIC_ROOT = data.run / "static"
    left = data.notes_of_the_computer / factory_file.NOTE
    left.touch()
    given_at_the_start(monkeypatch, GOOD | {"serial": "10 00/12345"})
    secret_key.obtain(data.secret_key)
    plan = Plan(data=data.root, http=Address("127.0.0.1", 1), https=None)

    def told(language):
        """Return what the page, the event and healthz say of the refusal."""
        entry = LogEntry.objects.get(code="station.provisioning.refused", cleared_at=None)
        with translation.override(language):
            request = RequestFactory().get("/profile")
            request.user, request.resolver_match = User.objects.get(username="admin"), resolve("/profile")
            [page] = (each for each in navigation(request)["station_notices"] if "station-provision.json" in each)
            (detail,) = (
                each["text"] for each in health._details()["details"] if each["code"] == "provisioning_refused"
            )
            return page, event_words.event(entry.code, entry.data), detail

    preparation.prepare(plan, at=datetime(2026, 11, 22, tzinfo=UTC))
    UserProfile.objects.update(must_change_password=False)
    for said in told("en"):
        assert "overwritten" not in said
        assert "was refused" in said
        assert "for instance 100012345" in said
        assert "its password can be read from the disk" in said
    for said in told("de"):
        assert "überschrieben" not in said
        assert "abgelehnt" in said
        assert "Passwort ist also von der Platte zu lesen" in said

    # Refused once more at the next start, and removed.
    left.unlink()
    preparation.prepare(plan, at=datetime(2026, 11, 23, tzinfo=UTC))
    preparation.prepare(plan, at=datetime(2026, 11, 24, tzinfo=UTC))

    assert all("and overwritten" in said for said in told("en"))
    first, second = LogEntry.objects.filter(code="station.provisioning.refused").order_by("id")
    assert (first.cleared_at, second.cleared_at) == (datetime(2026, 11, 23, tzinfo=UTC), None)


@pytest.mark.usefixtures("data")
def test_a_spoilt_note_of_a_refusal_says_nothing(data):
    provisioning.note_refusal([Mistake(code="not_json")])
    assert provisioning.refused_at_this_start() == (Mistake(code="not_json"),)

    for content in ("", "[]", "{}", '{"boot": 1}'):
        data.provisioning_refused.write_text(content)
        assert provisioning.refused_at_this_start() == ()


def test_a_station_keeps_a_serial_number_of_earlier_rules(data):
    data.identity.write_text(json.dumps({"serial": "10 00_12345"}))

    assert identity.load().serial == "10 00_12345"


def _raises(problem):
    def ask(*_question):
        raise problem

    return ask
