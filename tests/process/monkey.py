"""The monkey: random drivers, a random backend and random deaths on one started station, beside the reference model.

Each step acts on the station and on the model; then the monkey waits until the station shows what the model expects, to
the backend, in its database and at the simulated contactor. While something is broken only the invariants are watched;
when it is mended, the model takes over what is there and goes on.
"""

import json
import random
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.backend import CallError, Delay, Drop, NoAnswer, Script, StationAway, ThreadedBackend, Twice
from tests.process.judgement import (
    complaints_about_books,
    complaints_about_energy,
    owed,
    owed_but_samples,
    stored_sessions,
    tracebacks,
)
from tests.process.reference_model import KEYS, REFUSED_CHANGES, Point, Profile, Reservation, World
from tests.station import SimulatorRefused, Station, wait_until

CARDS = ("04A1", "04A2", "04A3", "BLOCKED1")
SPEED = 60
SETTLES_S = 15.0
CALM_WITHIN_S = 40.0
# What the model expects must stay so for a moment; what is expected not to happen must not happen for longer.
HOLDS_S, HOLDS_UNCHANGED_S = 0.1, 0.5
CURRENT_TOLERANCE_A = 0.5
CONNECTOR_FAULTS = (
    "GroundFailure",
    "OverCurrentFailure",
    "PowerSwitchFailure",
    "HighTemperature",
    "ConnectorLockFailure",
    "PowerMeterFailure",
    "EVSECommunicationError",
    "EVCommunicationError",
)
STATION_FAULTS = ("UnderVoltage", "ReaderFailure", "OverVoltageProtectionFailure", "WeakSignal")
# A meter that is silent, or a contactor that sticks, lets energy flow that nobody can put on an account.
UNACCOUNTABLE = {"PowerMeterFailure", "PowerSwitchFailure"}
SESSION_PHASES = {"starting", "charging", "suspended_ev", "suspended_evse", "resuming", "ending"}
CORE_CHILDREN = ("ocpp", "web", "worker", "redis", "hardware")


class ModelRefuted(AssertionError):
    """The station did something the model does not allow."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The station at one moment, from all sides."""

    sim: dict[int, dict[str, Any]]
    statuses: dict[int, str]
    phases: dict[int, str]
    sessions: dict[int, str]
    told: dict[int, str]
    connected: bool
    open_transactions: dict[int, str]
    owed: int
    reader_busy: bool


