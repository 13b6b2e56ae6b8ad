"""What a backend and a driver may expect of a two-point station: a small, pure model to compare the real one with.

It knows nothing of phases, timers or registers, only what can be seen from outside. An action answers the worlds that
may follow; there is more than one only where the standard and the manuals leave the choice to the station.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

RATED_A = 32
MINIMUM_A = 6
REFUSED_PREFIXES = ("BLOCKED", "EXPIRED", "INVALID")
# Keys the walk changes, with the value they begin with and what else they may become.
KEYS: dict[str, tuple[str, ...]] = {
    "AllowOfflineTxForUnknownId": ("false", "true"),
    "AuthorizeRemoteTxRequests": ("true", "false"),
    "LocalAuthorizeOffline": ("true", "false"),
    "LocalPreAuthorize": ("false", "true"),
    "StopTransactionOnInvalidId": ("true", "false"),
    "MeterValueSampleInterval": ("1", "2", "0"),
    "ClockAlignedDataInterval": ("0", "2", "900"),
    "HeartbeatInterval": ("180", "2", "600"),
    "MeterValuesSampledData": (
        "Energy.Active.Import.Register",
        "Energy.Active.Import.Register,Current.Import,Voltage,Power.Active.Import",
        "",
    ),
    "StopTxnSampledData": ("Energy.Active.Import.Register", "Voltage,Current.Import", ""),
    "/power/station/mainsMaxCurrent": ("63000", "32000", "20000", "10000"),
}
# What a ChangeConfiguration must refuse, and how.
REFUSED_CHANGES = (
    ("NoSuchKey", "1", "NotSupported"),
    ("NumberOfConnectors", "3", "Rejected"),
    ("HeartbeatInterval", "-1", "Rejected"),
    ("LocalPreAuthorize", "perhaps", "Rejected"),
    ("MeterValuesSampledData", "Energy.Of.The.Stars", "Rejected"),
    ("/power/station/mainsMaxCurrent", "90000", "Rejected"),
)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A charging profile with one limit for ever."""

    profile_id: int
    purpose: str
    connector: int
    stack: int
    limit_a: int


@dataclass(frozen=True, kw_only=True)
class Reservation:
    reservation_id: int
    connector: int
    tag: str


@dataclass(frozen=True, kw_only=True)
class Point:
    """One charging point. `session` and `waiting` are card numbers, empty without; `since` orders waiting cars.

    `unseen`: the car came while the point was out of service. `finished`: a session of this car is over.
    `held`: the car came while the point was reserved, which goes on. `paused`: the session has had too little current
    for a car at times, so that its contactor may have to rest before it is closed again.
    """

    number: int
    car: bool = False
    ready: bool = True
    unseen: bool = False
    held: bool = False
    paused: bool = False
    session: str = ""
    refused: bool = False
    waiting: str = ""
    waiting_profile: Profile | None = None
    waiting_for_reader: bool = False
    finished: bool = False
    kept_for: str = ""
    operative: bool = True
    scheduled: bool | None = None
    since: int = 0

    @property
    def usable(self) -> bool:
        """Whether a new session may begin here."""
        return self.operative and not self.session and not self.waiting

    @property
    def waits_for_card(self) -> bool:
        """Whether a car has come that nobody has paid for."""
        return self.car and not (self.unseen or self.session or self.waiting or self.finished)


def same(a: str, b: str) -> bool:
    """Compare card numbers as OCPP does."""
    return bool(a) and a.casefold() == b.casefold()


def is_refused(tag: str) -> bool:
    """Tell what the backend thinks of a card."""
    return tag.upper().startswith(REFUSED_PREFIXES)


