"""Devices, database thread and Redis as the control loop sees them, in virtual time.

`VirtualLoop` never waits: when nothing is ready, its clock jumps to the next timer. The outlets obey a little physics –
a car that follows the pilot as slowly as IEC 61851 allows, a contactor, a meter that integrates – and write down every
change of current, so that a test can ask what flowed at every instant.
"""

import asyncio
import selectors
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, Self, TypeVar, cast

from django.db import OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError

from hardware.drivers.config import Devices
from station.domain.faults import FaultCode
from station.domain.mobile import ModemStatus
from station.domain.ports import (
    ControllerCapabilities,
    ControllerIdentity,
    ControllerStatus,
    DeviceSilent,
    LampPattern,
    MeasuredPhases,
    MeterIdentity,
    MeterReading,
    Pilot,
    ReaderSignal,
    ReadingUnusable,
    Signal,
    StationInputs,
    Tag,
)
from station.domain.units import MINIMUM_CURRENT, MilliAmpere, MilliHertz, MilliVolt, Watt, WattHour
from station.domain.vendor_access import Door
from station.host import Host
from station.host.ports import Inhibitor, NetworkPort

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

SECONDS_PER_HOUR = 3600.0
VOLTS = 230
# A loop that takes this many turns without its clock moving spins for ever.
TURNS_AT_ONE_MOMENT = 5_000


class NothingWillHappen(AssertionError):
    """Everything waits for something that nobody is going to do."""


class LoopSpins(AssertionError):
    """The loop turns without time passing."""


