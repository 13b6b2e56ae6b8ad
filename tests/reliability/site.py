"""A whole simulated station: its processes with their supervisor, its hardware, its backend – and who watches them."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from channels.layers import channel_layers
from django.db import DatabaseError, connection

from station.domain.commands import Origin
from station.domain.moments import EARLIEST_STAMP, LATEST_STAMP
from station.models import ChargingSession, OutboxMessage
from station.services import configuration, outbox
from tests.fakes import Clock, Hall, Outlet
from tests.reliability import equipment, processes, world
from tests.reliability.central import Central
from tests.reliability.computer import Computer, Layer, LiveRedis
from tests.reliability.disk import Disk
from tests.reliability.processes import Hardware, Ocpp, OtherProcesses
from tests.reliability.virtual import MortalLoop, Process
from tests.reliability.wire import Network
from whitelist.models import Card

CARDS = ("04A2B3C4", "04FFEE11", "04C0FFEE")
BLOCKED = "04BADBAD"
STRANGERS = ("04DEAD00", "04DEAD11")
TICK_S = 0.25
# While nothing lives there is little to see.
DARK_TICK_S = 2.0
# A supervisor replaces a process that has been silent for this long (DESIGN.md section 2).
SILENT_S = 5.0
# P3: energy never goes on for longer after a stop condition; the record is written when the current has ended.
UNRECORDED_S = 2.0
# After a confirmed stop or a refusal: the wait for the car, and a controller that answers slowly.
STOPS_S = 20.0
BEGIN_OF_TIME = datetime(1970, 1, 1, tzinfo=UTC)
# What a killed control loop may not have noted yet, at the most a point delivers: the rest of it is then gone with a
# meter that is silent when the next loop asks (`NOTE_S` of the product, 22 kW).
UNNOTED_WH = 62.0
STARTED_AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@dataclass
class Watched:
    """What has to be watched at one charging point over time."""

    outlet: Outlet
    unrecorded_since_s: float | None = None
    # The session whose stop was confirmed, and for how long a healthy station has not obeyed.
    stop_confirmed: int | None = None
    disobeyed_s: float = 0.0
    refused_s: float = 0.0
    # Energy that flowed while the meter told nothing or lied; nobody can put it on an account.
    unread_wh: float = 0.0
    unread_from_wh: float = 0.0
    troubles: int = 0


@dataclass
class Site:
    """One station. `complaints` are broken promises; `diary` is what was done to it."""

    monkeypatch: pytest.MonkeyPatch
    dice: random.Random
    points: int
    mains_a: int
    loop: MortalLoop = field(default_factory=MortalLoop)
    complaints: list[str] = field(default_factory=list)
    diary: list[str] = field(default_factory=list)
    kills: int = 0
    hall: Hall = field(init=False)

    def __post_init__(self) -> None:
        self.clock = Clock(self.loop, epoch=STARTED_AT)
        self.timers = world.Timers(self.loop)
        self.central = Central(self.timers, self.dice, self.truth)
        self.network = Network(world=self.timers, peer=self.central)
        self.disk = Disk(self.dice)
        self.redis = LiveRedis()
        self.buried: list[Process] = []
        self.supervised = True
        self.power_is_cut = False
        self.power_cuts_s: list[float] = []
        self.clock_was_set = False
        self._boots = 0

    # --- life

    def run(self, scenario: Callable[["Site"], Awaitable[None]]) -> None:
        """Run a scenario over a started station; complaints of the loop and of the logs count."""
        processes.install(
            self.monkeypatch,
            clock=self.clock,
            network=self.network,
            disk=self.disk,
            dice=random.Random(self.dice.random()),
        )
        self._configure()

        async def whole() -> None:
            self._build()
            with self.disk.attached():
                self._boot()
                watching = asyncio.create_task(self._watch())
                try:
                    await scenario(self)
                finally:
                    self.supervised = False
                    watching.cancel()
                    await world.bury(self.disk, self.buried)

        with world.watched_logs(_is_expected) as logs:
            lost = world.live(self.loop, self.timers, whole)
        self.complaints += logs.found + lost

    def _configure(self) -> None:
        at = self.clock.now()
        configuration.change(
            {
                "/ocpp/url": "ws://127.0.0.1:9/",
                "/ocpp/chargeBoxIdentity": "CP1",
                "/ocpp/reconnectMinS": "1",
                "/ocpp/reconnectMaxS": "10",
                "/power/station/mainsMaxCurrent": str(self.mains_a * 1000),
                "TransactionMessageRetryInterval": "2",
                "MeterValueSampleInterval": "20",
                "LocalAuthorizeOffline": "true",
                "StopTransactionOnInvalidId": "true",
                "AllowOfflineTxForUnknownId": self.dice.choice(("true", "false")),
                "WebSocketPingInterval": "30",
            },
            origin=Origin.LOCAL,
            actor="test",
            at=at,
        )
        for uid in CARDS:
            Card.objects.create(uid=uid, key=uid.casefold(), group="", authorization="Accepted", changed_at=at)
        Card.objects.create(uid=BLOCKED, key=BLOCKED.casefold(), group="", authorization="Blocked", changed_at=at)
        self.central.cards = {BLOCKED: "Blocked", STRANGERS[1]: "Invalid"}

    def _build(self) -> None:
        self.hall = equipment.build(self.points, self._contactor_closes)
        self.computer = Computer(restarted=self._restarted, set_to=self._set_clock)
        self.may_set_clock = self.dice.random() < 0.5
        self.hall.computer = self.computer
        host = self.computer.host()
        self.hardware = Hardware(self.hall, host, self.redis, self.clock)
        self.processes = OtherProcesses(self.hardware, self.redis, self.clock)
        self.ocpp = Ocpp(self.processes, host)
        self.watched = {number: Watched(outlet) for number, outlet in self.hall.outlets.items()}
        self.first_wh = {number: outlet.register_wh for number, outlet in self.hall.outlets.items()}
        self.monkeypatch.setitem(channel_layers.backends, "default", Layer(self.redis, self.ocpp.heard))

    def _boot(self) -> None:
        self.power_is_cut = False
        self._boots += 1
        processes.boot(self.monkeypatch, f"boot-{self._boots}", self.clock)
        for part in (self.hardware, self.ocpp):
            if part.process is None or not part.process.alive:
                self._launch(part)

    def _launch(self, part: Hardware | Ocpp) -> None:
        name = type(part).__name__.lower()
        part.process = Process(self.loop, name, on_end=lambda dead: self._ended(part, dead))
        self.buried.append(part.process)
        part.begin()

    def _ended(self, part: Hardware | Ocpp, dead: Process) -> None:
        main = dead.main
        if not self.supervised:
            return
        self.kills += main is None or not main.done()
        if main is not None and main.done() and not main.cancelled() and (error := main.exception()) is not None:
            self.complaints.append(f"the process {dead.name} crashed: {error!r}")
        self.note(f"{dead.name} has ended")
        if not self.power_is_cut:
            self.timers.call_later(self.dice.uniform(1.0, 3.0), lambda: self._relaunch(part))

    def _relaunch(self, part: Hardware | Ocpp) -> None:
        if self.supervised and not self.power_is_cut and part.process is not None and not part.process.alive:
            self._launch(part)

    def kill(self, *parts: Hardware | Ocpp) -> None:
        """SIGKILL."""
        for part in parts:
            if part.process is not None and part.process.alive:
                part.process.kill()

    def cut_power(self, seconds: float = 3.0, *, loses_clock: bool = False) -> None:
        """Kill everything and start the computer anew; controllers without power release nothing.

        `loses_clock`: without a battery the clock stands at the begin of its time until somebody tells it better.
        """
        if self.power_is_cut:
            return
        for outlet in self.hall.outlets.values():
            outlet.released = outlet.lock_commanded = False
            outlet.offered = 0
            outlet.settle()
        self.power_is_cut = True
        if not OutboxMessage.objects.filter(at__lt=EARLIEST_STAMP).exists():
            # When a boot ended that never learned the time, or could not write it down, nobody can know.
            self.power_cuts_s.append(self.loop.time())
        self.kill(self.hardware, self.ocpp)
        self.timers.call_later(seconds, self._boot)
        if loses_clock:
            before, self.clock.jumped = self.clock.jumped, BEGIN_OF_TIME - self.clock.epoch
            self.computer.trustworthy = False
            self.timers.call_later(seconds + self.dice.choice((5.0, 40.0, 120.0)), lambda: self._clock_arrives(before))

    def _clock_arrives(self, jumped: timedelta) -> None:
        self.clock.jumped, self.computer.trustworthy = jumped, True
        self.note("the clock is right again")

    def truth(self) -> datetime:
        """Read a clock that is always right."""
        return self.clock.now() - self.clock.jumped

    def _set_clock(self, at: datetime) -> bool:
        """Do as the computer of a real station does: it takes the backend's time while no time service keeps it."""
        if self.computer.trustworthy or not self.may_set_clock or not EARLIEST_STAMP <= at < LATEST_STAMP:
            return False
        off = at - self.truth()
        # A backend may lie.
        self.clock_was_set |= abs(off) > timedelta(seconds=5)
        self.clock.jumped, self.computer.trustworthy = off, True
        self.note(f"the clock is set by the backend, to {at}")
        return True

    def _restarted(self, what: str) -> None:
        """Do what the station itself has asked for."""
        self.note(f"the station restarts its {what}")
        if what == "computer":
            self.timers.call_later(0.5, self.cut_power)
        else:
            self.timers.call_later(0.5, lambda: self.kill(self.hardware, self.ocpp))

    def note(self, text: str) -> None:
        """Write into the diary."""
        self.diary.append(f"{self.loop.time() - 1000:8.2f} {text}")

    # --- what must never happen

    def complain(self, text: str) -> None:
        """Write a broken promise down."""
        self.note(f"!! {text}")
        self.complaints.append(text)

    def _contactor_closes(self, outlet: Outlet) -> None:
        session = ChargingSession.objects.running().on(outlet.number).first()
        if session is None:
            self.complain(f"energy without a session in the database at {outlet.number}")
        elif session.id_tag == BLOCKED:
            self.complain(f"energy for a blocked card at {outlet.number}")
        if not outlet.bolt_in:
            self.complain(f"energy without a lock at {outlet.number}")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(DARK_TICK_S if self.power_is_cut else TICK_S)
            self._supervise()
            if any(outlet.current > 0 for outlet in self.hall.outlets.values()):
                running = _running()
                for number, watched in self.watched.items():
                    session, transaction = running.get(number, (None, None))
                    self._watch_point(number, watched, session)
                    self._watch_refusal(number, watched, transaction)

    def _supervise(self) -> None:
        silent = self.hardware.silent_s(self.loop.time())
        if silent is not None and silent > SILENT_S:
            self.note(f"hardware is silent for {silent:.1f} s")
            self.kill(self.hardware)

    def _watch_point(self, number: int, watched: Watched, session: int | None) -> None:
        now_s, flows = self.loop.time(), watched.outlet.current > 0
        if not flows or session is not None:
            watched.unrecorded_since_s = None
        elif watched.unrecorded_since_s is None:
            watched.unrecorded_since_s = now_s
        elif now_s - watched.unrecorded_since_s > UNRECORDED_S:
            self.complain(f"{watched.outlet.current} mA without a session at {number} for {UNRECORDED_S} s")
            watched.unrecorded_since_s = now_s + 3600
        if session is None or watched.stop_confirmed != session or not flows:
            watched.stop_confirmed, watched.disobeyed_s = watched.stop_confirmed if session else None, 0.0
        elif self.hardware.ready and not self.hall.controllers[number].silent:
            watched.disobeyed_s += TICK_S
            if watched.disobeyed_s > STOPS_S:
                self.complain(f"a confirmed stop of session {session} at {number} is not obeyed")
                watched.stop_confirmed = None

    def _watch_refusal(self, number: int, watched: Watched, transaction: int | None) -> None:
        """See that a card the backend has refused gets no energy once its answer is known."""
        refused = {one.number for one in self.central.transactions if one.status != "Accepted"}
        if watched.outlet.current == 0 or transaction not in refused:
            watched.refused_s = 0.0
        elif self.hardware.ready and not self.hall.controllers[number].silent and not self.disk.trouble:
            watched.refused_s += TICK_S
            if watched.refused_s > STOPS_S:
                self.complain(f"the refused card of transaction {transaction} at {number} charges on")
                watched.refused_s = -3600.0

    def limits_kept(self) -> None:
        """Compare the currents of every instant with the mains."""
        for phase in range(3):
            highest = self.hall.highest_sum(phase)
            if highest > self.mains_a * 1000:
                self.complain(f"{highest} mA on phase {phase + 1} of mains with {self.mains_a} A")

    # --- meters nobody can believe

    def meter_trouble(self, number: int, *, begins: bool) -> None:
        """Note that from now on (or until now) a meter tells nothing, or nothing true."""
        watched = self.watched[number]
        watched.outlet.integrate()
        if begins and not watched.troubles:
            # A session that a power cut has ended is open until the next boot asks the meter, too.
            is_open = ChargingSession.objects.running().on(number).exists()
            watched.unread_from_wh = watched.outlet.energy_wh - (
                UNNOTED_WH if is_open or watched.outlet.current else 0.0
            )
        watched.troubles += 1 if begins else -1
        if not watched.troubles:
            watched.unread_wh += watched.outlet.energy_wh - watched.unread_from_wh

    # --- waiting

    async def powered(self) -> None:
        """Wait until the power is back."""
        while self.power_is_cut:
            await asyncio.sleep(DARK_TICK_S)

    async def until(self, condition: Callable[[], Any], seconds: float, *, look_s: float = 0.25) -> bool:
        """Wait until something is so; answers False when it is not in time."""
        deadline_s = self.loop.time() + seconds
        while not condition():
            if self.loop.time() > deadline_s:
                return False
            await asyncio.sleep(look_s)
        return True

    async def ask(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Call the station as the backend; empty when nothing comes back."""
        with suppress(ConnectionError, TimeoutError, Exception):
            return await self.central.call(action, payload)
        return {}

    def owed(self) -> int:
        """Count what the backend has not confirmed."""
        return outbox.owed()

    def later(self, seconds: float) -> str:
        """Write a moment as a backend does."""
        return (self.clock.now() + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def _running() -> dict[int, tuple[int, int | None]]:
    """Read the running session and transaction of each point, in the cheapest way: it is done four times a second."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT connector_id, id, transaction_id FROM station_chargingsession WHERE stopped_at IS NULL")
        return {connector: (session, transaction) for connector, session, transaction in cursor.fetchall()}


def _is_expected(error: BaseException) -> bool:
    """Tell whether an error in a log is what was injected, reported as it should be."""
    return isinstance(error, DatabaseError | ConnectionError)
