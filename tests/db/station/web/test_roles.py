"""The table of access: every address, every method, every role."""

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import CommandError, call_command
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, resolve

from station import clock
from station.domain.commands import Origin
from station.domain.roles import Role
from station.models import SecurityEvent
from station.services import accounts
from station.web import access, login_sessions, middleware
from station.web.middleware import SessionRules
from tests.db.station.web.conftest import AT, PASSWORD, Parts, charging, point, sign_in
from tests.db.station.web.test_access import every_address

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW")
OPEN_TO_ALL = {
    "login",
    "language",
    "recovery",
    "recovery-begin",
    "healthz",
    "security-txt",
    "phone",
    "interfaces-confirm",
    "admin:login",
}
# Pages ask for these by themselves with what stands in their form, and nothing changes.
PREVIEWS = {"branding-preview"}
OWN_AFFAIRS = {
    "logout",
    "profile",
    "profile-advanced",
    "profile-keep-password",
    "sign-in-end",
    "sign-ins-end-others",
    "admin:logout",
    "admin:password_change",
    "admin:password_change_done",
}


def names(patterns: Any = None, namespaces: tuple[str, ...] = ()) -> Iterator[str]:
    for entry in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(entry, URLResolver):
            inner = (*namespaces, entry.namespace) if entry.namespace else namespaces
            yield from names(entry.url_patterns, inner)
        elif isinstance(entry, URLPattern):
            yield ":".join([*namespaces, entry.name or entry.lookup_str])


def person(role: Role) -> User:
    user = User.objects.create(username=role.name.lower())
    user.set_password(PASSWORD)
    user.save()
    accounts.profile_of(user).note_password(at=AT, must_change=False)
    if role > Role.SIGNED_IN:
        accounts.give_role(user, role, origin=Origin.LOCAL, at=AT)
    return user


def browser_of(role: Role) -> Client:
    browser = Client(HTTP_HOST="localhost")
    if role is not Role.STRANGER:
        user = person(role)
        answer = browser.post("/login", {"username": user.username, "password": PASSWORD})
        assert answer.status_code == 302
    return browser


def test_every_address_stands_in_the_table_and_every_row_is_an_address():
    found = set(names())

    assert {name for name in found if access.row_of(name) is None} == set()
    assert {row.name for row in access.TABLE if not any(access.row_of(name) is row for name in found)} == set()
    assert len({row.name for row in access.TABLE}) == len(access.TABLE)


def test_only_the_listed_addresses_are_open_to_everybody_or_without_a_role():
    rows = {name: access.row_of(name) for name in names()}

    assert {name for name, row in rows.items() if Role.STRANGER in (row.get, row.post)} == OPEN_TO_ALL
    assert {name for name, row in rows.items() if Role.SIGNED_IN in (row.get, row.post)} == OWN_AFFAIRS
    for name, row in rows.items():
        if name not in OPEN_TO_ALL | OWN_AFFAIRS:
            assert row.get in (None, Role.VIEWER, Role.OPERATOR, Role.INSTALLER), name
            assert row.post in (None, Role.OPERATOR, Role.INSTALLER), name
            assert not row.before_password_change, name
        if name.startswith("admin:") and name not in OPEN_TO_ALL | OWN_AFFAIRS:
            assert {row.get, row.post} <= {None, Role.INSTALLER}, name
        if row.passive:
            assert row.post is None or name in PREVIEWS, name


@pytest.mark.django_db
@pytest.mark.parametrize("role", list(Role))
def test_the_table_holds_for_every_address_and_every_method(role: Role, monkeypatch: pytest.MonkeyPatch):
    # Thousands of refusals: how their pages look is seen below, at the real ones.
    monkeypatch.setattr(middleware, "render", lambda _request, _template, *_, status: HttpResponse(status=status))
    rules = SessionRules(lambda _request: HttpResponse())
    user = person(role) if role is not Role.STRANGER else AnonymousUser()
    session = SessionStore()
    session["started_at_s"] = session["seen_at_s"] = clock.now().timestamp()

    for _name, address in every_address():
        match = resolve(address)
        row = access.row_of(match.view_name)
        for method in METHODS:
            request: HttpRequest = RequestFactory(headers={"host": "localhost"}).generic(method, address)
            request.user, request.session, request.resolver_match = user, session, match
            answer = rules.process_view(request, match.func, match.args, match.kwargs)
            needed = row.needed(method)
            if needed is None:
                assert answer.status_code == 405, (method, address)
            elif role >= needed:
                assert answer is None, (method, address)
            elif role is Role.STRANGER:
                assert answer["Location"].startswith("/login"), (method, address)
            else:
                assert answer.status_code == 403, (method, address)


def own_pages() -> list[tuple[str, str, access.Row]]:
    """List the addresses of the station itself, and one table of the records."""
    found = []
    for name, address in every_address():
        if not address.startswith("/admin/") or "chargingsession" in address or name in {"index", "jsi18n"}:
            found.append((name, address, access.row_of(resolve(address).view_name)))
    return found


@pytest.mark.parametrize("role", [Role.SIGNED_IN, Role.VIEWER, Role.OPERATOR])
def test_a_role_that_is_too_low_is_refused_by_the_real_pages(db, door, parts: Parts, role: Role):
    browser = browser_of(role)

    for _, address, row in own_pages():
        for method in ("GET", "POST"):
            needed = row.needed(method)
            if needed is not None and needed > role:
                answer = browser.generic(method, address)
                assert answer.status_code == 403, (method, address)
                assert "This needs the role" in answer.content.decode()
    assert door.commands == []