@dataclass(frozen=True, kw_only=True)
class World:
    """The station as both sides know it."""

    points: tuple[Point, ...] = (Point(number=1), Point(number=2))
    online: bool = True
    operative: bool = True
    reservations: tuple[Reservation, ...] = ()
    profiles: tuple[Profile, ...] = ()
    keys: Mapping[str, str] = field(default_factory=lambda: {name: values[0] for name, values in KEYS.items()})
    listed: Mapping[str, str] = field(default_factory=dict)
    list_version: int = 0
    cached: Mapping[str, str] = field(default_factory=dict)
    tick: int = 1

    def __post_init__(self) -> None:
        """A car is held no longer than the reservation that was there before it."""
        kept = self.kept()
        if any(each.held and (each.number not in kept or not each.waits_for_card) for each in self.points):
            points = tuple(
                replace(each, held=each.held and each.number in kept and each.waits_for_card) for each in self.points
            )
            object.__setattr__(self, "points", points)
        paused = tuple(replace(each, paused=self._may_have_paused(each)) for each in self.points)
        if paused != self.points:
            object.__setattr__(self, "points", paused)

    def _may_have_paused(self, point: "Point") -> bool:
        return bool(point.session) and (point.paused or "SuspendedEVSE" in self.statuses(point.number))

    # --- looking

    def kept(self) -> set[int]:
        """List the points that are reserved: by number, or because reservations of the station leave none."""
        named = {each.connector for each in self.reservations} - {0}
        anywhere = sum(each.connector == 0 for each in self.reservations)
        others = {each.number for each in self.points if each.usable} - named
        return named | others if anywhere and anywhere >= len(others) else named

    def point(self, number: int) -> Point:
        """Give a charging point."""
        return self.points[number - 1]

    def says(self, key: str) -> bool:
        """Read a switch."""
        return self.keys[key] == "true"

    @property
    def budget_a(self) -> float:
        """What both points together may draw per phase."""
        ceilings = [each for each in self.profiles if each.purpose == "ChargePointMaxProfile"]
        top = max(ceilings, key=lambda each: each.stack, default=None)
        mains_a = int(self.keys["/power/station/mainsMaxCurrent"]) / 1000
        return min(mains_a, top.limit_a) if top else mains_a

    def limit_a(self, number: int) -> float:
        """What one point may draw, were it alone (OCPP 1.6 section 3.13)."""
        if self.point(number).refused:
            return 0
        for purpose, connectors in (("TxProfile", {number}), ("TxDefaultProfile", {number}), ("TxDefaultProfile", {0})):
            found = [each for each in self.profiles if each.purpose == purpose and each.connector in connectors]
            if found and (purpose != "TxProfile" or self.point(number).session):
                return min(RATED_A, max(found, key=lambda each: each.stack).limit_a)
        return RATED_A

    def statuses(self, number: int) -> set[str]:
        """List what the backend may be told of a connector, once all is quiet."""
        point = self.point(number)
        if point.session:
            flowing = "Charging" if point.ready else "SuspendedEV"
            if min(self.limit_a(number), self.budget_a) < MINIMUM_A:
                return {"SuspendedEVSE"}
            rivals = [
                each for each in self.points if each.session and each is not point and self.limit_a(each.number) > 0
            ]
            tight = bool(rivals) and self.budget_a < 2 * MINIMUM_A
            return {flowing, "SuspendedEVSE"} if tight or point.paused else {flowing}
        if not point.operative:
            return {"Unavailable"}
        if point.finished:
            return {"Finishing"}
        if (point.car and not point.held) or point.waiting:
            return {"Preparing"}
        return {"Reserved" if number in self.kept() else "Available"}

    def admits(self, tag: str) -> bool:
        """Judge a card at the reader (OCPP 1.6 sections 3.5 and 4.1)."""
        entry = self.listed.get(tag.casefold(), self.cached.get(tag.casefold()))
        if self.online:
            return (self.says("LocalPreAuthorize") and entry == "Accepted") or not is_refused(tag)
        if entry is not None and entry != "Accepted":
            return False
        return (entry is not None and self.says("LocalAuthorizeOffline")) or self.says("AllowOfflineTxForUnknownId")

    def kept_from(self, number: int, tag: str) -> bool:
        """Whether a reservation keeps this card from this point (section 3.11)."""
        here = [each for each in self.reservations if each.connector == number]
        if here:
            return not any(same(each.tag, tag) for each in here)
        anywhere = [each for each in self.reservations if each.connector == 0]
        if any(same(each.tag, tag) for each in anywhere):
            return False
        taken = {each.connector for each in self.reservations}
        left = [each for each in self.points if each.usable and each.number not in {number, *taken}]
        return len(anywhere) > len(left)

    def choices(self, tag: str) -> list[int]:
        """List the points a card may mean: its reserved car, then waiting cars, cars that stayed, free sockets."""
        usable = [each for each in self.points if each.usable]
        own = {each.connector for each in self.reservations if same(each.tag, tag)}
        for point in usable:
            if point.held and own & {0, point.number} and not self.kept_from(point.number, tag):
                return [point.number]
        plugged = self._open_to(tag, [each for each in usable if each.waits_for_card])
        if plugged:
            first = min(each.since for each in plugged)
            return [each.number for each in plugged if each.since == first]
        rest = [each for each in usable if each.finished] or [each for each in usable if not each.car or each.unseen]
        rest = self._open_to(tag, rest)
        return [rest[0].number] if rest else []

    def _open_to(self, tag: str, points: list[Point]) -> list[Point]:
        return [each for each in points if not self.kept_from(each.number, tag)] or points

    # --- changing

    def having(self, number: int, **changes: Any) -> "World":
        """Change one point."""
        changed = replace(self.point(number), **changes)
        points = tuple(changed if each.number == number else each for each in self.points)
        return replace(self, points=points, tick=self.tick + 1)

    def _begin(self, number: int, tag: str, profile: Profile | None) -> "World":
        used = next((each for each in self.reservations if each.connector == number and same(each.tag, tag)), None)
        if used is None and not any(each.connector == number for each in self.reservations):
            used = next((each for each in self.reservations if each.connector == 0 and same(each.tag, tag)), None)
        begun = self.having(
            number, session=tag, refused=False, waiting="", finished=False, kept_for="", since=self.tick
        )
        begun = replace(begun, reservations=tuple(each for each in self.reservations if each is not used))
        if profile is None:
            return begun
        slot = ("TxProfile", number, profile.stack)
        others = tuple(each for each in begun.profiles if (each.purpose, each.connector, each.stack) != slot)
        return replace(begun, profiles=(*others, replace(profile, connector=number)))

    def admitted(self, number: int, tag: str, *, reader: bool, profile: Profile | None = None) -> "World":
        """Let a card charge here: at once with a car, else when one comes."""
        point = self.point(number)
        if point.car and not point.unseen:
            return self._begin(number, tag, profile)
        return self.having(number, waiting=tag, waiting_profile=profile, waiting_for_reader=reader)

    def ended(self, number: int, *, kept: bool = False) -> "World":
        """End the session, or forget the card that waits."""
        point = self.point(number)
        if not point.session:
            return self.having(number, waiting="")
        left = tuple(each for each in self.profiles if (each.purpose, each.connector) != ("TxProfile", number))
        operative = point.operative if point.scheduled is None else point.scheduled
        return replace(
            self.having(
                number,
                session="",
                finished=point.car,
                refused=False,
                kept_for=point.session if kept else "",
                operative=operative,
                scheduled=None,
                since=self.tick,
            ),
            profiles=left,
        )

    def _arrived(self, number: int) -> "World":
        world = self.having(number, unseen=False, since=self.tick)
        point = world.point(number)
        if point.waiting:
            return world._begin(number, point.waiting, point.waiting_profile)
        other = world.point(3 - number)
        if other.waiting and other.waiting_for_reader and not world.kept_from(number, other.waiting):
            return world.ended(other.number)._begin(number, other.waiting, None)
        return world.having(number, held=number in self.kept(), since=world.point(number).since)

    # --- the driver

    def plugged(self, number: int, *, ready: bool) -> "World":
        """A car is plugged in; the one that is there already only changes its mind."""
        if self.point(number).car:
            return self.having(number, ready=ready)
        world = self.having(number, car=True, ready=ready, unseen=not self.point(number).operative)
        return world if world.point(number).unseen else world._arrived(number)

    def unplugged(self, number: int) -> "World":
        """The car's end is pulled."""
        world = self.ended(number) if self.point(number).session else self
        return world.having(number, car=False, unseen=False, finished=False, kept_for="")

    def swiped(self, tag: str) -> list["World"]:
        """A card is held to the one reader of the station."""
        for point in self.points:
            if same(point.kept_for, tag):
                return [self.having(point.number, kept_for="")]
            if same(point.waiting, tag):
                return [self.ended(point.number)]
        if not any(each.waits_for_card and each.usable for each in self.points):
            own = [each.number for each in self.points if same(each.session, tag)]
            if own:
                return [self.ended(number) for number in own]
        if not self.admits(tag):
            return [self]
        return [
            self if self.kept_from(number, tag) else self.admitted(number, tag, reader=True)
            for number in self.choices(tag)
        ] or [self]

    def pressed(self, number: int) -> "World":
        """The stop button."""
        return self.ended(number) if self.point(number).session else self

    # --- what happens to the machine

    def disconnected(self) -> "World":
        """The backend is out of reach."""
        return replace(self, online=False)

    def reconnected(self) -> "World":
        """The backend hears what it has missed, and refuses what it would have refused."""
        world = replace(self, online=True)
        for point in self.points:
            if not is_refused(point.session) or point.refused:
                continue
            if self.says("StopTransactionOnInvalidId"):
                world = world.ended(point.number, kept=True)
            else:
                world = world.having(point.number, refused=True)
        return world

    def restarted(self) -> "World":
        """The control loop begins anew before the same cars: what was not written down is forgotten."""
        world = self
        for point in self.points:
            changes: dict[str, Any] = {"waiting": "", "finished": False, "kept_for": "", "since": self.tick}
            world = world.having(point.number, **changes, unseen=point.car and not point.operative)
        kept = world.kept()
        for point in world.points:
            world = world.having(point.number, held=point.waits_for_card and point.number in kept, since=point.since)
        return world

    def booted(self) -> "World":
        """The backend has accepted a BootNotification, and set the heartbeat by it (section 4.2)."""
        return self.configured("HeartbeatInterval", KEYS["HeartbeatInterval"][0])

    def cut(self) -> "World":
        """The power fails, and the cars of the simulated world are gone."""
        world = self.booted()
        for point in self.points:
            world = world.unplugged(point.number).having(point.number, waiting="", ready=True)
        return replace(world, online=True)

    # --- the backend

    def remotely_started(
        self, tag: str, connector: int | None, profile: Profile | None
    ) -> list[tuple[str, list["World"]]]:
        """RemoteStartTransaction: pairs of an answer and the worlds that go with it."""
        if connector is not None and not 1 <= connector <= len(self.points):
            return [("Rejected", [self])]
        if connector is not None and (not self.point(connector).usable or self.kept_from(connector, tag)):
            return [("Rejected", [self])]
        numbers = self.choices(tag) if connector is None else [connector]
        if not numbers:
            return [("Rejected", [self])]
        welcome = not self.says("AuthorizeRemoteTxRequests") or self.admits(tag)
        worlds = [
            self.admitted(number, tag, reader=False, profile=profile)
            if welcome and not self.kept_from(number, tag)
            else self
            for number in numbers
        ]
        if welcome and is_refused(tag):
            # Nobody has asked the backend before the transaction; now it refuses the card.
            worlds = [replace(each, online=False).reconnected() for each in worlds]
        return [("Accepted", worlds)]

    def unlocked(self, connector: int) -> tuple[str, "World"]:
        """UnlockConnector with a lock that moves."""
        if not 1 <= connector <= len(self.points):
            return "NotSupported", self
        world = self.ended(connector) if self.point(connector).session else self
        return "Unlocked", world.having(connector, kept_for="")

    def made_available(self, connector: int, *, operative: bool) -> tuple[str, "World"]:
        """ChangeAvailability."""
        if not 0 <= connector <= len(self.points):
            return "Rejected", self
        world, answer = self, "Accepted"
        for point in self.points:
            if connector not in {0, point.number}:
                continue
            if point.session and point.operative != operative:
                world, answer = world.having(point.number, scheduled=operative), "Scheduled"
                continue
            waiting = point.waiting if operative else ""
            world = world.having(point.number, operative=operative, scheduled=None, waiting=waiting)
            if not operative:
                # Section 5.13: a reservation ends when its connector becomes Unavailable.
                kept = tuple(each for each in world.reservations if each.connector != point.number)
                world = replace(world, reservations=kept)
            elif point.unseen:
                world = world._arrived(point.number)
        if connector == 0:
            world = replace(world, operative=operative)
            if not operative:
                world = replace(world, reservations=())
        return answer, world

    def reserved(self, wanted: Reservation) -> tuple[str, "World"]:
        """ReserveNow with an expiry far away."""
        if not 0 <= wanted.connector <= len(self.points):
            return "Rejected", self
        others = tuple(each for each in self.reservations if each.reservation_id != wanted.reservation_id)
        conditions = {each.number: self._condition(each) for each in self.points}
        free = [number for number, condition in conditions.items() if condition == "Accepted"]
        if wanted.connector and conditions[wanted.connector] != "Accepted":
            return conditions[wanted.connector], self
        if not free:
            return ("Occupied" if "Occupied" in conditions.values() else "Unavailable"), self
        named = [each.connector for each in (*others, wanted) if each.connector]
        anywhere = sum(each.connector == 0 for each in (*others, wanted))
        if len(set(named)) < len(named) or anywhere > sum(number not in named for number in free):
            return "Occupied", self
        return "Accepted", replace(self, reservations=(*others, wanted))

    def _condition(self, point: Point) -> str:
        if point.session or point.waiting or point.finished or (point.car and not point.unseen and not point.held):
            return "Occupied"
        return "Accepted" if point.operative else "Unavailable"

    def reservation_cancelled(self, reservation_id: int) -> tuple[str, "World"]:
        """CancelReservation."""
        left = tuple(each for each in self.reservations if each.reservation_id != reservation_id)
        return ("Accepted" if len(left) < len(self.reservations) else "Rejected"), replace(self, reservations=left)

    def profile_set(self, profile: Profile) -> tuple[str, "World"]:
        """SetChargingProfile."""
        if profile.purpose == "TxProfile" and not (profile.connector and self.point(profile.connector).session):
            return "Rejected", self
        if profile.purpose == "ChargePointMaxProfile" and profile.connector:
            return "Rejected", self
        slot = (profile.purpose, profile.connector, profile.stack)
        kept = tuple(
            each
            for each in self.profiles
            if each.profile_id != profile.profile_id and (each.purpose, each.connector, each.stack) != slot
        )
        return "Accepted", replace(self, profiles=(*kept, profile))

    def profiles_cleared(
        self, *, profile_id: int | None = None, purpose: str | None = None, connector: int | None = None
    ) -> tuple[str, "World"]:
        """ClearChargingProfile."""

        def fits(each: Profile) -> bool:
            if profile_id is not None:
                return each.profile_id == profile_id
            return purpose in {None, each.purpose} and connector in {None, each.connector}

        kept = tuple(each for each in self.profiles if not fits(each))
        return ("Accepted" if len(kept) < len(self.profiles) else "Unknown"), replace(self, profiles=kept)

    def list_sent(self, version: int, update: str, entries: Mapping[str, str | None]) -> tuple[str, "World"]:
        """SendLocalList; an entry of None asks for deletion."""
        if version <= 0 or (update == "Full" and None in entries.values()):
            return "Failed", self
        if update == "Differential" and version <= self.list_version:
            return "VersionMismatch", self
        merged = {
            **({} if update == "Full" else self.listed),
            **{tag.casefold(): word for tag, word in entries.items()},
        }
        listed = {tag: word for tag, word in merged.items() if word is not None}
        emptied = not listed and (update == "Full" or bool(self.listed))
        cached = {tag: word for tag, word in self.cached.items() if tag not in listed}
        return "Accepted", replace(self, listed=listed, list_version=0 if emptied else version, cached=cached)

    def configured(self, key: str, value: str) -> "World":
        """ChangeConfiguration that is accepted."""
        return replace(self, keys={**self.keys, key: value})

    def heard(self, tag: str, status: str) -> "World":
        """The backend has told its mind about a card: cards of the list never enter the cache."""
        if tag.casefold() in self.listed:
            return self
        return replace(self, cached={**self.cached, tag.casefold(): status})
