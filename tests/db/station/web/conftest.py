"""A station with one signed-in user, a snapshot to show and a door that answers what the test wants."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from station import clock
from station.domain.commands import Command, Origin, Outcome, Status
from station.domain.snapshot import (
    BackendSnapshot,
    ControllerSnapshot,
    HardwareSnapshot,
    MeterSnapshot,
    PointSnapshot,
    SessionSnapshot,
)
from station.domain.units import MilliAmpere, MilliVolt, Watt, WattHour
from station.paths import DataDirectory
from station.services import accounts, commands, identity, live

PASSWORD = "four unrelated words here"
AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def data(data: DataDirectory, settings: Any) -> DataDirectory:
    settings.SIMULATE = True
    identity.save(identity.Identity(serial="100002440", production_date="2025-09", factory_password_hash="!"))
    return data


@pytest.fixture
def admin(db) -> User:
    user = accounts.ensure_admin(at=AT)
    accounts.set_password(user, PASSWORD, origin=Origin.WEB, at=AT)
    return user


def sign_in(browser: Client, password: str = PASSWORD, **headers: Any) -> int:
    return browser.post("/login", {"username": "admin", "password": password}, **headers).status_code


@pytest.fixture
def stranger() -> Client:
    return Client(HTTP_HOST="localhost")


@pytest.fixture
def browser(admin: User) -> Client:
    browser = Client(HTTP_HOST="localhost")
    assert sign_in(browser) == 302
    return browser


@dataclass
class Parts:
    """The live parts as pages find them; a missing one means that its process is away."""

    hardware: HardwareSnapshot | None
    backend: BackendSnapshot | None
    redis_answers: bool = True

    def show(self, *points: PointSnapshot) -> None:
        assert self.hardware is not None
        self.hardware = replace(self.hardware, points=points)


def point(number: int, **changes: Any) -> PointSnapshot:
    known = PointSnapshot(
        number=number,
        status="Available",
        pilot="A",
        pwm=False,
        plugged=False,
        locked=False,
        contactor=False,
        limit_ma=MilliAmpere(32_000),
        limit_source="rating",
        limits={"rating": MilliAmpere(32_000), "station_mains": MilliAmpere(63_000)},
        power_w=Watt(0),
        voltages_mv=(MilliVolt(230_400), MilliVolt(231_000), MilliVolt(229_800)),
        currents_ma=(MilliAmpere(0), MilliAmpere(0), MilliAmpere(0)),
        energy_wh=WattHour(48_213),
        controller=ControllerSnapshot(ok=True, model="EV-CC-AC1-M3", hardware_id="X4/0/0", firmware="1.1"),
        meter=MeterSnapshot(ok=True, vendor="Eastron", model="SDM630", serial="19203344"),
    )
    return replace(known, **changes)


def charging(number: int, **changes: Any) -> PointSnapshot:
    session = SessionSnapshot(
        id=7,
        id_tag="04A2B3C4",
        started_at=clock.now(),
        meter_start_wh=29_973,
        energy_wh=18_240,
        transaction_id=991,
        origin="reader",
    )
    known = point(
        number,
        status="Charging",
        pilot="C",
        pwm=True,
        plugged=True,
        locked=True,
        contactor=True,
        session=session,
        power_w=10_880,
        currents_ma=(15_800, 15_750, 15_810),
        limit_ma=16_000,
        limit_source="station_mains",
    )
    return replace(known, **changes)


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Parts:
    parts = Parts(
        hardware=HardwareSnapshot(
            revision=1,
            at=clock.now(),
            not_ready=(),
            status="Available",
            faults=(),
            mains_ma=MilliAmpere(63_000),
            reader_ok=True,
            points=(point(1), point(2)),
        ),
        backend=BackendSnapshot(
            connected=True, registration="accepted", url="wss://csms.example.net", since=AT, outbox=0
        ),
    )
    monkeypatch.setattr(live, "hardware", lambda: parts.hardware)
    monkeypatch.setattr(live, "backend", lambda: parts.backend)
    monkeypatch.setattr(live, "is_reachable", lambda: parts.redis_answers)
    return parts


class Door:
    """Takes the place of the one door for commands: remembers, and answers `outcome`."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.origins: list[tuple[Origin, str]] = []
        self.outcome = Outcome(status=Status.ACCEPTED)

    def __call__(self, command: Command, *, origin: Origin, actor: str, at: datetime, wait_s: float = 5) -> Outcome:
        self.commands.append(command)
        self.origins.append((origin, actor))
        return self.outcome


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    door = Door()
    monkeypatch.setattr(commands, "submit_command", door)
    return door