def test_pages_open_for_the_role_they_ask_for(db, parts: Parts):
    for role in (Role.VIEWER, Role.OPERATOR, Role.INSTALLER):
        browser = browser_of(role)
        for name, address, row in own_pages():
            # Nobody adds a record by hand, and few may be deleted.
            if row.get is not None and row.get <= role and not name.endswith(("_add", "_delete")):
                answer = browser.get(address)
                # 503: healthz, when this walk took longer than the snapshot counts as live.
                assert answer.status_code in {200, 302, 404, 503}, (role, address)
                assert not answer.headers.get("Location", "").startswith("/login"), (role, address)


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "This needs the role “Operator”; you are signed in as “View only”."),
        ("de", "Dafür ist die Rolle „Betreiber“ nötig; Sie sind als „Nur Ansicht“ angemeldet."),
    ],
)
def test_a_refusal_names_the_role_that_is_needed(db, parts: Parts, language: str, said: str):
    answer = browser_of(Role.VIEWER).post("/connectors/1/stop", HTTP_ACCEPT_LANGUAGE=language)

    assert answer.status_code == 403
    assert said in answer.content.decode()


def test_an_address_without_a_row_is_closed_even_to_an_installer(
    browser: Client, parts: Parts, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(access, "_BY_NAME", {})

    assert browser.get("/").status_code == 403
    assert Client(HTTP_HOST="localhost").get("/login")["Location"].startswith("/login")


def test_a_wrong_method_is_explained_and_names_the_right_ones(browser: Client, parts: Parts):
    answer = browser.delete("/")

    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")
    assert "Nothing was done" in answer.content.decode() or "nothing was done" in answer.content.decode()


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.INSTALLER])
def test_a_forged_form_does_nothing_in_any_role(db, door, parts: Parts, role: Role):
    forger = Client(enforce_csrf_checks=True, HTTP_HOST="localhost")
    forger.cookies = browser_of(role).cookies

    for _, address, row in own_pages():
        if row.post is not None:
            assert forger.post(address, {"id_tag": "04A2B3C4"}).status_code in {400, 403}, address
    assert door.commands == []


def test_an_ended_session_opens_nothing_any_more(browser: Client, door, parts: Parts, monkeypatch: pytest.MonkeyPatch):
    later = clock.now() + timedelta(seconds=login_sessions.IDLE_S + 1)
    monkeypatch.setattr(clock, "now", lambda: later)

    for _, address, row in own_pages():
        for method in ("GET", "POST"):
            needed = row.needed(method)
            if needed is not None and needed > Role.STRANGER:
                answer = browser.generic(method, address)
                assert answer["Location"].startswith("/login"), (method, address)
    assert door.commands == []


def test_a_role_taken_away_holds_from_the_next_request_on(db, door, parts: Parts):
    browser = browser_of(Role.OPERATOR)
    assert browser.post("/connectors/1/stop").status_code == 302

    accounts.give_role(User.objects.get(username="operator"), Role.VIEWER, origin=Origin.LOCAL, at=AT)

    assert browser.post("/connectors/1/stop").status_code == 403
    assert len(door.commands) == 1
    assert SecurityEvent.objects.filter(type="LocalRoleChanged").count() == 2


def test_nobody_is_shown_what_they_may_not_use(db, parts: Parts):
    parts.show(charging(1), point(2, plugged=True))
    pages = {role: browser_of(role).get("/").content.decode() for role in (Role.VIEWER, Role.OPERATOR, Role.INSTALLER)}

    for button in ('data-action="stop"', 'data-action="unlock"', 'href="/system/reboot"', 'href="/sim"'):
        assert button not in pages[Role.VIEWER]
        assert button in pages[Role.OPERATOR]
    assert 'href="/admin/"' not in pages[Role.OPERATOR]
    assert 'href="/admin/"' in pages[Role.INSTALLER]


def test_the_user_of_the_sticker_is_an_installer(admin: User):
    assert accounts.role_of(admin) is Role.INSTALLER


def test_somebody_without_a_role_has_their_own_affairs_only(db, parts: Parts):
    browser = browser_of(Role.SIGNED_IN)

    assert browser.get("/").status_code == 403
    assert browser.get("/profile").status_code == 200


def test_the_command_line_makes_a_user_who_chooses_a_password_first(db, parts: Parts, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", StringIO("violet harbour spoon thirteen\n"))
    call_command("user", "anna", "operator", stdout=StringIO())
    browser = Client(HTTP_HOST="localhost")
    browser.post("/login", {"username": "anna", "password": "violet harbour spoon thirteen"})

    assert browser.get("/").headers["Location"] == "/profile"
    call_command("user", "anna", "viewer", stdout=StringIO())
    assert accounts.role_of(User.objects.get(username="anna")) is Role.VIEWER


def test_the_command_line_refuses_a_weak_password_and_another_role_for_the_admin(
    admin: User, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.stdin", StringIO("short\n"))

    with pytest.raises(CommandError, match="12 characters"):
        call_command("user", "anna", "operator", stdout=StringIO())
    with pytest.raises(CommandError, match="always an installer"):
        call_command("user", "admin", "viewer", stdout=StringIO())
    assert not User.objects.filter(username="anna").exists()
    assert sign_in(Client(HTTP_HOST="localhost")) == 302
