"""Django's admin: everything to see, nothing to spoil."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model
from django.test import Client

from station.models import (
    AuditEntry,
    ChargingProfileRow,
    ChargingSession,
    ConfigurationValue,
    LogEntry,
    OutboxMessage,
    SignInDelay,
)
from station.web import admin as station_admin
from tests.db.station.web.conftest import AT


@pytest.fixture
def rows(db) -> None:
    session = ChargingSession.objects.create(
        connector_id=1, id_tag="04A2", started_at=AT, meter_start_wh=0, meter_last_wh=10, meter_last_at=AT
    )
    OutboxMessage.objects.create(message_id="m", kind="session_began", fact={}, session=session, at=AT)
    ConfigurationValue.objects.create(key="AuthorizationKey", value="canary-key", changed_at=AT)
    SignInDelay.objects.create(account="admin", address="203.0.113.7", failures=9, failed_at=AT)


@pytest.mark.parametrize("model", list(station_admin.site._registry))
def test_every_table_can_be_looked_at(browser: Client, rows: None, parts, model):
    address = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"

    assert browser.get(address).status_code == 200
    assert browser.get(f"{address}add/").status_code == 403
    for row in model._default_manager.all()[:1]:
        assert browser.get(f"{address}{row.pk}/change/").status_code == 200
        assert browser.post(f"{address}{row.pk}/change/", {"x": "1"}).status_code == 403


def test_a_damaged_charging_profile_does_not_hide_the_others(browser: Client, rows: None):
    row = ChargingProfileRow.objects.create(
        connector_id=1, profile_id=4, purpose="TxDefaultProfile", stack_level=0, profile={}, installed_at=AT
    )
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA ignore_check_constraints = ON")
        cursor.execute("UPDATE station_chargingprofilerow SET profile = '{' WHERE id = %s", [row.pk])
        cursor.execute("PRAGMA ignore_check_constraints = OFF")

    assert browser.get("/admin/station/chargingprofilerow/").status_code == 200


def test_a_record_cannot_be_deleted_but_a_delay_can_be_lifted(browser: Client, rows: None):
    session, delay = ChargingSession.objects.get(), SignInDelay.objects.get(account="admin", address="203.0.113.7")

    assert browser.post(f"/admin/station/chargingsession/{session.pk}/delete/", {"post": "yes"}).status_code == 403
    assert browser.post(f"/admin/station/signindelay/{delay.pk}/delete/", {"post": "yes"}).status_code == 302
    assert LogEntry.objects.get(code="sign_in.delay_lifted").data["actor"] == "admin"


def test_no_secret_is_shown(browser: Client, rows: None, admin):
    pages = [
        browser.get(address).content.decode()
        for address in (
            "/admin/station/configurationvalue/",
            "/admin/station/configurationvalue/AuthorizationKey/change/",
            f"/admin/auth/user/{admin.pk}/change/",
        )
    ]

    assert not any("canary" in page or "argon2" in page for page in pages)


def paths(model: type[Model], *, depth: int = 2) -> Iterator[str]:
    """List every column a query can reach from a table, over its relations."""
    for field in model._meta.get_fields():
        yield field.name
        if depth and field.related_model:
            yield from (f"{field.name}__{inner}" for inner in paths(field.related_model, depth=depth - 1))


@pytest.mark.parametrize(
    ("address", "question"),
    [
        ("station/configurationvalue", {"key": "AuthorizationKey", "value__regex": "^c"}),
        ("station/configurationvalue", {"value__startswith": "c"}),
        ("auth/user", {"password__startswith": "argon2"}),
        ("station/userprofile", {"user__password__startswith": "argon2"}),
        ("station/filejob", {"request__icontains": "sftp"}),
        ("station/backendstate", {"boot_content__icontains": "1"}),
    ],
)
def test_what_is_hidden_cannot_be_found_out_letter_by_letter(
    browser: Client, rows: None, parts, address: str, question: dict[str, str]
):
    answer = browser.get(f"/admin/{address}/", question)

    assert answer.status_code == 400
    assert "The request was refused" in answer.content.decode()


@pytest.mark.parametrize("model", list(station_admin.site._registry))
def test_only_what_the_filters_offer_can_be_asked(browser: Client, rows: None, parts, model):
    rows_of = station_admin.site._registry[model]
    offered = set(rows_of.list_filter)
    comparisons = ("contains", "startswith", "regex", "in", "gt", "range")

    assert isinstance(rows_of, station_admin.ReadOnlyAdmin)
    for path in paths(model):
        for question in (path, *(f"{path}__{comparison}" for comparison in comparisons)):
            assert rows_of.lookup_allowed(question, "a") == (question in offered), question


@pytest.mark.parametrize("model", list(station_admin.site._registry))
def test_nothing_secret_is_shown_sorted_by_or_searched(browser: Client, rows: None, model):
    secrets = {"value", "password", "request", "data", "boot_content", "memory", "key_file", "pem", "session_data"}
    # What the event log and the audit tell of is made to be read.
    readable = {("logentry", "data"), ("auditentry", "data")}
    rows_of = station_admin.site._registry[model]
    used = {*rows_of.list_display, *rows_of.search_fields, *rows_of.list_filter, *rows_of.ordering}

    assert {(model._meta.model_name, name) for name in used & secrets} <= readable


@pytest.mark.parametrize(
    "address",
    [
        "/admin/auth/user/?_to_field=password&_popup=1",
        "/admin/auth/user/argon2/change/?_to_field=password",
        "/admin/autocomplete/?term=a&app_label=station&model_name=userprofile&field_name=user",
    ],
)
def test_no_other_door_of_the_admin_looks_into_a_column(browser: Client, rows: None, parts, address: str):
    assert browser.get(address).status_code in {302, 400, 404}


def test_the_filters_of_a_list_go_on_working(browser: Client, rows: None, parts):
    address = "/admin/station/chargingsession/"

    for question in (
        {"connector_id": "1"},
        {"origin": "reader"},
        {"started_at__gte": "2026-01-01 00:00:00+00:00", "started_at__lt": "2027-01-01 00:00:00+00:00"},
        {"q": "04A2"},
        {"o": "-2"},
    ):
        assert browser.get(address, question).status_code == 200, question
    assert browser.get("/admin/station/securityevent/", {"critical__exact": "1"}).status_code == 200


@pytest.mark.django_db
def test_the_admin_has_no_login_of_its_own(stranger: Client):
    assert stranger.get("/admin/login/").headers["Location"].startswith("/login")
    assert stranger.post("/admin/login/", {"username": "admin", "password": "x"}).headers["Location"] == "/login"


def test_what_was_set_aside_is_sent_again_with_its_session_and_audited(browser: Client, rows: None, parts):
    session = ChargingSession.objects.get()
    end = OutboxMessage.objects.create(message_id="n", kind="session_ended", fact={}, session=session, at=AT)
    OutboxMessage.objects.update(status="set_aside", refusals=3, last_error="CALLERROR FormationViolation")
    healthy = browser.get("/healthz").json()
    chosen: dict[str, Any] = {"action": "send_again", "_selected_action": [end.pk]}

    assert [each["code"] for each in healthy["details"]] == ["messages_set_aside"]
    browser.get("/admin/station/outboxmessage/", chosen)
    assert OutboxMessage.objects.filter(status="set_aside").count() == 2
    assert browser.post("/admin/station/outboxmessage/", chosen).status_code == 302
    assert OutboxMessage.objects.filter(status="pending").count() == 2
    audited = AuditEntry.objects.get(command="SendMessagesAgain")
    assert (audited.origin, audited.actor, audited.data) == ("web", "admin", {"messages": 2, "ids": [end.pk]})
    assert "details" not in browser.get("/healthz").json()


def test_sending_again_needs_a_token_of_the_page(admin, rows: None):
    careful = Client(HTTP_HOST="localhost", enforce_csrf_checks=True)
    careful.force_login(admin)
    answer = careful.post("/admin/station/outboxmessage/", {"action": "send_again", "_selected_action": [1]})

    assert answer.status_code == 403


def test_why_the_backend_was_refused_stands_there_in_words(browser):
    AuditEntry.objects.create(
        at=AT, origin="backend", command="ChangeConfiguration", outcome="rejected", reason="above_ceiling"
    )

    assert (
        "Das Backend kann nur unter das gehen, was an der Station eingestellt wurde"
        in browser.get("/admin/station/auditentry/", headers={"accept-language": "de"}).content.decode()
    )
