"""What happens to a simulated station: drivers, the operator, and everything that may fail, as the dice fall."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from station.domain.faults import FaultCode
from station.domain.moments import EARLIEST_STAMP
from station.models import ChargingSession, Connector, LogEntry
from tests.fakes import Car
from tests.reliability import disk
from tests.reliability.central import Transaction, moment_of
from tests.reliability.site import BLOCKED, CARDS, STARTED_AT, STRANGERS, Site

ACTS = 40
CALM_S = 90.0
# Everything that was owed is told by then, retries with growing pauses included.
DELIVERED_S = 4 * 3600.0
FREES_S = 120.0
CHARGES_S = 40.0
_PAUSES_S = (0.02, 0.1, 0.3, 1.0, 1.0, 3.0, 3.0, 10.0, 30.0)
# The currents that tell a working board apart from one that stands on its fallback.
_LIMITS_A = (0, 6, 8.5, 10, 16, 25, 32)
_CONNECTOR_FAULTS = (
    FaultCode.GROUND_FAILURE,
    FaultCode.OVER_CURRENT_FAILURE,
    FaultCode.HIGH_TEMPERATURE,
    FaultCode.EV_COMMUNICATION_ERROR,
)


@dataclass(frozen=True)
class Trouble:
    """Something that fails for a while."""

    name: str
    begin: Callable[[], None]
    end: Callable[[], None]
    seconds: tuple[float, ...] = (0.5, 3.0, 3.0, 12.0, 45.0, 90.0)


class Scenario:
    """One life of a station. `play` does it all; what is broken stands in the complaints of the site."""

    def __init__(self, *, acts: int = ACTS, deadly: bool = False) -> None:
        """`deadly`: most of what happens is that something dies."""
        self.acts = acts
        self.deadly = deadly

    async def play(self, site: Site) -> None:
        """Start, live through everything, calm down and settle the accounts."""
        self.site, self.dice = site, site.dice
        self.mending: list[Callable[[], None]] = []
        if not await site.until(lambda: site.hardware.ready and site.central.connected, 60):
            site.complain("never ready")
            return
        things = self._acts()
        if self.deadly:
            things |= dict.fromkeys((self.kill, self.kill_at_commit), 45)
        for _ in range(self.acts):
            if self.dice.random() < 0.5 and not any(outlet.current for outlet in site.hall.outlets.values()):
                await self.charge()
            await self.dice.choices(list(things), weights=list(things.values()))[0]()
            await asyncio.sleep(self.dice.choice(_PAUSES_S) * self.dice.uniform(0.5, 1.5))
        await Aftermath(self).play()

    def _acts(self) -> dict[Callable[[], Awaitable[None]], int]:
        return {
            self.plug: 4,
            self.unplug: 6,
            self.tap: 8,
            self.tap_stranger: 2,
            self.car_pauses: 2,
            self.press_button: 2,
            self.remote_start: 5,
            self.remote_stop: 6,
            self.unlock: 2,
            self.set_limit: 6,
            self.clear_limits: 1,
            self.set_availability: 2,
            self.reserve: 2,
            self.reset: 1,
            self.change_interval: 1,
            self.kill: 8,
            self.kill_at_commit: 6,
            self.stop_process: 3,
            self.end_in_order: 1,
            self.cut_power: 2,
            self.trouble: 22,
            self.clock_jumps: 2,
        }

    # --- what people do

    def _number(self) -> int:
        return self.dice.randint(1, self.site.points)

    async def plug(self) -> None:
        outlet = self.site.hall.outlets[self._number()]
        if outlet.car is None:
            car = Car(
                max_current=self.dice.choice((10_000, 16_000, 32_000)),
                phases=self.dice.choice((1, 3, 3)),
                ready=self.dice.random() < 0.9,
                starts_s=self.dice.choice((0.2, 0.4, 2.0)),
                follows_s=self.dice.choice((0.1, 0.3, 2.0)),
                ends_s=self.dice.choice((0.1, 0.2, 1.5)),
            )
            outlet.plug(car)
            self.site.note(f"{car} is plugged in at {outlet.number}")

    async def unplug(self) -> None:
        outlet = self.site.hall.outlets[self._number()]
        if outlet.car is not None:
            outlet.unplug()
            self.site.note(f"unplugged at {outlet.number}")

    async def tap(self) -> None:
        card = self.dice.choice((*CARDS, CARDS[0], BLOCKED))
        self.site.hall.reader.tap(card)
        self.site.note(f"card {card}")

    async def tap_stranger(self) -> None:
        card = self.dice.choice(STRANGERS)
        self.site.hall.reader.tap(card)
        self.site.note(f"card {card}")

    async def charge(self) -> None:
        """Bring a car and a good card, and wait a while for energy."""
        outlet = self.site.hall.outlets[self._number()]
        if outlet.car is None:
            outlet.plug(Car(max_current=self.dice.choice((16_000, 32_000)), phases=self.dice.choice((1, 3))))
        await asyncio.sleep(self.dice.choice((0.1, 1.0, 1.0, 2.0)))
        self.site.hall.reader.tap(card := self.dice.choice((*CARDS, *CARDS, STRANGERS[1])))
        self.site.note(f"a car at {outlet.number}, and card {card}")
        await self.site.until(lambda: outlet.current > 0, self.dice.choice((0.5, 2.0, 10.0)), look_s=0.05)

    async def car_pauses(self) -> None:
        outlet = self.site.hall.outlets[self._number()]
        if outlet.car is not None:
            outlet.set_ready(ready=not outlet.car.ready)
            self.site.note(f"the car at {outlet.number} is ready: {outlet.car.ready}")

    async def press_button(self) -> None:
        outlet = self.site.hall.outlets[self._number()]
        outlet.button = True
        self.site.note(f"button at {outlet.number}")
        await asyncio.sleep(0.6)
        outlet.button = False

    # --- what the operator does

    async def _ask(self, action: str, payload: dict[str, Any]) -> str:
        self.site.note(f"{action} {payload}")
        asking = asyncio.ensure_future(self.site.ask(action, payload))
        done, _ = await asyncio.wait({asking}, timeout=self.dice.choice((0.05, 1.0, 8.0)))
        answer = asking.result() if done else {}
        if done:
            self.site.note(f"  answered {answer}")
        return str(answer.get("status", ""))

    async def remote_start(self) -> None:
        payload: dict[str, Any] = {"connectorId": self._number(), "idTag": self.dice.choice(CARDS)}
        await self._ask("RemoteStartTransaction", payload)

    async def remote_stop(self) -> None:
        running = list(ChargingSession.objects.running().exclude(transaction_id=None))
        if not running:
            return
        session = self.dice.choice(running)
        status = await self._ask("RemoteStopTransaction", {"transactionId": session.transaction_id})
        if status == "Accepted":
            watched = self.site.watched[session.connector_id]
            watched.stop_confirmed, watched.disobeyed_s = session.pk, 0.0

    async def unlock(self) -> None:
        await self._ask("UnlockConnector", {"connectorId": self._number()})

    async def set_limit(self) -> None:
        purpose, connector = self.dice.choice(
            (("ChargePointMaxProfile", 0), ("TxDefaultProfile", 0), ("TxDefaultProfile", 1))
        )
        schedule = {
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": self.dice.choice(_LIMITS_A)}],
        }
        profile = {
            "chargingProfileId": 10 + connector,
            "stackLevel": 0,
            "chargingProfilePurpose": purpose,
            "chargingProfileKind": "Absolute",
            "chargingSchedule": schedule | {"startSchedule": "2026-01-01T00:00:00Z"},
        }
        await self._ask("SetChargingProfile", {"connectorId": connector, "csChargingProfiles": profile})

    async def clear_limits(self) -> None:
        await self._ask("ClearChargingProfile", {})

    async def set_availability(self) -> None:
        kind = self.dice.choice(("Operative", "Inoperative", "Operative"))
        await self._ask("ChangeAvailability", {"connectorId": self.dice.randint(0, self.site.points), "type": kind})

    async def reserve(self) -> None:
        await self._ask(
            "ReserveNow",
            {
                "connectorId": self._number(),
                "expiryDate": self.site.later(self.dice.choice((5, 60, 600))),
                "idTag": self.dice.choice(CARDS),
                "reservationId": self.dice.randint(1, 3),
            },
        )

    async def reset(self) -> None:
        await self._ask("Reset", {"type": self.dice.choice(("Soft", "Hard"))})

    async def change_interval(self) -> None:
        key, value = self.dice.choice(
            (("MeterValueSampleInterval", "1"), ("MeterValueSampleInterval", "60"), ("ClockAlignedDataInterval", "60"))
        )
        await self._ask("ChangeConfiguration", {"key": key, "value": value})

    # --- what dies

    def _part(self) -> Any:
        return self.dice.choice((self.site.hardware, self.site.hardware, self.site.ocpp))

    async def kill(self) -> None:
        part = self._part()
        if part.process is not None and part.process.alive:
            part.process.dies_at_step = (
                part.process.steps + self.dice.choice((1, 20, 300, 3000)) + self.dice.randrange(50)
            )
            self.site.note(f"{part.process.name} dies at step {part.process.dies_at_step}")

    async def kill_at_commit(self) -> None:
        where = self.site.disk
        where.dies_at_commit = where.commits + self.dice.randint(1, 12)
        where.dies_before_commit = self.dice.random() < 0.5
        self.site.note(f"whoever makes commit {where.dies_at_commit} dies (before it: {where.dies_before_commit})")

    async def stop_process(self) -> None:
        process = self._part().process
        if process is not None and process.alive:
            self.site.note(f"SIGSTOP {process.name}")
            process.stop()
            self.site.timers.call_later(self.dice.choice((0.3, 2.0, 4.0, 20.0)), process.go_on)

    async def end_in_order(self) -> None:
        comes_back = self.dice.random() < 0.5
        self.site.note(f"SIGTERM hardware, comes back: {comes_back}")
        self.site.hardware.terminate(comes_back=comes_back)

    async def cut_power(self) -> None:
        seconds = self.dice.choice((3.0, 10.0, 30.0, 30.0, 8 * 3600.0))
        loses_clock = self.dice.random() < 0.3 and not self.site.clock.jumped
        self.site.note(f"power cut for {seconds:.0f} s, the clock is lost: {loses_clock}")
        self.site.cut_power(seconds, loses_clock=loses_clock)
        if seconds > CALM_S:
            await self.site.powered()

    # --- what fails for a while

    async def trouble(self) -> None:
        site = self.site
        trouble = self.dice.choice(self._troubles())
        seconds = self.dice.choice(trouble.seconds) * self.dice.uniform(0.5, 1.5)
        site.note(f"trouble: {trouble.name} for {seconds:.1f} s")
        trouble.begin()
        self.mending.append(trouble.end)

        def end() -> None:
            if trouble.end in self.mending:
                self.mending.remove(trouble.end)
                trouble.end()
                site.note(f"no more {trouble.name}")

        site.timers.call_later(seconds, end)

    def _troubles(self) -> list[Trouble]:
        return [*self._device_troubles(), *self._backend_troubles(), *self._computer_troubles()]

    def _device_troubles(self) -> list[Trouble]:
        site, number = self.site, self._number()
        controller, meter, outlet = site.hall.controllers[number], site.hall.meters[number], site.hall.outlets[number]

        def unread(*, begins: bool, **what: Any) -> None:
            site.meter_trouble(number, begins=begins)
            for name, value in what.items():
                setattr(meter, name, value)

        fault = self.dice.choice(_CONNECTOR_FAULTS)
        return [
            _set(controller, "silent", to=True, back=False, name=f"controller {number} is silent"),
            _set(controller, "noisy", to=True, back=False, name=f"controller {number} is noise"),
            _set(controller, "latency_s", to=0.5, back=0.01, name=f"controller {number} is slow"),
            _set(meter, "latency_s", to=0.5, back=0.01, name=f"meter {number} is slow"),
            Trouble(
                f"meter {number} is silent",
                lambda: unread(begins=True, silent=True),
                lambda: unread(begins=False, silent=False),
            ),
            Trouble(
                f"meter {number} is noise",
                lambda: unread(begins=True, noisy=True),
                lambda: unread(begins=False, noisy=False),
            ),
            _set(site.hall.reader, "silent", to=True, back=False, name="reader is silent"),
            _set(site.hall.reader, "noisy", to=True, back=False, name="reader is noise"),
            Trouble(f"{fault} at {number}", lambda: outlet.faults.add(fault), lambda: outlet.faults.discard(fault)),
            Trouble(
                f"lock {number} jams", lambda: setattr(outlet, "bolt_jammed", True), lambda: self._free_bolt(outlet)
            ),
        ]

    @staticmethod
    def _free_bolt(outlet: Any) -> None:
        outlet.bolt_jammed = False
        outlet.settle()

    def _backend_troubles(self) -> list[Trouble]:
        site = self.site
        long = (10.0, 60.0, 300.0)
        return [
            _set(site.central, "mood", to=site.central.bad_mood(0.5), back=None, name="bad mood", seconds=long),
            _set(site.central, "mood", to=site.central.bad_mood(0.9), back=None, name="very bad mood", seconds=long),
            _set(site.central, "strict", to=True, back=False, name="strict backend", seconds=long),
            _set(site.network, "latency_s", to=2.0, back=0.01, name="slow network", seconds=long),
            Trouble("network cut", site.network.cut, site.network.mend, (1.0, 20.0, 120.0, 1200.0)),
            Trouble("connection reset", site.network.drop, _nothing),
            Trouble("half-open connection", site.network.half_open, _nothing),
        ]

    def _computer_troubles(self) -> list[Trouble]:
        site = self.site
        number = site.disk.writes + self.dice.randint(1, 40)
        return [
            _set(site.disk, "trouble", to=disk.FULL, back="", name="disk full"),
            _set(site.disk, "trouble", to=disk.BROKEN, back="", name="broken disk", seconds=(0.5, 5.0)),
            _set(site.disk, "trouble", to=disk.LOCKED, back="", name="locked database", seconds=(0.5, 5.0, 15.0)),
            _set(site.disk, "fails_at", to=number, back=None, name=f"write {number} fails", seconds=(60.0,)),
            _set(site.disk, "latency_s", to=0.3, back=0.004, name="slow disk"),
            Trouble("hanging disk", site.disk.hang, site.disk.go_on, (0.5, 3.0, 9.0, 25.0)),
            _set(site.redis, "down", to=True, back=False, name="Redis gone"),
            _set(site.redis, "hung", to=True, back=False, name="Redis hangs"),
        ]

    async def clock_jumps(self) -> None:
        jump = timedelta(seconds=self.dice.choice((-3600, -1, 1, 3600, 86_400)))
        if not self.site.computer.trustworthy:
            return
        self.site.clock_was_set = True
        self.site.clock.jumped += jump
        self.site.note(f"the clock jumps by {jump}")


class Aftermath:
    """Everything works again: nothing may be left broken, unusable, untold or told wrongly."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.site = scenario.site

    async def play(self) -> None:
        site = self.site
        site.note("calm")
        await site.powered()
        self._mend()
        await asyncio.sleep(CALM_S / 3)
        if not await site.until(lambda: site.hardware.ready and site.central.connected, CALM_S):
            reasons = site.hardware.reasons()
            site.complain(f"not ready again: {reasons}, connected: {site.central.connected}")
            return
        await self._in_service()
        for number in site.hall.outlets:
            await self._is_usable(number)
        # What was set aside is told after the next boot.
        site.note("last boot")
        site.cut_power()
        await site.powered()
        if not await site.until(lambda: site.hardware.ready and site.central.connected, CALM_S):
            site.complain("not ready after the last boot")
        if not await site.until(lambda: not site.owed(), DELIVERED_S, look_s=5.0):
            site.complain(f"{site.owed()} messages are never delivered")
        await asyncio.sleep(5.0)
        Accounts(site).settle()

    def _mend(self) -> None:
        site = self.site
        for end in self.scenario.mending:
            end()
        self.scenario.mending.clear()
        site.disk.mend()
        site.disk.dies_at_commit = None
        for part in (site.hardware, site.ocpp):
            if part.process is not None:
                part.process.dies_at_step = None
                if part.process.alive and not part.process.running:
                    part.process.go_on()

    async def _in_service(self) -> None:
        """Undo what the operator may have wanted."""
        site = self.site
        for outlet in site.hall.outlets.values():
            outlet.unplug()
        await asyncio.sleep(10.0)
        for reservation in (1, 2, 3):
            await site.ask("CancelReservation", {"reservationId": reservation})
        await site.ask("ClearChargingProfile", {})
        await site.ask("ChangeAvailability", {"connectorId": 0, "type": "Operative"})

    async def _is_usable(self, number: int) -> None:
        site, outlet = self.site, self.site.hall.outlets[number]
        if not await site.until(lambda: self._status(number) == "Available" and not outlet.cable, FREES_S):
            site.complain(
                f"point {number} stays {self._status(number)}, cable {outlet.cable}, told {site.central.statuses}"
            )
            return
        outlet.plug(Car())
        await asyncio.sleep(3.0)
        site.hall.reader.tap(CARDS[0])
        if not await site.until(lambda: outlet.current > 0, CHARGES_S):
            site.complain(f"point {number} is {self._status(number)} and does not charge; {_recent_log()}")
        await asyncio.sleep(30.0)
        outlet.unplug()
        if not await site.until(lambda: self._status(number) == "Available", FREES_S):
            site.complain(f"point {number} stays {self._status(number)} after a last session")

    @staticmethod
    def _status(number: int) -> str:
        return Connector.objects.get(number=number).status


