"""Attacks of reference/security.md that no other test carries out; the number of each stands in docs/security.md."""

import ast
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from station import clock
from station.domain.commands import Origin
from station.domain.configuration import Access, ConfigurationKey, ConfigurationRefused, Storage
from station.models import ChargingSession, LogEntry
from station.paths import DataDirectory
from station.services import accounts, configuration, identity
from tests.db.station.web.conftest import Parts, parts  # noqa: F401 - the fixture
from tests.db.whitelist import cards

ROOT = Path(__file__).resolve().parents[2]
AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
PASSWORD = "four unrelated words here"
CODE = ("station", "ocpp_client", "hardware", "whitelist", "loadmgmt")


@pytest.fixture
def station(data: DataDirectory, db: None) -> DataDirectory:
    identity.save(identity.Identity(serial="100002440", production_date="2025-09", factory_password_hash="!"))
    accounts.set_password(accounts.ensure_admin(at=AT), PASSWORD, origin=Origin.WEB, at=AT)
    return data


@pytest.fixture
def stranger(station: DataDirectory) -> Client:
    return Client(HTTP_HOST="localhost")


@pytest.fixture
def browser(stranger: Client) -> Client:
    assert stranger.post("/login", {"username": "admin", "password": PASSWORD}).status_code == 302
    return stranger


def session_of(id_tag: str, *, connector_id: int = 1) -> ChargingSession:
    return ChargingSession.objects.create(
        connector_id=connector_id, id_tag=id_tag, started_at=AT, meter_start_wh=1, meter_last_wh=1, meter_last_at=AT
    )


PUBLIC = ("login", "recovery", "healthz", "security-txt")


# 3


def test_no_public_page_names_the_last_card(stranger: Client, parts: Parts) -> None:  # noqa: F811
    session_of("04CANARY1234")
    cards.make("04CANARY5678")

    for name in PUBLIC:
        assert "CANARY" not in stranger.get(reverse(name)).content.decode(), name


# 4

SCRIPT = "<script>alert(1)</script>"
BROKEN_OUT = '"><img src=x onerror=alert(1)>'


def test_what_a_driver_a_backend_or_a_file_says_is_shown_as_text(browser: Client, parts: Parts) -> None:  # noqa: F811
    for number, text in enumerate((SCRIPT[:20], BROKEN_OUT[:20]), start=1):
        session_of(text, connector_id=number)
        cards.make(f"0{number}AB", group=text)
        ChargingSession.objects.update(stop_id_tag=text, meter_serial=SCRIPT, parent_id_tag=text)
        LogEntry.objects.create(at=AT, code="card.refused", data={"id_tag": BROKEN_OUT, "reason": SCRIPT})
    pages = ["dashboard", "sessions", "events", "users", "connectors", "authentication", "ocpp", "power", "profile"]
    addresses = [reverse(page) for page in pages]
    addresses += [f"/sessions/{row.pk}" for row in ChargingSession.objects.all()]
    addresses += [f"/admin/station/{table}/" for table in ("chargingsession", "logentry", "auditentry")]
    addresses += ["/admin/whitelist/card/"]

    shown = {address: browser.get(address) for address in addresses}

    for address, answer in shown.items():
        assert answer.status_code == 200, address
        html = answer.content.decode()
        assert "<script>alert" not in html, address
        assert "<img src=x" not in html, address
    assert any("&lt;script&gt;" in answer.content.decode() for answer in shown.values())


# 6

INJECTIONS = (
    ";touch {canary}",
    "$(touch {canary})",
    "`touch {canary}`",
    "|touch {canary}",
    "x\ntouch {canary}",
    "x\r\ntouch {canary}",
    "%0atouch {canary}",
    "ws://host/$(touch {canary})",
    "wss://host/\ntouch {canary}",
    "../../../../{canary}",
)


def text_keys() -> Iterator[ConfigurationKey]:
    for key in configuration.snapshot().registry.keys:
        if key.access is not Access.READ_ONLY and key.storage is not Storage.LIVE and key.type not in {"int", "bool"}:
            yield key


def test_no_setting_reaches_a_shell(station: DataDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = tmp_path / "canary"
    started: list[object] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *words, **_kwargs: started.append(words))
    monkeypatch.setattr(os, "system", started.append)
    tried = 0

    for key in tuple(text_keys()):
        for injection in INJECTIONS:
            for origin in (Origin.WEB, Origin.LOCAL, Origin.BACKEND):
                value = injection.format(canary=canary)
                tried += 1
                try:
                    configuration.change({key.name: value}, origin=origin, actor="attacker", at=AT)
                except ConfigurationRefused as refusal:
                    assert refusal.problems  # noqa: PT017 - most are refused, and each with a reason
                else:
                    # What is taken is data of one line.
                    assert not re.search(r"[\r\n\0]", configuration.get(key.name)), key.name

    assert tried > 500
    assert started == []
    assert not canary.exists()


