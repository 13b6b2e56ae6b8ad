"""The station's own code as processes of a simulation: the only file that knows how the product is put together."""

import asyncio
import json
import random
import uuid
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from inspect import signature
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import AsyncToSync
from celery import Celery
from redis.exceptions import RedisError

from hardware.runtime.control_loop import ControlLoop
from hardware.runtime.database import DatabaseThread
from hardware.runtime.heartbeat import LoopHeartbeat
from ocpp_client.consumer import OcppConsumer
from ocpp_client.ports import Environment
from station.domain.commands import Command, Origin, Outcome, Refusal, Status
from station.domain.snapshot import BackendSnapshot, HardwareSnapshot
from station.domain.stamps import Stamp
from station.domain.units import MilliAmpere
from station.host import Host
from station.processes.programs import ocpp as programs
from station.services import live, messages
from station.services.commands import Envelope
from station.services.messages import MessageToControlLoop
from tests.fakes import Clock, Hall
from tests.reliability.computer import LiveRedis
from tests.reliability.disk import Disk, ProcessDatabase
from tests.reliability.virtual import Process, owner
from tests.reliability.wire import Network

_NO_ANSWER = Outcome(status=Status.NO_ANSWER, reason=Refusal.HARDWARE_ABSENT)
Work = Callable[[], Coroutine[Any, Any, None]]


def install(
    monkeypatch: pytest.MonkeyPatch, *, clock: Clock, network: Network, disk: Disk, dice: random.Random
) -> None:
    """Put the simulation in the places where the product asks for threads, sockets, time and randomness."""
    databases: dict[Process, ProcessDatabase] = {}

    def database() -> ProcessDatabase:
        process = owner()
        assert process is not None, "only processes work in the database"
        if process not in databases:
            databases[process] = ProcessDatabase(disk, process)
        return databases[process]

    async def in_thread(work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await database()(work, *args, **kwargs)

    monkeypatch.setattr("station.clock.now", clock.now)
    monkeypatch.setattr("station.clock.monotonic_s", clock.monotonic_s)
    # Classes rather than the modules that import them: those may be moved.
    monkeypatch.setattr(DatabaseThread, "__init__", lambda _thread: None)
    monkeypatch.setattr(DatabaseThread, "__call__", lambda _thread, verb, *args, **kw: database()(verb, *args, **kw))
    monkeypatch.setattr(DatabaseThread, "close", lambda _thread: None)
    # The scenario asks, too, whether a station is ready; no work of its own is under way.
    monkeypatch.setattr(
        DatabaseThread,
        "busy_since_s",
        property(lambda _thread: database().busy_since_s if owner() is not None else None),
        raising=False,
    )
    monkeypatch.setattr("ocpp_client.database._in_thread", in_thread)
    # All share one connection, whose own changes SQLite does not count.
    monkeypatch.setattr("ocpp_client.database.version", lambda: disk.commits)
    monkeypatch.setattr("ocpp_client.connection.socket.open_socket", network.open_socket)
    monkeypatch.setattr("ocpp_client.connection.connection.random", SimpleNamespace(Random=lambda: dice))
    monkeypatch.setattr("asgiref.sync.AsyncToSync.__call__", _soon)
    # The queue of the system worker, whose long jobs no simulation needs.
    monkeypatch.setattr(Celery, "send_task", lambda *_args, **_options: None)
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=dice.getrandbits(128), version=4))
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


def _soon(call: AsyncToSync[..., Any], *args: Any, **kwargs: Any) -> None:
    """Do soon what a thread of its own would wait for: wake-ups that a commit sends out."""

    async def work() -> None:
        with suppress(RedisError, OSError):
            await call.awaitable(*args, **kwargs)

    _wakeups.add(task := asyncio.get_running_loop().create_task(work()))
    task.add_done_callback(_wakeups.discard)


_wakeups: set[asyncio.Task[None]] = set()


def _environment() -> Environment:
    """Get what the product's own start would hand to its OCPP process."""
    made: list[Environment] = []
    with mock.patch("ocpp_client.worker.main", lambda environment, *_: made.append(environment)):
        programs.main(*(mock.MagicMock() for _ in signature(programs.main).parameters))
    return made[0]


def boot(monkeypatch: pytest.MonkeyPatch, boot_id: str, clock: Clock) -> None:
    """Let the computer have been started anew: its steady time begins again."""
    began_s = clock.monotonic_s()

    def stamp() -> Stamp:
        return Stamp(at=clock.now(), boot_id=boot_id, steady_ms=round((clock.monotonic_s() - began_s) * 1000))

    monkeypatch.setattr("station.clock.boot_id", lambda: boot_id)
    monkeypatch.setattr("station.clock.stamp", stamp)