class Accounts:
    """P1: each session once at the backend, begun and ended, and every watt-hour of the meter on one of them."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def settle(self) -> None:
        """Complain about whatever does not add up."""
        site = self.site
        site.complaints += site.central.complaints
        site.limits_kept()
        booked = {one.number: one for one in site.central.transactions}
        sessions = list(ChargingSession.objects.order_by("id"))
        if len(booked) != len(sessions) or len(booked) != len(site.central.transactions):
            site.complain(f"{len(sessions)} sessions, {len(site.central.transactions)} transactions")
        for session in sessions:
            one = booked.get(session.transaction_id or 0) if session.transaction_id is not None else None
            told = one and one.stop and (one.start["connectorId"], one.start["meterStart"], one.stop["meterStop"])
            ours = (session.connector_id, session.meter_start_wh, session.meter_stop_wh)
            if told != ours:
                site.complain(f"session {session.pk} {ours} is booked as {one and _short(one)}")
        for number in site.hall.outlets:
            self._energy(number)
        for one in site.central.transactions:
            self._stamps(one)

    def _stamps(self, one: Transaction) -> None:
        """A session ends after its begin; what a power cut ended has ended by then, not at the boot (errata 3.17)."""
        site = self.site
        if one.stop is None:
            return
        began, ended = moment_of(one.start), moment_of(one.stop)
        if not EARLIEST_STAMP <= began <= ended:
            site.complain(f"transaction {one.number} is told {began} to {ended}: {_short(one)}")
        if site.clock_was_set:
            return
        if not STARTED_AT <= began <= ended <= STARTED_AT + timedelta(seconds=site.loop.time() - 1000):
            site.complain(f"the stamps of transaction {one.number} make no sense: {_short(one)}, {began}, {ended}")
        began_s, ended_s = ((moment - STARTED_AT).total_seconds() + 1000 for moment in (began, ended))
        if any(began_s + 1 < cut_s < ended_s - 1 for cut_s in site.power_cuts_s):
            site.complain(f"transaction {one.number} did not end when the power failed: {_short(one)}")

    def _energy(self, number: int) -> None:
        site, watched = self.site, self.site.watched[number]
        slack_wh = watched.unread_wh
        stopped = [one for one in site.central.transactions if one.start["connectorId"] == number and one.stop]
        before_wh = float(site.first_wh[number])
        # By the register: numbers say nothing of the order, a backend may give 0 after 2. One without energy is first.
        for one in sorted(stopped, key=lambda one: (one.start["meterStart"], one.stop["meterStop"], one.number)):
            step_wh = one.start["meterStart"] - before_wh
            if step_wh < -1 or step_wh > 1 + slack_wh:
                site.complain(f"{step_wh:+.1f} Wh before transaction {one.number} at {number} of {_short(one)}")
            slack_wh = max(0.0, slack_wh - max(0.0, step_wh - 1))
            before_wh = float(one.stop["meterStop"] if one.stop else 0)
        step_wh = watched.outlet.register_wh - before_wh
        if step_wh < -1 or step_wh > 1 + slack_wh:
            site.complain(f"{step_wh:+.0f} Wh after the last transaction at {number}")


def _recent_log() -> str:
    rows = LogEntry.objects.order_by("-id")[:6]
    return "; ".join(f"{row.at:%H:%M:%S} {row.code} {row.data}" for row in reversed(rows))


def _short(one: Transaction) -> str:
    stop = one.stop or {}
    moments = f"{one.start['timestamp'][11:19]} to {stop.get('timestamp', '?')[11:19]}"
    return f"{one.start['meterStart']} to {stop.get('meterStop')} Wh, {moments}, {stop.get('reason')}"


def _set(thing: Any, attribute: str, /, *, to: Any, back: Any, **trouble: Any) -> Trouble:
    return Trouble(begin=lambda: setattr(thing, attribute, to), end=lambda: setattr(thing, attribute, back), **trouble)


def _nothing() -> None:
    pass