def test_no_code_of_the_product_uses_a_shell() -> None:
    used = []
    for file in (file for package in CODE for file in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "shell":
                used.append(file)
            if isinstance(node, ast.Attribute) and node.attr in {"system", "popen", "create_subprocess_shell"}:
                owner = node.value.id if isinstance(node.value, ast.Name) else ""
                used += [file] if owner in {"os", "asyncio", "subprocess"} else []

    assert used == []


# 7


def test_nothing_that_is_shipped_opens_a_station() -> None:
    key = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/=]{16}")
    password_hash = re.compile(r"(argon2\$argon2id\$v=|pbkdf2_sha256\$\d|\$6\$[./A-Za-z0-9]{8,}\$)")
    authorized = re.compile(r"ssh-(rsa|ed25519) AAAA[0-9A-Za-z+/]{20}")
    shipped = [
        file
        for folder in (*CODE, "deploy", "static", "templates", "locale", "scripts")
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and file.suffix not in {".mo", ".pyc"}
    ]

    assert len(shipped) > 300
    for file in shipped:
        text = file.read_text(errors="replace")
        assert [pattern.pattern for pattern in (key, password_hash, authorized) if pattern.search(text)] == [], file


# 5


def test_the_stations_user_may_ask_the_system_for_few_things_and_owns_no_program() -> None:
    rules = (ROOT / "deploy" / "50-station.rules").read_text()

    assert sorted(set(re.findall(r'"(org\.freedesktop\.[A-Za-z0-9.-]+)"', rules))) == [
        "org.freedesktop.ModemManager1.Device.Control",
        "org.freedesktop.NetworkManager.checkpoint-rollback",
        "org.freedesktop.NetworkManager.network-control",
        "org.freedesktop.NetworkManager.settings.modify.system",
        "org.freedesktop.login1.reboot",
        "org.freedesktop.login1.reboot-multiple-sessions",
        "org.freedesktop.systemd1.manage-units",
        "org.freedesktop.timedate1.set-ntp",
        "org.freedesktop.timedate1.set-time",
        "org.freedesktop.timedate1.set-timezone",
    ]
    assert set(re.findall(r'lookup\("unit"\) === "([^"]+)"', rules)) == {
        "station.target",
        "station-vendor-local.service",
        "station-vendor-remote.service",
    }
    assert rules.rstrip().endswith("return polkit.Result.NOT_HANDLED;\n});")
    for unit in (ROOT / "deploy").glob("*.service"):
        started = re.findall(r"^Exec\w+=(\S+)", unit.read_text(), re.MULTILINE)
        # The program and the code belong to root (deploy/README.md); the data directory holds none.
        if unit.name == "station-again@.service":
            # Waits and asks systemd; only units of this directory name what is put in (OnFailure=).
            assert started == ["/bin/sh"]
        elif unit.name == "station-fresh.service":
            assert started == ["/bin/systemctl"]
        elif unit.name == "station-prepare.service":
            assert started == ["/opt/station/.venv/bin/python", "/bin/sh"]
        else:
            assert started == ["/opt/station/.venv/bin/python"], unit


# 19

SQL = (
    "' OR '1'='1",
    "admin'--",
    '"; DROP TABLE auth_user; --',
    "1) UNION SELECT password FROM auth_user--",
    "%' OR 1=1",
)


@pytest.mark.parametrize("text", SQL)
def test_the_language_of_databases_is_only_text(browser: Client, parts: Parts, text: str) -> None:  # noqa: F811
    session_of("04AABBCC")
    secret = accounts.ensure_admin(at=AT).password
    other = Client(HTTP_HOST="localhost")

    assert other.post("/login", {"username": text, "password": text}).status_code in {403, 429}
    for field in ("card", "point", "state", "since", "until", "page", "delivery", "q"):
        for page in ("/sessions", "/sessions.csv", "/users", "/admin/station/chargingsession/"):
            answer = browser.get(page, {field: text})
            assert answer.status_code < 500, (page, field)
            body = b"".join(answer.streaming_content) if answer.streaming else answer.content  # type: ignore[attr-defined]
            assert secret.encode() not in body
    assert accounts.ensure_admin(at=AT).password == secret


# 27

NO_NUMBERS = (
    "-1",
    str(2**31),
    str(2**63),
    "NaN",
    "nan",
    "inf",
    "1e309",
    "1e3",
    "32 A",
    "0x20",
    "3.5",
    "٣",
    "",
    " ",
    "--1",
)


@pytest.mark.parametrize("origin", [Origin.BACKEND, Origin.WEB, Origin.LOCAL])
def test_no_number_beyond_its_bounds_gets_into_a_setting(station: DataDirectory, origin: Origin) -> None:
    numbers = [
        key
        for key in configuration.snapshot().registry.keys
        if key.type.startswith("int") and key.storage in {Storage.DATABASE, Storage.IDENTITY}
    ]
    assert len(numbers) > 20

    for key in numbers:
        before = configuration.get(key.name)
        bounds = [int(bound) for bound in re.findall(r"-?\d+", key.allowed)] if " to " in key.allowed else []
        beyond = [str(min(bounds) - 1), str(max(bounds) + 1)] if bounds else []
        may_be_empty = "empty" in key.allowed
        for value in (*NO_NUMBERS, *beyond):
            if (may_be_empty and not value.strip()) or (value.strip().isdigit() and int(value) in bounds):
                continue
            with pytest.raises(ConfigurationRefused):
                configuration.change({key.name: value}, origin=origin, actor="attacker", at=clock.now())
        assert configuration.get(key.name) == before
