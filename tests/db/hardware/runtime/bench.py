"""A station on the bench: the real control loop over a real database, fake hardware, virtual time."""

import asyncio
import functools
import json
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from channels.layers import channel_layers
from django.db import connections

from hardware.runtime.control_loop import ControlLoop
from hardware.runtime.stand_in import StandIn
from ocpp_client.outgoing import outbox_store
from ocpp_client.outgoing.rendering import render
from ocpp_client.rpc.messages import payload_of
from station import clock
from station.domain.authorization import AuthorizationStatus
from station.domain.commands import Command, Origin, Outcome
from station.domain.units import MilliAmpere
from station.models import BackendState, ChargingProfileRow, ChargingSession, OutboxMessage
from station.services import configuration
from station.services.commands import Envelope
from station.services.messages import CardAuthorized, StartAnswered
from tests.fakes import Car, ChannelLayer, Clock, FakeRedis, Hall, InlineDatabase, Outlet, VirtualLoop
from whitelist.models import Card

T = TypeVar("T")
# How often a scenario looks whether what it waits for has come, in virtual time.
_LOOK_S, _SELDOM_S = 0.005, 0.1
CARD, FRIEND, STRANGER = "04A2B3C4", "04FFEE11", "04DEAD00"


class ControlLoopBench:
    """One station and its surroundings. `check` runs at the end of every scenario."""

    hall: Hall
    control_loop: ControlLoop

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, points: int = 1) -> None:
        self.loop = VirtualLoop()
        self.clock = Clock(self.loop)
        self.points = points
        self.database = InlineDatabase()
        self.redis = FakeRedis()
        self.channel_layer = ChannelLayer()
        # What the backend says about a card; absent: it does not answer.
        self.backend: dict[str, dict[str, Any]] = {}
        self.backend_thinks_s = 0.05
        self.asked_about: list[dict[str, Any]] = []
        self.broken_promises: list[str] = []
        self._main: asyncio.Task[None] | None = None
        monkeypatch.setattr(clock, "now", self.clock.now)
        monkeypatch.setattr(clock, "monotonic_s", self.clock.monotonic_s)
        for module in ("control_loop", "stand_in"):
            monkeypatch.setattr(f"hardware.runtime.{module}.DatabaseThread", lambda: self.database)
        monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

    def run(self, scenario: Coroutine[Any, Any, None]) -> None:
        """Run a scenario with the station alive, then look at what must never have happened."""
        before = channel_layers.set("default", self.channel_layer)
        self.channel_layer.heard = self._ocpp_hears
        try:
            with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
                runner.run(self._live(scenario, connections["default"]))
        finally:
            if before is None:
                # Setting "none" would count as a configured layer in every later test.
                del channel_layers.backends["default"]
            else:
                channel_layers.set("default", before)

    async def _live(self, scenario: Coroutine[Any, Any, None], connection: Any) -> None:
        # Django keeps connections per context; every task here shall work inside the test's own transaction.
        connections["default"] = connection
        self.hall = Hall.build(self.points, self._contactor_closes)
        try:
            await self.start()
            await scenario
            assert self.broken_promises == []
            if self._main is not None and self._main.done():
                self._main.result()
        finally:
            await self.kill()

    # --- the software comes and goes

    async def start(self, *, wait: bool = True) -> None:
        """Start the control loop (anew) over the same hardware and database."""
        self.control_loop = ControlLoop(
            self.hall.devices(),
            host=self.hall.computer.host(),
            redis=self.redis,
            has_lock=True,
            rating=MilliAmpere(32_000),
        )
        self._main = asyncio.create_task(self.control_loop.run())
        if wait:
            await self.until(lambda: self.control_loop.state.recovered)

    async def kill(self) -> None:
        """Let the process die without a word."""
        if self._main is not None:
            self._main.cancel()
            await asyncio.wait([self._main], timeout=30)
            if not self._main.done():
                stubborn = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
                raise AssertionError(f"would not end: {stubborn}")
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine and task is not self._main]
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others)
        if self._main is not None and self._main.cancelled():
            self._main = None

    async def stop(self, *, comes_back: bool) -> None:
        """End the process in order."""
        assert self._main is not None
        self._main.cancel()
        await asyncio.wait([self._main])
        self._main = None
        await self.control_loop.stop(comes_back=comes_back)
        await self.kill()

    def _contactor_closes(self, outlet: Outlet) -> None:
        if not ChargingSession.objects.running().on(outlet.number).exists():
            self.broken_promises.append(f"energy without a session record at {outlet.number}")
        if not outlet.bolt_in:
            self.broken_promises.append(f"energy without a lock at {outlet.number}")

    # --- the backend

    def go_online(self) -> None:
        configure({"/ocpp/url": "ws://127.0.0.1:9/ocpp", "/ocpp/chargeBoxIdentity": "CP1"})
        BackendState.load()
        BackendState.objects.update(connected=True)

    def go_offline(self) -> None:
        """Lose the connection to a backend that has accepted this station."""
        BackendState.objects.update(connected=False, accepted_by="ws://127.0.0.1:9/ocpp CP1")

    def _ocpp_hears(self, message: dict[str, Any]) -> None:
        if message["type"] != "authorize.request":
            return
        self.asked_about.append(message)
        answer = self.backend.get(message["id_tag"])
        if answer is None:
            return
        authorized = CardAuthorized(
            request_id=message["request_id"],
            answered=True,
            status=AuthorizationStatus(answer["status"]) if "status" in answer else None,
            parent_id_tag=answer.get("parent"),
            payment_declined=answer.get("payment_declined", False),
        )

        def reply() -> None:
            self._spawned = asyncio.ensure_future(self.control_loop.informed(authorized))

        self.loop.call_later(self.backend_thinks_s, reply)

    async def start_answered(self, status: str = "Accepted", transaction_id: int | None = 77, parent: str = "") -> None:
        """Let the backend answer the StartTransaction of the newest session."""
        session = ChargingSession.objects.running().order_by("-id")[0]
        ChargingSession.objects.filter(pk=session.pk).update(transaction_id=transaction_id)
        await self.control_loop.informed(
            StartAnswered(
                session_id=session.pk,
                status=AuthorizationStatus(status),
                transaction_id=transaction_id,
                parent_id_tag=parent,
            )
        )

    # --- doing and waiting

    async def command(
        self,
        command: Command,
        *,
        origin: Origin = Origin.BACKEND,
        life_s: float = 5.0,
        to: ControlLoop | StandIn | None = None,
    ) -> Outcome:
        """Send a command through the inner door and read the answer where the asker would."""
        envelope = Envelope(
            request_id=str(uuid.uuid4()),
            command=command,
            origin=origin,
            actor="test",
            sent_at=self.clock.now(),
            expires_at=self.clock.now() + timedelta(seconds=life_s),
        )
        await (to or self.control_loop).command(envelope)
        return Outcome.decode(json.loads(self.redis.lists[envelope.reply_key][0]))

    async def until(self, condition: Callable[[], T], *, seconds: float = 20.0) -> T:
        """Wait in virtual time until a condition holds; the longer it takes, the less often it is looked at."""
        began_s = self.loop.time()
        deadline_s = began_s + seconds
        while not (value := condition()):
            if self._main is not None and self._main.done():
                self._main.result()
                raise AssertionError("the control loop has ended")
            if self.loop.time() > deadline_s:
                raise AssertionError(f"not within {seconds} s; {self.describe()}")
            # Each look mostly asks the database, and what takes a minute may be seen a tenth of a second later.
            await asyncio.sleep(min(max(_LOOK_S, (self.loop.time() - began_s) / 100), _SELDOM_S))
        return value

    async def told(self, *statuses: str, number: int = 1) -> None:
        """Wait until the backend was told exactly these statuses last; an idle board is looked at twice a second."""
        await asyncio.sleep(0.8)
        assert self.statuses(number)[-len(statuses) :] == list(statuses)

    async def phase(self, phase: str, number: int = 1, *, seconds: float = 20.0) -> None:
        await self.until(lambda: self.control_loop.points[number].state.phase == phase, seconds=seconds)

    def not_ready(self) -> list[str]:
        return list(self.control_loop.snapshots.not_ready())

    def describe(self) -> str:
        points = {number: point.state.phase.value for number, point in self.control_loop.points.items()}
        return f"{points}, faults {self.control_loop.state.active_faults}, {[m for m, _ in self.messages()]}"

    async def charge(self, number: int = 1, *, card: str = CARD, **car: Any) -> None:
        """Plug a car in and charge with a card."""
        self.hall.outlets[number].plug(Car(**car))
        await self.until(lambda: self.control_loop.points[number].waits_for_card)
        self.hall.reader.tap(card)
        await self.phase("charging", number)
        # The card leaves the field, so that the next tap is one.
        await asyncio.sleep(1.0)

    def messages(self, *actions: str) -> list[tuple[str, dict[str, Any]]]:
        """Read the queue to the backend as the messages it will be sent."""
        messages = []
        for row in OutboxMessage.objects.order_by("id").select_related("session"):
            number = row.session.transaction_id if row.session else None
            message = render(outbox_store.fact_of(row), transaction_id=number)
            messages.append((type(message).__name__, payload_of(message)))
        return [message for message in messages if not actions or message[0] in actions]

    def statuses(self, number: int = 1) -> list[str]:
        """Read what the OCPP process was told of a connector, repetitions left out."""
        told = [
            message["status"]
            for message in self.channel_layer.sent
            if message["type"] == "status.changed" and message["connector_id"] == number
        ]
        return [status for index, status in enumerate(told) if index == 0 or told[index - 1] != status]


