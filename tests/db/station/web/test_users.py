"""Users: nothing takes effect before Save, an import is seen before it is done, a card can be tried."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from station import clock
from station.domain.commands import Origin
from station.domain.snapshot import SeenCardSnapshot
from station.models import AuditEntry
from station.services import configuration
from tests.db.station.web.conftest import AT, Parts
from whitelist.models import Card, Source

HEADER = "UID,GID,Expiry,Authorization\n"


def card(uid: str, **values: Any) -> Card:
    return Card.objects.create(uid=uid, key=uid.casefold(), changed_at=AT, **values)


def page(browser: Client, query: str = "", language: str = "en") -> str:
    browser.cookies["django_language"] = language
    answer = browser.get(f"/users{query}")
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", answer.content.decode().replace("\N{NO-BREAK SPACE}", " "))


def stage(browser: Client, action: str, **values: str) -> str:
    browser.cookies["django_language"] = "en"
    answer = browser.post(f"/users/stage/{action}", values, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def save(browser: Client) -> str:
    browser.cookies["django_language"] = "en"
    return browser.post("/users/save", follow=True).content.decode()


def upload(browser: Client, content: str | bytes, mode: str = "update", language: str = "en") -> str:
    browser.cookies["django_language"] = language
    data = content.encode() if isinstance(content, str) else content
    file = SimpleUploadedFile("cards.csv", data, "text/csv")
    return browser.post("/users/import", {"file": file, "mode": mode}, follow=True).content.decode()


def listed() -> dict[str, str]:
    return dict(Card.objects.present().values_list("uid", "authorization"))


def test_nothing_takes_effect_before_it_is_saved(browser: Client):
    card("AA")
    card("BB")
    card("CC", deleted_at=AT)

    stage(browser, "block", key="aa")
    stage(browser, "delete", key="bb")
    stage(browser, "restore", key="cc")
    shown = stage(browser, "add", uid="04:a2:b3:c4", group="fleet", expires="2030-01-31T13:00")

    assert "4 changes are not saved yet" in shown
    assert "04a2b3c4" in shown
    assert listed() == {"AA": "Accepted", "BB": "Accepted"}
    assert not AuditEntry.objects.filter(command="SaveWhitelist").exists()

    said = save(browser)

    assert "1 card added, 1 changed, 1 deleted, 1 restored." in said
    assert listed() == {"AA": "Blocked", "CC": "Accepted", "04a2b3c4": "Accepted"}
    # The station stands in Berlin: one hour before UTC.
    assert Card.objects.get(key="04a2b3c4").expires_at == datetime(2030, 1, 31, 12, tzinfo=UTC)
    assert AuditEntry.objects.get(command="SaveWhitelist").actor == "admin"


def test_reload_drops_what_is_not_saved_and_undo_only_one_card(browser: Client):
    card("AA")
    card("BB")
    stage(browser, "block", key="aa")
    stage(browser, "delete", key="bb")

    assert "1 change is not saved yet" in stage(browser, "undo", key="aa")
    browser.post("/users/reload")

    assert "not saved" not in page(browser)
    assert listed() == {"AA": "Accepted", "BB": "Accepted"}


def test_an_edit_and_its_opposite_leave_nothing_to_save(browser: Client):
    card("AA")

    stage(browser, "block", key="aa")

    assert "not saved" not in stage(browser, "accept", key="aa")


def test_a_draft_is_kept_from_page_to_page_and_belongs_to_one_person(browser: Client, stranger: Client):
    for index in range(25):
        card(f"{index:04}")

    stage(browser, "delete", key="0001", page="1")

    assert "Page 3 of 3" in page(browser, "?page=3")
    assert "1 change is not saved yet" in page(browser, "?page=3")
    assert 'data-change="deleted"' in page(browser, "?page=1")


def test_a_uid_is_changed_in_place(browser: Client):
    card("AA", group="fleet")
    assert 'name="uid" form="card-edit" value="AA"' in page(browser, "?edit=aa")

    stage(browser, "edit", key="aa", uid="AB", group="fleet", expires="", authorization="Accepted")
    save(browser)

    assert listed() == {"AB": "Accepted"}
    assert Card.objects.get().group == "fleet"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"uid": ""}, "A card number is needed."),
        ({"uid": "AA"}, "The card AA is already in the list."),
        ({"uid": "Ä"}, "may contain only letters"),
        ({"uid": "X" * 21}, "at most 20 are allowed"),
        ({"uid": "NEW", "expires": "soon"}, "is not an expiry like"),
        ({"uid": "NEW", "authorization": "Perhaps"}, "must be one of: accepted, blocked"),
        ({"uid": "NEW", "group": "G" * 300}, "at most 20 are allowed"),
    ],
)
def test_what_cannot_be_a_card_is_refused_at_once_and_stages_nothing(
    browser: Client, values: dict[str, str], said: str
):
    card("AA")

    shown = stage(browser, "add", **values)

    assert said in shown
    assert "not saved" not in shown


def test_what_has_become_impossible_meanwhile_is_marked_and_nothing_is_saved(browser: Client):
    card("AA")
    stage(browser, "add", uid="BB")
    stage(browser, "block", key="aa")
    card("BB", source=Source.BACKEND)

    said = save(browser)

    assert "Nothing was saved." in said
    assert "The card BB is already in the list." in said
    assert listed() == {"AA": "Accepted", "BB": "Accepted"}


def test_cards_beyond_the_limit_are_named(browser: Client):
    configuration.change({"LocalAuthListMaxLength": "1"}, origin=Origin.LOCAL, actor="test", at=AT)
    stage(browser, "add", uid="AA")
    stage(browser, "add", uid="BB")

    assert "The list is full." in save(browser)
    assert listed() == {}


def test_deleted_entries_are_hidden_until_asked_for(browser: Client):
    card("GONE", deleted_at=AT)

    assert "GONE" not in page(browser)
    assert "<s>GONE</s>" in page(browser, "?deleted=show")


def test_the_export_comes_back_byte_for_byte(browser: Client):
    card("AA", group="x;=1", expires_at=AT)
    exported = browser.get("/users/user-export.csv")
    assert exported["Content-Disposition"] == 'attachment; filename="user-export.csv"'

    preview = upload(browser, exported.content, "replace")

    assert "The list already says what the file says." in preview


def test_an_import_shows_what_it_would_change_and_does_it_only_then(browser: Client):
    card("AA")
    card("BB")

    shown = upload(browser, HEADER + "AA,,,blocked\nCC,,,accepted\n", "replace", "de")

    assert 'data-count="added">1<' in shown
    assert 'data-count="changed">1<' in shown
    assert 'data-count="deleted">1<' in shown
    assert 'data-count="processed">3<' in shown
    assert "Liste ersetzen" in shown
    assert listed() == {"AA": "Accepted", "BB": "Accepted"}

    done = browser.post("/users/import/confirm", follow=True).content.decode()

    assert "Verarbeitet: 3 · 1 Karte hinzugefügt, 1 geändert, 1 gelöscht." in done
    assert listed() == {"AA": "Blocked", "CC": "Accepted"}


def test_a_file_as_a_german_spreadsheet_program_writes_it_is_read(browser: Client):
    content = b"\xef\xbb\xbf" + b"UID;GID;Expiry;Authorization\r\nAA;;31.01.2030 12:00;accepted\r\n"

    assert 'data-count="added">1<' in upload(browser, content)


def test_all_mistakes_are_named_with_their_lines_and_nothing_changes(browser: Client):
    card("AA")

    shown = upload(browser, HEADER + "BB,,,perhaps\nCC,,soon,accepted\nDD,,,accepted\n", "replace", "de")

    assert "Zeile 2:" in shown
    assert "Zeile 3:" in shown
    assert "es hat sich nichts geändert" in shown
    assert listed() == {"AA": "Accepted"}
    # The refused file is not kept.
    assert 'id="upload"' in browser.get("/users/import").content.decode()


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"x" * 1_000_001, b"UID,GID\nAA,\n"])
def test_a_file_that_is_none_gets_a_message(browser: Client, content: bytes):
    assert 'id="problems"' in upload(browser, content)


def test_cards_that_differ_by_leading_zeros_are_asked_about(browser: Client):
    card("0004711")
    shown = upload(browser, HEADER + "4711,fleet,,accepted\n")
    assert "Line 2: 4711 is the listed card 0004711" in shown

    browser.post("/users/import/confirm", {"stripped": "2"})

    assert listed() == {"0004711": "Accepted"}
    assert Card.objects.get().group == "fleet"


def test_a_card_held_to_the_reader_can_be_added(browser: Client, parts: Parts):
    assert parts.hardware is not None
    seen = (
        SeenCardSnapshot(at=clock.now() - timedelta(seconds=7), id_tag="DEADBEEF"),
        SeenCardSnapshot(at=clock.now() - timedelta(minutes=3), id_tag="AA"),
    )
    parts.hardware = replace(parts.hardware, seen_cards=seen)
    card("aa")

    shown = page(browser)

    assert "DEADBEEF" in shown
    assert re.search(r"[78] seconds ago", shown)
    assert "in the list" in shown


def test_a_card_is_tried_with_and_without_the_backend(browser: Client):
    configuration.change({"/ocpp/url": "ws://127.0.0.1:1/"}, origin=Origin.LOCAL, actor="test", at=AT)
    card("AA", authorization="Blocked")

    shown = page(browser, "?try=aa")

    assert "the backend is asked" in shown
    assert "The card is blocked in the whitelist." in shown
    assert "darf laden" not in page(browser, "?try=aa", "de")
    assert "A card number is needed." not in page(browser, "?try=%20")


def test_a_thousand_cards_cost_no_query_each(browser: Client):
    Card.objects.bulk_create([Card(uid=f"{i:06}", key=f"{i:06}", changed_at=AT) for i in range(1000)])

    with CaptureQueriesContext(connection) as few:
        shown = page(browser, "?page=50&search=0")

    assert "Page 50 of" in shown
    assert len(few) < 25