class Monkey:
    """One walk over one station."""

    def __init__(self, station: Station, backend: ThreadedBackend, seed: int) -> None:
        self.station = station
        self.backend = backend
        self.seed = seed
        self.dice = random.Random(seed)
        self.worlds = [World()]
        self.diary: deque[str] = deque(maxlen=60)
        self.steps = 0
        self.calls = 0
        self.broken: list[Callable[[], None]] = []
        # Since when the meter of a point tells no reliable story, and the transactions that ran meanwhile.
        self.unread_since: dict[int, datetime] = {}
        self.unread: set[int | None] = set()
        self._heard = 0
        self._asked: dict[str, str] = {}
        self._actions: list[tuple[int, Callable[[], None]]] = [
            (16, self.plug),
            (7, self.unplug),
            (2, self.unplug_at_the_station),
            (6, self.change_mind),
            (20, self.swipe),
            (3, self.press),
            (3, self.cut_network),
            (11, self.remote_start),
            (6, self.remote_stop),
            (3, self.unlock),
            (5, self.change_availability),
            (5, self.reserve),
            (2, self.cancel_reservation),
            (6, self.set_profile),
            (3, self.clear_profiles),
            (2, self.ask_composite_schedule),
            (4, self.send_list),
            (1, self.clear_cache),
            (5, self.change_configuration),
            (3, self.read_configuration),
            (4, self.trigger),
            (1, self.transfer_data),
            (3, self.misbehave),
            (3, self.break_something),
            (3, self.kill_one),
            (1, self.cut_power),
            (1, self.reset),
        ]

    # --- walking

    def run(self, seconds: float) -> None:
        """Walk for so long, then mend everything and judge."""
        ends_s = time.monotonic() + seconds
        self.settle()
        while time.monotonic() < ends_s:
            self.step()
        self.finish()

    def step(self) -> None:
        """Act once; what is broken is mended after a few steps."""
        self.steps += 1
        weights, actions = zip(*self._actions, strict=True)
        action = self.dice.choices(actions, weights)[0]
        try:
            action()
            if self.broken and self.dice.random() < 0.4:
                self.mend()
            self.settle()
        except Exception as problem:
            raise ModelRefuted(self.report(problem)) from problem

    def report(self, problem: object) -> str:
        """Tell how to come here again, and what happened last."""
        lines = [f"seed {self.seed}, step {self.steps}: {problem}", *self.diary, f"expected {self.worlds}"]
        with suppress(Exception):
            lines.append(f"seen {self.look()}")
        return "\n  ".join(lines)

    def note(self, text: str) -> None:
        """Write the diary."""
        self.diary.append(f"{datetime.now(UTC):%H:%M:%S.%f} {text}")

    @property
    def world(self) -> World:
        """The world, where there is no doubt about it (else one that may be)."""
        return self.worlds[0]

    def becomes(self, follow: Callable[[World], World | list[World]]) -> None:
        """Let the model follow an action."""
        following: list[World] = []
        for world in self.worlds:
            after = follow(world)
            following += after if isinstance(after, list) else [after]
        self.worlds = [each for number, each in enumerate(following) if each not in following[:number]]

    # --- looking

    def look(self) -> Seen:
        """Look at the station from all sides."""
        place = f"file:{self.station.data / 'station.sqlite3'}?mode=ro"
        with closing(sqlite3.connect(place, uri=True, timeout=10)) as database:
            rows = list(database.execute("SELECT number, status, phase FROM station_connector"))
            running = list(
                database.execute("SELECT connector_id, id_tag FROM station_chargingsession WHERE stopped_at IS NULL")
            )
            online = list(database.execute("SELECT connected FROM station_backendstate"))
        state = self.station.sim("/state")
        pages = list(self.backend.books.stations.values())
        told = {int(number): page["status"] for number, page in pages[0].connectors.items()} if pages else {}
        opened = {one.connector_id: one.id_tag for one in self.backend.books.open_transactions()}
        return Seen(
            sim={point["id"]: point for point in state["connectors"]},
            statuses={row[0]: row[1] for row in rows},
            phases={row[0]: row[2] for row in rows},
            sessions=dict(running),
            told=told,
            connected=bool(online and online[0][0]),
            open_transactions=opened,
            owed=owed_but_samples(self.station),
            reader_busy=bool(state["reader"]["waiting"] or state["reader"]["field"]),
        )

    def differences(self, world: World, seen: Seen) -> list[str]:
        """Compare the station with one world."""
        found = []
        if seen.reader_busy:
            found.append("a card is still to be read")
        if seen.connected != world.online:
            found.append(f"connected {seen.connected}")
        drawn_a = [0.0, 0.0, 0.0]
        for point in world.points:
            found += self._differences_of(world, point, seen)
            for phase, current in enumerate(seen.sim[point.number]["currents_a"]):
                drawn_a[phase] += current
        if max(drawn_a) > world.budget_a + CURRENT_TOLERANCE_A:
            found.append(f"{drawn_a} A of {world.budget_a} A")
        if world.online:
            found += self._differences_of_backend(world, seen)
        return found

    def _differences_of(self, world: World, point: Point, seen: Seen) -> list[str]:
        number, real = point.number, seen.sim[point.number]
        status, session = seen.statuses.get(number, ""), seen.sessions.get(number, "")
        limit_a = world.limit_a(number)
        checks = {
            f"status {status}, not {world.statuses(number)}": status in world.statuses(number),
            f"session of {session!r}, not {point.session!r}": session == point.session,
            f"contactor {real['contactor']}": real["contactor"] == (bool(session) and status == "Charging"),
            "charges unlocked": real["locked"] or not real["contactor"],
            "a car": (real["vehicle"] is not None) == point.car,
            f"{real['currents_a']} A, not {limit_a} A": max(real["currents_a"]) <= limit_a + CURRENT_TOLERANCE_A,
        }
        return [f"{number}: {text}" for text, fine in checks.items() if not fine]

    def _differences_of_backend(self, world: World, seen: Seen) -> list[str]:
        found = [] if not seen.owed else [f"{seen.owed} messages owed"]
        running = {point.number: point.session for point in world.points if point.session}
        if seen.open_transactions != running:
            found.append(f"open transactions {seen.open_transactions}, not {running}")
        station = "Available" if world.operative else "Unavailable"
        for number, status in {**seen.statuses, 0: station}.items():
            if seen.told.get(number) != status:
                found.append(f"{number}: the backend was told {seen.told.get(number)}, not {status}")
        return found

    def settle(self) -> None:
        """Wait until the station shows what the model expects; keep the worlds that it may be."""
        if self.broken:
            self._watch_invariants(self.look())
            return
        self._hear_cards()
        deadline_s = time.monotonic() + SETTLES_S
        since_s: float | None = None
        while True:
            seen = self.look()
            compared = [(world, self.differences(world, seen)) for world in self.worlds]
            fitting = [world for world, found in compared if not found]
            now_s = time.monotonic()
            if not fitting:
                since_s = None
                if now_s > deadline_s:
                    raise ModelRefuted("; or ".join(str(found) for _, found in compared))
            else:
                since_s = since_s or now_s
                if now_s - since_s >= (HOLDS_S if len(self.worlds) == 1 else HOLDS_UNCHANGED_S):
                    self.worlds = fitting
                    break
            time.sleep(0.04)
        self._hear_cards()

    def hold(self) -> None:
        """Give the station time to do what it should not do."""
        deadline_s = time.monotonic() + HOLDS_UNCHANGED_S
        while time.monotonic() < deadline_s or self.look().reader_busy:
            time.sleep(0.04)

    def _watch_invariants(self, seen: Seen) -> None:
        """P3, while something is broken: energy flows only with a session, and never more than the mains."""
        for number, real in seen.sim.items():
            # What the database said was read before the contactor was looked at: a session may have begun since.
            if real["contactor"] and number not in seen.sessions and "PowerSwitchFailure" not in real["faults"]:
                self._wait_for_no_energy(number)
        mains_a = int(self.world.keys["/power/station/mainsMaxCurrent"]) / 1000
        drawn = [real["currents_a"] for real in seen.sim.values()]
        assert max(map(sum, zip(*drawn, strict=True))) <= mains_a + CURRENT_TOLERANCE_A, drawn

    def _wait_for_no_energy(self, number: int) -> None:
        def fine() -> bool:
            seen = self.look()
            return number in seen.sessions or not seen.sim[number]["contactor"]

        wait_until(fine, timeout_s=2.0, what=f"no energy without a session at {number}")

    def _hear_cards(self) -> None:
        """Follow what the backend has said about cards: the station keeps it in its cache."""
        frames = self.backend.frames
        for frame in frames[self._heard :]:
            if frame.kind == "call" and frame.from_station and "idTag" in frame.payload:
                self._asked[frame.message_id or ""] = frame.payload["idTag"]
            elif frame.kind == "result" and not frame.from_station and "idTagInfo" in frame.payload:
                tag, status = self._asked.get(frame.message_id or "", ""), frame.payload["idTagInfo"]["status"]
                if tag:
                    self.becomes(lambda world, tag=tag, status=status: world.heard(tag, status))
        self._heard = len(frames)

    # --- the driver

    def sim(self, path: str, **body: Any) -> None:
        self.note(f"sim {path} {body}")
        self.station.sim(path, body)

    def any_point(self) -> int:
        return self.dice.choice((1, 2))

    def plug(self) -> None:
        number, ready = self.any_point(), self.dice.random() < 0.8
        current, phases = self.dice.choice((8, 16, 32)), self.dice.choice((1, 3))
        self.sim(f"/connectors/{number}/plug", max_current_a=current, phases=phases, ready=ready)
        self.becomes(lambda world: world.plugged(number, ready=ready))

    def unplug(self) -> None:
        number = self.any_point()
        self.sim(f"/connectors/{number}/unplug")
        self.becomes(lambda world: world.unplugged(number))

    def unplug_at_the_station(self) -> None:
        number = self.any_point()
        try:
            self.sim(f"/connectors/{number}/unplug", side="station")
        except SimulatorRefused:
            self.note("  it is locked")
            return
        charging = self.world.point(number).session
        if charging and not self.broken and len(self.worlds) == 1:
            raise ModelRefuted(f"the plug of {number} was not locked while {charging} charged")
        self.becomes(lambda world: world.unplugged(number))

    def change_mind(self) -> None:
        number, ready = self.any_point(), self.dice.random() < 0.6
        if self.station.connector(number)["vehicle"] is None:
            return
        self.sim(f"/connectors/{number}/vehicle", ready=ready)
        self.becomes(lambda world: world.having(number, ready=ready))

    def swipe(self) -> None:
        tag = self.dice.choice((*CARDS, *CARDS[:2]))
        if self.dice.random() < 0.2:
            tag = tag.lower()
        self.sim("/reader/swipe", uid=tag)
        self.becomes(lambda world: world.swiped(tag))
        self.hold()

    def press(self) -> None:
        number = self.any_point()
        self.sim(f"/connectors/{number}/button")
        self.becomes(lambda world: world.pressed(number))
        self.hold()

    def cut_network(self) -> None:
        if not self.world.online:
            self.give_network_back()
            return
        self.sim("/network", backend=False)
        self.becomes(World.disconnected)

    def give_network_back(self) -> None:
        self.sim("/network", backend=True)
        self.becomes(World.reconnected)
        # Whoever was refused is dealt with only after the queue has been delivered.
        wait_until(lambda: self.look().connected and not owed(self.station), timeout_s=SETTLES_S, what="delivery")

    # --- the backend

    def call(self, action: str, **payload: Any) -> dict[str, Any] | None:
        """Call the station; None when it cannot be reached at the moment."""
        if not self.world.online or not self.look().connected:
            return None
        self.note(f"call {action} {json.dumps(payload)[:300]}")
        try:
            answer = self.backend.call(action, payload, timeout=10)
        except StationAway:
            self.note("  the connection broke meanwhile")
            self.doubt()
            return None
        except NoAnswer as problem:
            raise ModelRefuted(f"{action} was not answered") from problem
        self.calls += 1
        self.note(f"  {json.dumps(answer)[:200]}")
        return answer

    def doubt(self) -> None:
        """Nobody knows whether the last call was carried out: take over what is there."""
        self.broken.append(lambda: None)

    def judged(self, answer: Mapping[str, Any] | None, outcomes: list[tuple[str, list[World]]]) -> None:
        """Go on in the worlds that fit the answer; while something is broken any answer about a point will do."""
        if answer is None:
            return
        fitting = [world for status, worlds in outcomes if status == answer["status"] for world in worlds]
        if fitting:
            self.worlds = [each for number, each in enumerate(fitting) if each not in fitting[:number]]
        elif not self.broken:
            raise ModelRefuted(f"answered {answer}, expected {[status for status, _ in outcomes]}")

    def one_judged(self, answer: Mapping[str, Any] | None, follow: Callable[[World], tuple[str, World]]) -> None:
        self.judged(answer, [(status, [world]) for status, world in map(follow, self.worlds)])

    def remote_start(self) -> None:
        tag = self.dice.choice(CARDS)
        connector = self.dice.choice((None, 0, 1, 1, 2, 2, 3))
        profile = None
        payload: dict[str, Any] = {"idTag": tag}
        if connector is not None:
            payload["connectorId"] = connector
            if self.dice.random() < 0.2:
                profile = replace(self._profile("TxProfile", connector), limit_a=self.dice.choice((0, 8, 16)))
                payload["chargingProfile"] = wire(profile)
        answer = self.call("RemoteStartTransaction", **payload)
        outcomes = [each for world in self.worlds for each in world.remotely_started(tag, connector, profile)]
        self.judged(answer, outcomes)
        if answer:
            self.hold()

    def remote_stop(self) -> None:
        known = {one.transaction_id: one.connector_id for one in self.backend.books.open_transactions()}
        transaction = self.dice.choice([*known, *known, 999_999])
        answer = self.call("RemoteStopTransaction", transactionId=transaction)
        connector = known.get(transaction)
        if connector is None:
            self.judged(answer, [("Rejected", self.worlds)])
        else:
            self.judged(answer, [("Accepted", [world.ended(connector) for world in self.worlds])])

    def unlock(self) -> None:
        connector = self.dice.choice((0, 1, 1, 2, 2, 3))
        self.one_judged(self.call("UnlockConnector", connectorId=connector), lambda world: world.unlocked(connector))

    def change_availability(self) -> None:
        connector, operative = self.dice.choice((0, 1, 2, 3)), self.dice.random() < 0.75
        kind = "Operative" if operative else "Inoperative"
        answer = self.call("ChangeAvailability", connectorId=connector, type=kind)
        self.one_judged(answer, lambda world: world.made_available(connector, operative=operative))

    def reserve(self) -> None:
        wanted = Reservation(
            reservation_id=self.dice.randrange(1, 5),
            connector=self.dice.choice((0, 1, 2, 3)),
            tag=self.dice.choice(CARDS),
        )
        over = self.dice.random() < 0.15
        expiry = datetime.now(UTC) + timedelta(hours=-1 if over else 1)
        answer = self.call(
            "ReserveNow",
            reservationId=wanted.reservation_id,
            connectorId=wanted.connector,
            idTag=wanted.tag,
            expiryDate=expiry.isoformat(timespec="seconds"),
        )

        def judged(world: World) -> tuple[str, World]:
            status, after = world.reserved(wanted)
            # What is wrong with the connector is looked at before the expiry.
            return ("Rejected", world) if over and status == "Accepted" else (status, after)

        self.one_judged(answer, judged)

    def cancel_reservation(self) -> None:
        number = self.dice.randrange(1, 5)
        answer = self.call("CancelReservation", reservationId=number)
        self.one_judged(answer, lambda world: world.reservation_cancelled(number))

    def _profile(self, purpose: str, connector: int) -> Profile:
        # A profile for one point always stands above one for all, so that nobody has to ask which of them goes first.
        stack = {0: 1}.get(connector, 3)
        number = {"ChargePointMaxProfile": 10, "TxDefaultProfile": 20, "TxProfile": 30}[purpose] + connector
        limit = self.dice.choice((0, 5, 6, 8, 10, 16, 32, 40))
        return Profile(profile_id=number, purpose=purpose, connector=connector, stack=stack, limit_a=limit)

    def set_profile(self) -> None:
        purpose = self.dice.choice(("ChargePointMaxProfile", "TxDefaultProfile", "TxDefaultProfile", "TxProfile"))
        profile = self._profile(purpose, self.dice.choice((0, 1, 2)))
        answer = self.call("SetChargingProfile", connectorId=profile.connector, csChargingProfiles=wire(profile))
        self.one_judged(answer, lambda world: world.profile_set(profile))

    def clear_profiles(self) -> None:
        filters: dict[str, Any] = self.dice.choice(
            (
                {},
                {"purpose": "TxDefaultProfile"},
                {"purpose": "ChargePointMaxProfile"},
                {"profile_id": 21},
                {"connector": 2},
            )
        )
        names = {"purpose": "chargingProfilePurpose", "profile_id": "id", "connector": "connectorId"}
        answer = self.call("ClearChargingProfile", **{names[name]: value for name, value in filters.items()})
        self.one_judged(answer, lambda world: world.profiles_cleared(**filters))

    def ask_composite_schedule(self) -> None:
        connector = self.dice.choice((0, 1, 2, 3))
        answer = self.call("GetCompositeSchedule", connectorId=connector, duration=self.dice.choice((0, 60, 86_400)))
        expected = "Accepted" if connector <= 2 else "Rejected"
        self.judged(answer, [(expected, self.worlds)])

    def send_list(self) -> None:
        update = self.dice.choice(("Full", "Differential"))
        version = max(0, self.world.list_version + self.dice.choice((-1, 0, 1, 1, 1, 5)))
        words = ("Accepted", "Blocked", "Accepted", None) if update == "Differential" else ("Accepted", "Blocked")
        named = {tag: self.dice.choice(words) for tag in self.dice.sample(CARDS, self.dice.randrange(len(CARDS)))}
        # A card the backend refuses stays refused in its list, or every session with it would end at once.
        entries = {tag: "Blocked" if word == "Accepted" and "BLOCKED" in tag else word for tag, word in named.items()}
        answer = self.call(
            "SendLocalList",
            listVersion=version,
            updateType=update,
            localAuthorizationList=[
                {"idTag": tag} | ({"idTagInfo": {"status": word}} if word else {}) for tag, word in entries.items()
            ],
        )
        self.one_judged(answer, lambda world: world.list_sent(version, update, entries))
        told = self.call("GetLocalListVersion")
        if told is not None and answer is not None and told["listVersion"] != self.world.list_version:
            raise ModelRefuted(f"{told}, expected {self.world.list_version}")

    def clear_cache(self) -> None:
        answer = self.call("ClearCache")
        self.one_judged(answer, lambda world: ("Accepted", replace(world, cached={})))

    def change_configuration(self) -> None:
        if self.dice.random() < 0.25:
            key, value, expected = self.dice.choice(REFUSED_CHANGES)
            self.judged(self.call("ChangeConfiguration", key=key, value=value), [(expected, self.worlds)])
            return
        key = self.dice.choice(list(KEYS))
        value = self.dice.choice(KEYS[key])
        answer = self.call("ChangeConfiguration", key=key, value=value)
        self.one_judged(answer, lambda world: ("Accepted", world.configured(key, value)))

    def read_configuration(self) -> None:
        answer = self.call("GetConfiguration", key=[*KEYS, "NoSuchKey"])
        if answer is None:
            return
        told = {entry["key"]: entry.get("value") for entry in answer["configurationKey"]}
        if told != dict(self.world.keys) or answer["unknownKey"] != ["NoSuchKey"]:
            raise ModelRefuted(f"{answer}, expected {self.world.keys}")

    def trigger(self) -> None:
        wanted, connector, expected = self.dice.choice(
            (
                ("Heartbeat", None, "Accepted"),
                ("StatusNotification", None, "Accepted"),
                ("StatusNotification", 1, "Accepted"),
                ("StatusNotification", 3, "Rejected"),
                ("MeterValues", 2, "Accepted"),
                ("MeterValues", 3, "Rejected"),
                ("DiagnosticsStatusNotification", None, "Accepted"),
                ("FirmwareStatusNotification", None, "Accepted"),
                ("BootNotification", None, "Rejected"),
            )
        )
        if wanted == "MeterValues" and not self.world.keys["MeterValuesSampledData"]:
            return
        mark = self.backend.mark()
        named = {} if connector is None else {"connectorId": connector}
        answer = self.call("TriggerMessage", requestedMessage=wanted, **named)
        self.judged(answer, [(expected, self.worlds)])
        if answer is not None and answer["status"] == "Accepted" and not self.broken:
            self.backend.wait_for(wanted, after=mark, timeout=10)

    def transfer_data(self) -> None:
        answer = self.call("DataTransfer", vendorId="Nobody", data="x")
        self.judged(answer, [("UnknownVendorId", self.worlds)])

    def misbehave(self) -> None:
        """Be a poor backend for the next message of a kind; the station has to cope without anybody noticing."""
        action = self.dice.choice(("StartTransaction", "StopTransaction", "MeterValues", "MeterValues"))
        script: Script = self.dice.choice(
            (CallError(), Twice(), Delay(seconds=0.3), Drop(booked=True), Drop(booked=False))
        )
        self.note(f"the next {action} meets {script}")
        self.backend.script_next(action, script)

    # --- what breaks

    def break_something(self) -> None:
        """Damage a device, until it is mended."""
        number = self.any_point()
        match self.dice.choice(("point", "point", "station", "lock", "line")):
            case "point":
                code = self.dice.choice(CONNECTOR_FAULTS)
                path = f"/connectors/{number}/fault"
                self.damage(path, {"code": code, "active": True}, {"code": code, "active": False})
                if code in UNACCOUNTABLE:
                    self.unread_since.setdefault(number, datetime.now(UTC))
            case "station":
                code = self.dice.choice(STATION_FAULTS)
                self.damage("/fault", {"code": code, "active": True}, {"code": code, "active": False})
            case "lock":
                self.damage(f"/connectors/{number}/lock", {"fail": True}, {"fail": False})
            case "line":
                device, mode = self.dice.choice(("controller", "meter")), self.dice.choice(("silent", "garbage"))
                path = f"/connectors/{number}/line"
                self.damage(path, {"device": device, "mode": mode}, {"device": device, "mode": "ok"})
                if device == "meter":
                    self.unread_since.setdefault(number, datetime.now(UTC))

    def damage(self, path: str, harm: dict[str, Any], repair: dict[str, Any]) -> None:
        self.sim(path, **harm)
        self.broken.append(lambda: self.sim(path, **repair))

    def kill_one(self) -> None:
        """Kill one process; the others go on, and it comes back."""
        name = self.dice.choice(CORE_CHILDREN)
        self.note(f"kill -9 {name}")
        old = self.station.kill(name)
        wait_until(lambda: self.station.child_pids().get(name, old) != old, timeout_s=20, what=f"{name} back")
        if name == "hardware":
            self.becomes(World.restarted)
        if name == "ocpp":
            # Offline the boot comes with the network; until then nobody can look.
            self.becomes(World.booted)
        self.station.wait_healthy()

    def cut_power(self) -> None:
        """Kill everything at once and start again."""
        self.note("power cut")
        self.station.kill_group()
        self.broken.clear()
        self.becomes(World.cut)
        self.station.launch()
        wait_until(lambda: not owed(self.station) and self.look().connected, timeout_s=SETTLES_S, what="delivery")
        self._note_unread()
        self.sim("/speed", factor=SPEED)

    def reset(self) -> None:
        """Let the backend restart the station."""
        mark = self.backend.mark()
        answer = self.call("Reset", type=self.dice.choice(("Soft", "Soft", "Hard")))
        if answer is None:
            return
        if answer["status"] != "Accepted":
            raise ModelRefuted(f"Reset: {answer}")
        self.backend.wait_for("BootNotification", after=mark, timeout=45)
        self.station.wait_healthy()
        self.sim("/speed", factor=SPEED)
        self.becomes(World.booted)
        self.doubt()

    def mend(self) -> None:
        """Repair everything, and let the model take over what is there."""
        for repair in self.broken:
            repair()
        self.note("all is mended")
        if not self.station.sim("/state")["network"]["backend"]:
            self.sim("/network", backend=True)
        self.station.wait_healthy()
        self._wait_for_calm()
        self.broken.clear()
        self._note_unread()
        self.take_over()

    def _note_unread(self) -> None:
        for number, since in self.unread_since.items():
            self.unread |= {one.transaction_id for one in stored_sessions(self.station, number, still_open_at=since)}
        self.unread_since.clear()

    def _is_calm(self) -> bool:
        seen = self.look()
        if not seen.connected or seen.owed or seen.reader_busy or "Faulted" in seen.statuses.values():
            return False
        if any((number in seen.sessions) != (seen.phases[number] in SESSION_PHASES) for number in (1, 2)):
            # A final register is still being read.
            return False
        return seen.told == seen.statuses and seen.open_transactions == seen.sessions

    def _wait_for_calm(self) -> None:
        calm_since_s, ends_s = None, time.monotonic() + CALM_WITHIN_S
        while calm_since_s is None or time.monotonic() - calm_since_s < HOLDS_UNCHANGED_S:
            if time.monotonic() > ends_s:
                raise ModelRefuted("the station does not calm down")
            calm_since_s = (calm_since_s or time.monotonic()) if self._is_calm() else None
            time.sleep(0.04)

    def take_over(self) -> None:
        """Make the model agree with the station where damage has left the choice to it."""
        self.worlds = [replace(self.world, online=True)]
        # A card that waits somewhere goes with the service; so do reservations.
        calls: tuple[tuple[str, dict[str, Any]], ...] = (
            *(("ChangeAvailability", {"connectorId": 0, "type": kind}) for kind in ("Inoperative", "Operative")),
            ("ClearChargingProfile", {"chargingProfilePurpose": "TxProfile"}),
            *(("CancelReservation", {"reservationId": number}) for number in range(1, 5)),
        )
        for action, payload in calls:
            self.call(action, **payload)
        self._wait_for_calm()
        seen = self.look()
        points = []
        for number in (1, 2):
            real, phase = seen.sim[number], seen.phases[number]
            vehicle = real["vehicle"]
            points.append(
                Point(
                    number=number,
                    car=vehicle is not None,
                    ready=bool(vehicle and vehicle["ready"]),
                    session=seen.sessions.get(number, ""),
                    paused=number in seen.sessions,
                    finished=phase in {"finishing", "lapsed"},
                )
            )
        profiles = tuple(each for each in self.world.profiles if each.purpose != "TxProfile")
        world = replace(
            self.world, points=tuple(points), online=True, operative=True, reservations=(), profiles=profiles
        )
        self.worlds = [world]
        self.note("the model has taken over")

    # --- the end

    def finish(self) -> None:
        """Mend all, send the cars away, and judge the whole run."""
        try:
            self.doubt()
            self.mend()
            for number in (1, 2):
                self.sim(f"/connectors/{number}/unplug")
                self.becomes(lambda world, number=number: world.unplugged(number))
            self.settle()
            self.judge()
        except Exception as problem:
            raise ModelRefuted(self.report(problem)) from problem

    def judge(self) -> None:
        """P1 and P3 over the whole run, and no crash on the way."""
        problems = complaints_about_books(self.station, self.backend)
        for point in self.station.sim("/state")["connectors"]:
            problems += complaints_about_energy(
                self.backend.books, point["id"], first_wh=0, last_wh=point["energy_wh"], unread=frozenset(self.unread)
            )
        problems += tracebacks(self.station.data)
        assert not problems, "\n".join(problems)
        assert self.station.healthy()


def wire(profile: Profile) -> dict[str, Any]:
    """Write a profile as the backend sends it."""
    return {
        "chargingProfileId": profile.profile_id,
        "stackLevel": profile.stack,
        "chargingProfilePurpose": profile.purpose,
        "chargingProfileKind": "Absolute",
        "chargingSchedule": {
            "chargingRateUnit": "A",
            "startSchedule": "2020-01-01T00:00:00Z",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": profile.limit_a}],
        },
    }