class _Skipping(selectors.SelectSelector):
    """A selector that lets time pass instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if ready := super().select(0):
            # What real descriptors have to say needs no time.
            return ready
        if timeout is None:
            raise NothingWillHappen
        if timeout > 0:
            self.now_s += timeout
            self._turns = 0
        self._turns += 1
        if self._turns > TURNS_AT_ONE_MOMENT:
            raise LoopSpins
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.now_s

    def stand_still(self, seconds: float) -> None:
        """Let time pass in which nothing here is done."""
        self._skipping.now_s += seconds

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """Do at once what would be done in a thread: while one waits for it, this clock would leap ahead."""
        if executor is not None:
            return super().run_in_executor(executor, func, *args)
        future: asyncio.Future[Any] = self.create_future()
        try:
            future.set_result(func(*args))
        except (OSError, RuntimeError) as error:
            future.set_exception(error)
        return future


@dataclass
class Clock:
    """`station.clock` in virtual time; `rate` and `jump` are what a wall clock does beside the steady one."""

    loop: VirtualLoop
    epoch: datetime = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    rate: float = 1.0
    jumped: timedelta = timedelta()

    def monotonic_s(self) -> float:
        return self.loop.time()

    def now(self) -> datetime:
        return self.epoch + timedelta(seconds=(self.loop.time() - 1000.0) * self.rate) + self.jumped


@dataclass
class InlineDatabase:
    """The database thread without a thread: one verb after the other, each taking a little virtual time."""

    latency_s: float = 0.004
    refuses: Callable[[str], bool] | None = None
    # How long it takes until a verb is refused: SQLite waits for a lock.
    refuses_after_s: float = 0.0
    busy_since_s: float | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(
        self, function: Callable[_Parameters, _Result], /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> _Result:
        async with self._turn:
            self.busy_since_s = asyncio.get_running_loop().time()
            is_refused = self.refuses is not None and self.refuses(getattr(function, "func", function).__name__)
            await asyncio.sleep(self.refuses_after_s if is_refused else self.latency_s)
            self.busy_since_s = None
            if is_refused:
                raise OperationalError("disk I/O error")
            return function(*args, **kwargs)

    def close(self) -> None:
        pass


@dataclass(kw_only=True)
class FakePipeline:
    """Commands of a FakeRedis gathered for one round trip."""

    redis: "FakeRedis"
    commands: list[tuple[str, str, str]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.commands.clear()

    def set(self, key: str, value: str, *, ex: int | None = None) -> "FakePipeline":
        self.commands.append(("set", key, value))
        return self

    def exists(self, key: str) -> "FakePipeline":
        self.commands.append(("exists", key, ""))
        return self

    def rpush(self, key: str, value: str) -> "FakePipeline":
        self.commands.append(("rpush", key, value))
        return self

    def ltrim(self, key: str, start: int, _end: int) -> "FakePipeline":
        self.commands.append(("ltrim", key, str(start)))
        return self

    def expire(self, _key: str, _seconds: int) -> "FakePipeline":
        return self

    async def execute(self) -> list[object]:
        answers: list[object] = []
        for name, key, value in self.commands:
            if name == "set":
                await self.redis.set(key, value)
                answers.append(True)
            elif name == "rpush":
                await self.redis.rpush(key, value)
                answers.append(len(self.redis.lists[key]))
            elif name == "ltrim":
                self.redis.lists[key] = self.redis.lists[key][int(value) :]
                answers.append(True)
            else:
                answers.append(int(await self.redis.get(key) is not None))
        return answers


@dataclass
class FakeRedis:
    """As much of Redis as the control loop uses."""

    values: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    down: bool = False
    uptime_s: int = 0

    def _answer(self) -> None:
        if self.down:
            raise RedisConnectionError

    async def get(self, key: str) -> str | None:
        self._answer()
        return self.values.get(key)

    async def set(self, key: str, value: str, *, ex: int | None = None) -> None:
        self._answer()
        self.values[key] = value

    def pipeline(self, *, transaction: bool) -> "FakePipeline":
        return FakePipeline(redis=self)

    async def info(self, section: str) -> dict[str, int]:
        self._answer()
        return {"uptime_in_seconds": self.uptime_s}

    async def rpush(self, key: str, value: str) -> None:
        self._answer()
        self.lists.setdefault(key, []).append(value)

    async def expire(self, key: str, seconds: int) -> None:
        self._answer()


@dataclass
class ChannelLayer:
    """A channel layer that writes down what was sent, and may act on it."""

    sent: list[dict[str, Any]] = field(default_factory=list)
    heard: Callable[[dict[str, Any]], None] | None = None
    down: bool = False
    hangs: bool = False

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        if self.down:
            raise RedisConnectionError
        if self.hangs:
            await asyncio.Event().wait()
        self.sent.append(message)
        if self.heard is not None:
            self.heard(message)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        if self.down:
            raise RedisConnectionError


@dataclass(kw_only=True)
class Car:
    """A car. `starts_s`, `follows_s`, `ends_s`: how long it takes to close its contact, to follow less, to stop."""

    max_current: int = 32_000
    phases: int = 3
    ready: bool = True
    starts_s: float = 0.4
    follows_s: float = 0.3
    ends_s: float = 0.2


class Outlet:
    """The physical truth at one charging point."""

    def __init__(self, number: int, contactor_moves: Callable[["Outlet"], None]) -> None:
        self.number = number
        self.car: Car | None = None
        self.cable = 0
        self.lock_commanded = self.released = False
        self.available = True
        self.offered = 0
        self.bolt_jammed = False
        self.bolt_takes_s = 0.15
        self._bolt_in = False
        self.lock_at_s = 0.0
        self.faults: set[FaultCode] = set()
        self.button = False
        self.welded = False
        self.contactor = False
        self.current = 0
        self.energy_wh = 5_000.0
        # (moment, current per phase, phases)
        self.history: list[tuple[float, int, int]] = []
        self._since_s = asyncio.get_running_loop().time()
        self._moves = contactor_moves

    # --- what people do

    def plug(self, car: Car | None = None, *, cable: int = 32_000) -> None:
        self.car, self.cable = car or Car(), cable
        self.settle()

    def unplug(self) -> None:
        """Pull the car's end, and the station's when its bolt lets go."""
        self.car = None
        self._flow(0)
        self.settle()

    def set_ready(self, *, ready: bool) -> None:
        assert self.car is not None
        self.car.ready = ready
        self.settle()

    # --- physics

    @property
    def bolt_in(self) -> bool:
        """Where the bolt really is."""
        self._move_bolt()
        return self._bolt_in

    @property
    def lock_failed(self) -> bool:
        """Whether the board has noticed that the bolt did not arrive."""
        self._move_bolt()
        return self._bolt_in != self.lock_commanded and self._bolt_should_be_there()

    @property
    def locked(self) -> bool:
        """What the board says: the command at once, the truth when its motor has run."""
        return self.lock_commanded != self.lock_failed

    def _bolt_should_be_there(self) -> bool:
        return asyncio.get_running_loop().time() - self.lock_at_s >= self.bolt_takes_s

    def _move_bolt(self) -> None:
        if not self.bolt_jammed and self._bolt_should_be_there():
            self._bolt_in = self.lock_commanded

    @property
    def pwm_on(self) -> bool:
        return self.car is not None and self.available and self.released and self.offered >= MINIMUM_CURRENT

    @property
    def pilot(self) -> Pilot:
        if not self.available:
            return Pilot.F
        if self.car is None:
            return Pilot.A
        return Pilot.C if self.contactor or (self.pwm_on and self._closed) else Pilot.B

    _closed = False

    def target(self) -> int:
        wants = self.car is not None and self.car.ready and self.pwm_on
        return min(self.offered, self.car.max_current) if wants and self.car is not None else 0

    def settle(self) -> None:
        """Let the car follow, as late as it likes."""
        if self.cable and self.car is None and not self.bolt_in:
            self.cable = 0
        car, target = self.car, self.target()
        if car is None:
            self._flow(0)
        elif target > self.current and self._closed:
            self._flow(target)
        elif target > self.current:
            asyncio.get_running_loop().call_later(car.starts_s, self._close, car)
        elif target < self.current or (self._closed and target == 0):
            delay_s = car.ends_s if target == 0 else car.follows_s
            asyncio.get_running_loop().call_later(delay_s, self._follow, car)

    def _close(self, car: Car) -> None:
        if self.car is car and self.target() > 0:
            self._closed = True
            self._flow(self.target())

    def _follow(self, car: Car) -> None:
        if self.car is car:
            self._flow(self.target())

    def _flow(self, current: int) -> None:
        self.integrate()
        self._closed = current > 0
        closes = current > 0 and not self.contactor
        self.contactor = current > 0 or self.welded
        self.current = current
        self.history.append((asyncio.get_running_loop().time(), current, self.car.phases if self.car else 3))
        if closes:
            self._moves(self)

    def integrate(self) -> None:
        now_s = asyncio.get_running_loop().time()
        phases = self.car.phases if self.car else 3
        self.energy_wh += self.current / 1000 * VOLTS * phases * (now_s - self._since_s) / SECONDS_PER_HOUR
        self._since_s = now_s

    @property
    def register_wh(self) -> int:
        self.integrate()
        return int(self.energy_wh)


@dataclass
class _Device:
    outlet: Outlet
    latency_s: float = 0.01
    silent: bool = False
    # A driver that waits for something that never comes.
    hangs: bool = False

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def _answer(self) -> None:
        await asyncio.sleep(self.latency_s)
        while self.hangs:
            await asyncio.sleep(1.0)
        if self.silent:
            await asyncio.sleep(0.1)
            raise DeviceSilent("no answer")


class FakeController(_Device):
    """An EvseController."""

    capabilities = ControllerCapabilities(
        lock=True, contactor_feedback=True, resolution=MilliAmpere(100), watchdog=None
    )
    # Whether a mirror contact tells of the contactor.
    has_feedback = True
    # Hears and obeys, but is not heard: the other half of the line is broken.
    mute = False

    async def identify(self) -> ControllerIdentity:
        await self._answer()
        return ControllerIdentity(model="FAKE-EVSE", serial=f"C{self.outlet.number}", hardware_id="1/1", firmware="1.0")

    async def read_status(self) -> ControllerStatus:
        await self._answer()
        if self.mute:
            raise DeviceSilent("no answer")
        outlet = self.outlet
        faults = outlet.faults | ({FaultCode.CONNECTOR_LOCK_FAILURE} if outlet.lock_failed else set())
        return ControllerStatus(
            read_at_s=asyncio.get_running_loop().time(),
            pilot=outlet.pilot,
            pwm_on=outlet.pwm_on,
            offered=MilliAmpere(outlet.offered if outlet.pwm_on else 0),
            cable=MilliAmpere(outlet.cable),
            locked=outlet.locked,
            contactor_closed=outlet.contactor if self.has_feedback else None,
            enabled=outlet.released,
            button_pressed=outlet.button,
            faults=frozenset(faults),
        )

    async def set_current(self, limit: MilliAmpere) -> None:
        await self._answer()
        self.outlet.offered = limit
        self.outlet.settle()

    async def set_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - the port's signature
        await self._answer()
        self.outlet.released = enabled
        self.outlet.settle()
        if self.mute:
            raise DeviceSilent("no answer")

    async def set_available(self, available: bool) -> None:  # noqa: FBT001 - the port's signature
        await self._answer()
        self.outlet.available = available
        self.outlet.settle()

    async def lock(self) -> None:
        await self._answer()
        self._drive(locked=True)

    async def unlock(self) -> None:
        await self._answer()
        self._drive(locked=False)

    def _drive(self, *, locked: bool) -> None:
        if self.outlet.lock_commanded != locked:
            loop = asyncio.get_running_loop()
            self.outlet.lock_commanded, self.outlet.lock_at_s = locked, loop.time()
            loop.call_later(self.outlet.bolt_takes_s + 0.001, self.outlet.settle)

    async def restart(self) -> None:
        await self._answer()


class FakeMeter(_Device):
    """A Meter."""

    exchanged = False
    # What is no number, or did not arrive, besides the phases.
    register_is_noise = False

    async def identify(self) -> MeterIdentity:
        await self._answer()
        return MeterIdentity(vendor="FAKE", model="M1", serial="NEW" if self.exchanged else f"M{self.outlet.number}")

    async def read(self) -> MeterReading:
        await self._answer()
        outlet = self.outlet
        phases = outlet.car.phases if outlet.car else 3
        present = [outlet.current if phase < phases else 0 for phase in range(3)]
        powers = [current * VOLTS // 1000 for current in present]
        measured = MeasuredPhases(
            voltages=(MilliVolt(230_000), MilliVolt(230_000), MilliVolt(230_000)),
            currents=(MilliAmpere(present[0]), MilliAmpere(present[1]), MilliAmpere(present[2])),
        )
        if self.register_is_noise:
            raise ReadingUnusable("the register is no number", measured)
        return MeterReading(
            read_at_s=asyncio.get_running_loop().time(),
            import_energy=WattHour(outlet.register_wh),
            power=Watt(sum(powers)),
            voltages=measured.voltages,
            currents=measured.currents,
            phase_powers=(Watt(powers[0]), Watt(powers[1]), Watt(powers[2])),
            frequency=MilliHertz(50_000),
        )


@dataclass
class FakeReader:
    """A TagReader; a card is in the field from a tap until its time is over."""

    field_until_s: dict[str, float] = field(default_factory=dict)
    signals: list[ReaderSignal] = field(default_factory=list)
    silent: bool = False
    technology: str = ""

    def tap(self, uid: str, *, seconds: float = 0.3) -> None:
        self.field_until_s[uid] = asyncio.get_running_loop().time() + seconds

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def poll(self) -> Sequence[Tag]:
        await asyncio.sleep(0.01)
        if self.silent:
            raise DeviceSilent("no answer")
        now_s = asyncio.get_running_loop().time()
        return [
            Tag(uid=uid, technology=self.technology) for uid, until_s in self.field_until_s.items() if until_s > now_s
        ]

    async def signal(self, signal: ReaderSignal) -> None:
        self.signals.append(signal)


@dataclass
class FakeIo:
    """A StationIo."""

    faults: dict[int, frozenset[FaultCode]] = field(default_factory=dict)
    lamps: dict[int, LampPattern] = field(default_factory=dict)
    # The contact of the grid operator's control box; None: no input is assigned to it.
    dimming_closed: bool | None = None
    silent: bool = False
    lamp_problem: str = ""

    @property
    def signals(self) -> frozenset[Signal]:
        return frozenset() if self.dimming_closed is None else frozenset({Signal.DIMMING})

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def read(self) -> StationInputs:
        await asyncio.sleep(0.01)
        if self.silent:
            raise DeviceSilent("no answer")
        closed = {} if self.dimming_closed is None else {Signal.DIMMING: self.dimming_closed}
        return StationInputs(
            read_at_s=asyncio.get_running_loop().time(),
            faults=dict(self.faults),
            closed=closed,
            lamp_problem=self.lamp_problem,
        )

    async def show(self, connector_id: int, pattern: LampPattern) -> None:
        self.lamps[connector_id] = pattern


@dataclass
class FakeComputer:
    """Every port of the computer at once."""

    signal: int | None = 80
    trustworthy: bool = True
    restarts: list[str] = field(default_factory=list)
    refuses: bool = False
    doors: set[Door] = field(default_factory=set)

    def host(self) -> Host:
        # What runs here asks for the uplink only and sets no addresses.
        network = cast("NetworkPort", self)
        return Host(network=network, modem=self, clock=self, power=self, vendor_access=self, is_simulated=True)

    def is_open(self, door: Door) -> bool:
        return door in self.doors

    def switch(self, door: Door, *, is_open: bool) -> None:
        (self.doors.add if is_open else self.doors.discard)(door)

    def addresses(self) -> tuple[str, ...]:
        return ("127.0.0.1",)

    def uplink_up(self) -> bool:
        return True

    def status(self) -> ModemStatus | None:
        return ModemStatus(signal=self.signal, iccid="", imsi="", operator="")

    def is_trustworthy(self) -> bool:
        return self.trustworthy

    def has_been_right(self) -> bool:
        return self.trustworthy

    def set_from_backend(self, at: datetime) -> bool:
        return False

    def restart_software(self) -> None:
        self._restart("software")

    def reboot(self) -> None:
        self._restart("computer")

    def inhibitors(self) -> tuple[Inhibitor, ...]:
        return ()

    def _restart(self, what: str) -> None:
        if self.refuses:
            raise RuntimeError("not now")
        self.restarts.append(what)


@dataclass
class Hall:
    """All the hardware of a station; it stays while the software comes and goes."""

    outlets: dict[int, Outlet]
    controllers: dict[int, FakeController]
    meters: dict[int, FakeMeter]
    reader: FakeReader
    io: FakeIo
    computer: FakeComputer
    phases: dict[int, int] = field(default_factory=dict)
    # Readers of single charging points, instead of the one that serves them all.
    readers: dict[int, FakeReader] = field(default_factory=dict)

    @classmethod
    def build(cls, points: int, contactor_moves: Callable[[Outlet], None]) -> "Hall":
        outlets = {number: Outlet(number, contactor_moves) for number in range(1, points + 1)}
        return cls(
            outlets=outlets,
            controllers={number: FakeController(outlet) for number, outlet in outlets.items()},
            meters={number: FakeMeter(outlet) for number, outlet in outlets.items()},
            reader=FakeReader(),
            io=FakeIo(),
            computer=FakeComputer(),
        )

    def devices(self) -> Devices:
        return Devices(
            controllers=dict(self.controllers),
            meters=dict(self.meters),
            readers=list(self.readers.items()) or [(None, self.reader)],
            io=self.io,
            phases=dict(self.phases),
        )

    def highest_sum(self, phase: int = 0) -> int:
        """Tell the highest current that flowed through one phase of the supply at any instant."""
        changes = sorted(
            (moment, number, current if phase < phases else 0)
            for number, outlet in self.outlets.items()
            for moment, current, phases in outlet.history
        )
        present: dict[int, int] = {}
        highest = 0
        for _, number, current in changes:
            present[number] = current
            highest = max(highest, sum(present.values()))
        return highest