@dataclass
class Hardware:
    """The control loop in its process, and its queue of tasks, which outlives it."""

    hall: Hall
    host: Host
    redis: LiveRedis
    clock: Clock
    process: Process | None = None
    loop: ControlLoop | None = None
    beat_at_s: float | None = None
    ends_in_order: bool = False
    comes_back: bool = True
    _queue: list[tuple[float, Callable[[ControlLoop], Coroutine[Any, Any, None]]]] = field(default_factory=list)

    async def main(self) -> None:
        """Control the hardware, as the worker's bootstep does."""
        loop = ControlLoop(
            self.hall.devices(), host=self.host, redis=self.redis, has_lock=True, rating=MilliAmpere(32_000)
        )
        self.loop = loop
        queue, self._queue = self._queue, []
        for expires_s, work in queue:
            if self.clock.monotonic_s() < expires_s:
                asyncio.get_running_loop().create_task(work(loop))
        beating = asyncio.get_running_loop().create_task(
            LoopHeartbeat(self, points=loop.points.values(), database=loop.database, status=loop.told).run()
        )
        try:
            await loop.run()
        except asyncio.CancelledError:
            beating.cancel()
            if self.ends_in_order:
                await loop.stop(comes_back=self.comes_back)
                return
            raise

    def begin(self) -> None:
        """Start the process."""
        assert self.process is not None
        self.beat_at_s, self.loop, self.ends_in_order = None, None, False
        self.process.start(self.main)

    def terminate(self, *, comes_back: bool) -> None:
        """SIGTERM."""
        if self.process is not None and self.process.alive and self.process.main is not None:
            self.ends_in_order, self.comes_back = True, comes_back
            self.process.main.cancel()

    def silent_s(self, now_s: float) -> float | None:
        """Return for how long a living process has not said that it works; None before its first word."""
        alive = self.process is not None and self.process.alive
        return now_s - self.beat_at_s if alive and self.beat_at_s is not None else None

    def beat(self, at_s: float) -> None:
        """Take a heartbeat of the loop."""
        self.beat_at_s = at_s

    def serves(self, status: str) -> None:
        """Nobody waits for it."""

    def waits(self, status: str) -> None:
        """Nobody reads it."""

    def post(self, work: Callable[[ControlLoop], Coroutine[Any, Any, None]], *, life_s: float) -> None:
        """Put a task on the queue of this process."""
        process, loop = self.process, self.loop
        if process is not None and process.alive and loop is not None:
            process.run(lambda: work(loop))
        else:
            self._queue.append((self.clock.monotonic_s() + life_s, work))

    @property
    def ready(self) -> bool:
        """Whether the station says that it can charge."""
        return not self.reasons()

    def reasons(self) -> tuple[str, ...]:
        """Return why the station cannot charge."""
        if self.process is None or not self.process.alive or self.loop is None or not self.loop.state.recovered:
            return ("starting",)
        return self.loop.snapshots.not_ready()


@dataclass
class OtherProcesses:
    """The rest of the station as the OCPP process reaches it: commands and wake-ups over Redis."""

    hardware_process: Hardware
    redis: LiveRedis
    clock: Clock

    async def submit(
        self, command: Command, *, actor: str, at: datetime, wait_s: float, origin: Origin = Origin.BACKEND
    ) -> Outcome:
        envelope = Envelope(
            request_id=str(uuid.uuid4()),
            command=command,
            origin=origin,
            actor=actor,
            sent_at=at,
            expires_at=at + timedelta(seconds=wait_s),
        )
        if self.redis.down:
            return _NO_ANSWER
        try:
            async with asyncio.timeout(wait_s):
                await self.redis.reached()
                self.hardware_process.post(lambda loop: loop.command(envelope), life_s=wait_s)
                while not (answers := self.redis.lists.get(envelope.reply_key)):
                    await asyncio.sleep(0.01)
        except TimeoutError:
            return _NO_ANSWER
        return Outcome.decode(json.loads(answers[0]))

    async def inform(self, message: MessageToControlLoop) -> None:
        if self.redis.down:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(messages.SEND_TIMEOUT_S):
                await self.redis.reached()
                # As text, as it travels: what does not survive the way shall not arrive.
                text = json.dumps(messages.encode(message))
                self.hardware_process.post(
                    lambda loop: loop.informed(messages.decode_for_control_loop(json.loads(text))), life_s=60.0
                )

    async def publish(self, snapshot: BackendSnapshot) -> bool:
        return await live.publish_async(self.redis, snapshot)

    async def hardware(self) -> HardwareSnapshot | None:
        return await live.hardware_async(self.redis)


class Uplink:
    """A way out that is not watched: attempts to connect decide."""

    simulated = False

    def is_up(self) -> bool:
        return True


@dataclass
class Ocpp:
    """The connection to the backend in its process."""

    processes: Any
    host: Host
    process: Process | None = None
    messages: "asyncio.Queue[dict[str, Any]]" = field(default_factory=asyncio.Queue)

    def begin(self) -> None:
        """Start the process."""
        assert self.process is not None
        self.process.start(self.main)

    async def main(self) -> None:
        """Hold the connection, as the Channels worker does."""
        environment = replace(
            _environment(),
            control_loop=self.processes,
            snapshots=self.processes,
            clock=self.host.clock,
            uplink=Uplink(),
            facts=programs.HostFacts(self.host),
        )
        self.messages = messages = asyncio.Queue()
        await OcppConsumer(environment=environment)({"type": "channel"}, messages.get, None)

    def heard(self, message: dict[str, Any]) -> None:
        """Take what the channel layer brings; what comes while the process is dead is lost."""
        if self.process is not None and self.process.alive:
            self.messages.put_nowait(message)
