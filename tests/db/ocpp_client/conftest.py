"""A link to the scriptable backend, with everything around it replaced by fakes that follow the ports."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from ocpp_client.database import in_database
from ocpp_client.link import BackendLink, Timing
from ocpp_client.ports import Environment, StationFacts
from station.domain.commands import Command, Outcome, Status
from station.domain.configuration import Origin
from station.domain.facts import Fact
from station.domain.snapshot import BackendSnapshot, HardwareSnapshot
from station.domain.stamps import Stamp
from station.models import Connector
from station.services import configuration
from station.services.messages import MessageToControlLoop
from station.services.outbox import enqueue
from tests.backend import Backend

MOMENT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@dataclass
class FakeProcesses:
    outcome: Outcome = field(default_factory=lambda: Outcome(status=Status.ACCEPTED))
    commands: list[Command] = field(default_factory=list)
    messages: list[MessageToControlLoop] = field(default_factory=list)
    snapshots: list[BackendSnapshot] = field(default_factory=list)
    live: HardwareSnapshot | None = None
    hold: asyncio.Event | None = None

    async def submit(self, command: Command, *, actor: str, at: datetime, wait_s: float) -> Outcome:
        self.commands.append(command)
        if self.hold is not None:
            await self.hold.wait()
        return self.outcome

    async def inform(self, message: MessageToControlLoop) -> None:
        self.messages.append(message)

    async def publish(self, snapshot: BackendSnapshot) -> bool:
        self.snapshots.append(snapshot)
        return True

    async def hardware(self) -> HardwareSnapshot | None:
        return self.live

    def told(self, kind: type[MessageToControlLoop]) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]


@dataclass
class FakeList:
    number: int = 0
    answer: str = "Accepted"
    applied: list[tuple[int, str, int]] = field(default_factory=list)
    members: set[str] = field(default_factory=set)

    def version(self) -> int:
        return self.number

    def apply(self, version: int, update_type: str, entries: Any, at: datetime) -> str:
        self.applied.append((version, update_type, len(entries)))
        return self.answer

    def contains(self, id_tag: str) -> bool:
        return id_tag.lower() in self.members


@dataclass
class FakeClock:
    taken: list[datetime] = field(default_factory=list)

    def set_from_backend(self, at: datetime) -> bool:
        self.taken.append(at)
        return False


@dataclass
class FakeUplink:
    simulated: bool = True
    up: bool = True

    def is_up(self) -> bool:
        return self.up


@dataclass
class FakeJobs:
    owed: list[Any] = field(default_factory=list)
    submitted: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def submit_diagnostics(self, request: dict[str, Any], at: datetime) -> str | None:
        self.submitted.append(("diagnostics", request))
        return "1.tar.gz"

    def submit_firmware(self, request: dict[str, Any], at: datetime) -> None:
        self.submitted.append(("firmware", request))

    def submit_signed_firmware(self, request: dict[str, Any], at: datetime) -> str:
        self.submitted.append(("signed_firmware", request))
        return "Accepted"

    def submit_log(self, request: dict[str, Any], at: datetime) -> tuple[str, str | None]:
        self.submitted.append(("log", request))
        return "Accepted", "log.tar.gz"

    def untold(self, at: datetime) -> list[Any]:
        return list(self.owed)

    def mark_told(self, job_id: int, status: str) -> bool:
        self.owed = [one for one in self.owed if (one.job_id, one.status) != (job_id, status)]
        return True

    def last_status(self, kind: str) -> dict[str, Any]:
        return {"status": "Idle"}


@dataclass
class FakeFacts:
    facts: StationFacts = field(default_factory=lambda: StationFacts(firmware_version="1.2.3", iccid="8949"))

    def read(self) -> StationFacts:
        return self.facts


@dataclass(kw_only=True)
class Bench:
    """One station's link under test, its backend and its fakes."""

    backend: Backend
    link: BackendLink
    processes: FakeProcesses
    local_list: FakeList
    clock: FakeClock
    uplink: FakeUplink
    jobs: FakeJobs
    facts: FakeFacts

    async def ready(self) -> None:
        """Wait until the station is registered and everything may flow."""
        await asyncio.wait_for(self.link.state.flow.wait(), 10)

    async def configure(self, **items: str) -> None:
        await in_database(
            configuration.change,
            {key.replace("__", "/"): value for key, value in items.items()},
            origin=Origin.LOCAL,
            actor="test",
            at=MOMENT,
        )

    async def until(self, condition: Callable[[], Any], timeout: float = 10.0) -> Any:
        async with asyncio.timeout(timeout):
            while not (found := condition()):
                await asyncio.sleep(0.005)
            return found

    async def until_in_database(self, condition: Callable[[], Any], timeout: float = 10.0) -> Any:
        async with asyncio.timeout(timeout):
            while not (found := await in_database(condition)):
                await asyncio.sleep(0.01)
            return found


Start = Callable[..., Awaitable[Any]]


@pytest.fixture
def bench(transactional_db, data, monkeypatch):
    """Make benches: `async with bench() as station:`; options go to the backend."""
    # Test and link share one database connection, whose own changes SQLite does not count.
    monkeypatch.setattr("ocpp_client.database.version", lambda: None)

    @asynccontextmanager
    async def make(
        *, run: bool = True, timing: Timing | None = None, keys: dict[str, str] | None = None, **options: Any
    ) -> AsyncIterator[Bench]:
        async with Backend.start(**options) as backend:
            defaults = {
                "/ocpp/url": backend.url,
                "/identity/serial": "100002440",
                "/ocpp/reconnectMinS": "1",
                "/ocpp/reconnectMaxS": "1",
                "AuthorizationKey": "",
            }
            await in_database(
                configuration.change, defaults | (keys or {}), origin=Origin.LOCAL, actor="test", at=MOMENT
            )
            await in_database(_connectors)
            processes = FakeProcesses()
            parts: dict[str, Any] = {
                "local_list": FakeList(),
                "clock": FakeClock(),
                "uplink": FakeUplink(),
                "file_jobs": FakeJobs(),
                "facts": FakeFacts(),
            }
            link = BackendLink(
                Environment(control_loop=processes, snapshots=processes, **parts),
                timing=timing or Timing(answer_timeout_s=1.0, look_s=0.1, uplink_look_s=0.02, recovery_s=0.0),
            )
            jobs = parts.pop("file_jobs")
            station = Bench(backend=backend, link=link, processes=processes, jobs=jobs, **parts)
            running = asyncio.create_task(link.run()) if run else None
            try:
                yield station
            finally:
                if running is not None:
                    await link.stop()
                    await asyncio.wait_for(running, 10)
            assert backend.schema_errors == []
            assert backend.overlapping_calls == [] or options.get("check_schemas") is False

    return make


def _connectors() -> None:
    for number in range(3):
        Connector.objects.create(number=number, status_at=MOMENT, status_revision=1)


def put(fact: Fact, session: Any = None) -> Any:
    """Put a fact into the outbox as the control loop does."""
    from django.db import transaction

    with transaction.atomic():
        return enqueue(fact, session=session, at=Stamp(at=fact.at))
