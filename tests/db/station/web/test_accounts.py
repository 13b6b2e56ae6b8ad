"""User management – Accounts: people, their roles and passwords, and who is signed in where."""

from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.test import Client

from station.domain.roles import Role
from station.models import AuditEntry
from station.services import accounts
from tests.db.station.web.conftest import PASSWORD, Parts, sign_in
from tests.db.station.web.test_roles import browser_of, person

PAGE = "/users/accounts"
ONE_TIME = "violet harbour spoon thirteen"


def add(browser: Client, name: str = "anna", role: str = "operator", password: str = ONE_TIME):
    return browser.post(PAGE, {"name": name, "role": role, "password": password})


def of(name: str) -> User:
    return User.objects.get(username=name)


def act(browser: Client, verb: str, name: str, **fields: str):
    return browser.post(f"{PAGE}/{of(name).pk}/{verb}", fields)


def log_in(name: str, password: str = PASSWORD) -> Client:
    person_there = Client(HTTP_HOST="localhost", HTTP_USER_AGENT="Mozilla/5.0 (Windows NT 10.0) Firefox/145.0")
    person_there.post("/login", {"username": name, "password": password})
    return person_there


def is_in(browser: Client) -> bool:
    return browser.get("/profile").status_code == 200


def test_somebody_new_chooses_a_password_first_and_then_has_the_role(browser: Client, parts: Parts):
    assert add(browser).status_code == 302
    anna = log_in("anna", ONE_TIME)

    assert anna.get("/")["Location"] == "/profile"
    anna.post("/profile", {"old": ONE_TIME, "new": PASSWORD, "repeat": PASSWORD})
    assert anna.get("/").status_code == 200
    assert accounts.role_of(of("anna")) is Role.OPERATOR
    assert "anna" in browser.get(PAGE).content.decode()


@pytest.mark.parametrize(
    ("name", "password", "said"),
    [
        ("anna", "short", "at least 12 characters"),
        ("an na", ONE_TIME, "Enter a valid username"),
        ("ADMIN", ONE_TIME, "There is an account of this name already."),
        ("", ONE_TIME, "This field is required."),
    ],
)
def test_what_cannot_be_is_said_beside_its_field_and_the_rest_stays(
    browser: Client, parts: Parts, name: str, password: str, said: str
):
    answer = add(browser, name, password=password)
    page = answer.content.decode()

    assert answer.status_code == 422
    assert said in page
    assert f'value="{name}"' in page or not name
    assert list(User.objects.values_list("username", flat=True)) == ["admin"]


def test_a_role_a_lock_and_a_deletion_hold_at_once(browser: Client, parts: Parts):
    person(Role.OPERATOR)
    operator = log_in("operator")
    assert operator.get("/users").status_code == 200

    act(browser, "role", "operator", role="viewer")
    assert operator.get("/users").status_code == 403
    act(browser, "lock", "operator", locked="true")
    assert not is_in(operator)
    assert not is_in(log_in("operator"))
    act(browser, "lock", "operator", locked="false")
    assert is_in(log_in("operator"))
    act(browser, "delete", "operator")
    assert User.objects.filter(username="operator").exists()
    act(browser, "delete", "operator", sure="true")
    assert not User.objects.filter(username="operator").exists()

    told = list(AuditEntry.objects.order_by("id").values_list("command", "actor", "data"))
    assert told == [
        ("GiveRole", "admin", {"account": "operator", "role": "viewer", "before": "operator"}),
        ("LockAccount", "admin", {"account": "operator"}),
        ("UnlockAccount", "admin", {"account": "operator"}),
        ("DeleteAccount", "admin", {"account": "operator"}),
    ]


def test_a_one_time_password_ends_the_sessions_and_has_to_be_changed(browser: Client, parts: Parts):
    person(Role.OPERATOR)
    operator = log_in("operator")

    assert act(browser, "password", "operator", password="short").status_code == 422
    assert is_in(operator)
    act(browser, "password", "operator", password=ONE_TIME)

    assert not is_in(operator)
    assert log_in("operator", ONE_TIME).get("/")["Location"] == "/profile"


@pytest.mark.parametrize("verb", ["role", "lock", "delete"])
def test_the_account_of_the_sticker_and_ones_own_stay_as_they_are(admin: User, parts: Parts, verb: str):
    person(Role.INSTALLER)
    installer = log_in("installer")
    fields = {"role": "viewer", "locked": "true", "sure": "true"}

    stickers, own = act(installer, verb, "admin", **fields), act(installer, verb, "installer", **fields)

    assert (stickers.status_code, own.status_code) == (422, 422)
    assert "belongs to the sticker" in stickers.content.decode()
    assert "your own account" in own.content.decode()
    assert {accounts.role_of(user) for user in User.objects.filter(is_active=True)} == {Role.INSTALLER}
    assert User.objects.count() == 2


def test_ones_own_password_is_not_replaced_without_the_old_one(browser: Client, parts: Parts):
    assert act(browser, "password", "admin", password=ONE_TIME).status_code == 422
    assert sign_in(Client(HTTP_HOST="localhost")) == 302


def test_the_list_of_sign_ins_names_browser_and_address_and_no_key_that_opens_anything(browser: Client, parts: Parts):
    person(Role.OPERATOR)
    log_in("operator")

    page = browser.get(PAGE).content.decode()

    assert "Firefox · Windows" in page
    assert "127.0.0.1" in page
    assert page.count("this session") == 1
    assert not any(key in page for key in Session.objects.values_list("session_key", flat=True))


def sign_in_ids(browser: Client, address: str) -> list[str]:
    page = browser.get(address).content.decode()
    return [part.partition('"')[0] for part in page.split('name="id" value="')[1:]]


def test_an_installer_signs_anybody_out_and_others_only_themselves(browser: Client, parts: Parts):
    operator = person(Role.OPERATOR)
    here, there = log_in("operator"), log_in("operator")
    viewer = browser_of(Role.VIEWER)
    (other,) = sign_in_ids(here, "/profile")

    viewer.post("/profile/sign-ins/end", {"id": other})
    assert is_in(there)
    here.post("/profile/sign-ins/end", {"id": other})
    assert not is_in(there)
    assert is_in(here)

    for named in sign_in_ids(browser, PAGE):
        browser.post("/profile/sign-ins/end", {"id": named, "from": "accounts"})
    assert not is_in(here)
    assert not is_in(viewer)
    assert is_in(browser)
    assert AuditEntry.objects.filter(command="SignOut", data__account=operator.username).count() == 2


def test_one_click_signs_out_everywhere_else(admin: User, browser: Client, parts: Parts):
    elsewhere = [log_in("admin") for _ in range(3)]
    person(Role.OPERATOR)
    operator = log_in("operator")

    browser.post("/profile/sign-ins/end-others")

    assert [is_in(each) for each in elsewhere] == [False] * 3
    assert is_in(browser)
    assert is_in(operator)


def test_the_command_line_of_django_follows_the_stations_rules(
    browser: Client, parts: Parts, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.stdin", StringIO("short\n"))
    with pytest.raises(CommandError, match="12 characters"):
        call_command("changepassword", stdout=StringIO())
    with pytest.raises(CommandError, match="no user"):
        call_command("changepassword", "nobody", stdout=StringIO())

    monkeypatch.setattr("sys.stdin", StringIO(f"{ONE_TIME}\n"))
    call_command("changepassword", stdout=StringIO())

    assert not is_in(browser)
    assert log_in("admin", ONE_TIME).get("/")["Location"] == "/profile"
    assert accounts.profile_of(of("admin")).password_changed_at is not None