def configure(items: dict[str, str]) -> None:
    configuration.change(items, origin=Origin.LOCAL, actor="test", at=clock.now())


def profile(
    limit: float,
    *,
    connector_id: int = 0,
    purpose: str = "TxDefaultProfile",
    level: int = 0,
    unit: str = "A",
    phases: int | None = None,
) -> None:
    """Install a charging profile of one period, or replace it."""
    period = {"startPeriod": 0, "limit": limit} | ({} if phases is None else {"numberPhases": phases})
    content = {
        "chargingProfileId": 100 + level,
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Relative" if purpose != "ChargePointMaxProfile" else "Absolute",
        "chargingSchedule": {
            "chargingRateUnit": unit,
            "chargingSchedulePeriod": [period],
        },
    }
    ChargingProfileRow.objects.update_or_create(
        connector_id=connector_id,
        purpose=purpose,
        stack_level=level,
        defaults={"profile_id": 100 + level, "profile": content, "installed_at": clock.now()},
    )


def list_card(uid: str, *, group: str = "", authorization: str = "Accepted") -> None:
    Card.objects.create(uid=uid, key=uid.casefold(), group=group, authorization=authorization, changed_at=clock.now())


def in_virtual_time(scenario: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make a test of an asynchronous scenario that takes the bench as its argument `bench`."""

    @functools.wraps(scenario)
    def test(*, bench: ControlLoopBench, **arguments: Any) -> None:
        bench.run(scenario(bench=bench, **arguments))  # type: ignore[arg-type]

    return test
