"""The limits that a cluster sets, from before its master's first word to after its last one.

What holds while the master is not heard needs no connection: the limits are asked from here whether there is one or
not. Nothing of the cluster's rules is loaded while it is switched off.
"""

import asyncio
import random
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from hardware.runtime.records import RecordStore
from station import clock
from station.domain.limits import LimitSource
from station.domain.snapshot import ClusterSnapshot
from station.domain.units import PAUSE, MilliAmpere
from station.services import configuration, event_log, identity

if TYPE_CHECKING:
    from station.domain.cluster.member import Member

SILENT_CODE = "cluster.silent"
# So long a share is held without a break before the event log calls the master heard again; after a start, or after
# the cluster was switched on, the master has the same time to be heard.
STEADY_S = 60.0
_MA_PER_A = 1_000
_S_PER_MIN = 60.0
_RUN_BYTES = 12
# Nothing is known of the others yet.
STARTING = ClusterSnapshot(enabled=True, state="starting")


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """What the installer has set; `limit` (None: not set yet) and `rotate_after_s` count at the master."""

    enabled: bool = False
    role: str = "slave"
    limit: MilliAmpere | None = None
    rotate_after_s: float = 0.0
    address: str = ""
    key: str = field(default="", repr=False)
    fallback: MilliAmpere = PAUSE
    station: str = ""
    name: str = ""
    rating: MilliAmpere = PAUSE

    @property
    def leads(self) -> bool:
        """Whether this station divides the power."""
        return self.role == "master"


def read_settings() -> ClusterSettings:
    """Read the settings in force."""
    station = identity.load()
    limit_a = configuration.get_optional_int("/cluster/limitA")
    return ClusterSettings(
        enabled=configuration.get_bool("/cluster/enabled"),
        role=configuration.get("/cluster/role"),
        limit=None if limit_a is None else MilliAmpere(limit_a * _MA_PER_A),
        rotate_after_s=configuration.get_int("/cluster/rotateMin") * _S_PER_MIN,
        address=configuration.get("/cluster/address"),
        key=configuration.get("/cluster/key"),
        fallback=MilliAmpere(configuration.get_int("/cluster/fallbackA") * _MA_PER_A),
        station=station.serial,
        # What people call it: the name on every page and at the backend.
        name=configuration.get("/ocpp/chargeBoxIdentity"),
        rating=MilliAmpere(station.rated_current_a * _MA_PER_A),
    )


class Recovering(Protocol):
    """What the cluster waits for."""

    @property
    def recovered(self) -> bool:
        """Whether hardware may be commanded."""


class ClusterShares:
    """What this station may draw of the cluster's current, and how the cluster stands.

    The present of the cluster is written by the loops that speak with it (`hardware.runtime.cluster`).
    """

    def __init__(
        self,
        numbers: Iterable[int],
        state: Recovering,
        records: RecordStore,
        *,
        held: Callable[[int], MilliAmpere | None],
    ) -> None:
        self._numbers = tuple(numbers)
        self._state = state
        self._records = records
        self._held = held
        self.settings = ClusterSettings()
        # Set when settings have changed; whoever serves them clears it.
        self.is_changed = asyncio.Event()
        self._member: Member | None = None
        self.present = ClusterSnapshot(enabled=False)
        # Since when the master has been silent (True) or heard, and what the event log was told last.
        self._silent: tuple[bool, float] | None = None
        self._was_heard = False
        self._told_silent: bool | None = None

    # --- what limits ask

    def limits_of(self, number: int, now_s: float) -> Mapping[LimitSource, MilliAmpere]:
        """Return what the cluster, or the master's silence, leaves a charging point."""
        if not self.settings.enabled:
            return {}
        if not self._is_begun:
            # Boards that have not been read yet keep what they have, up to the fallback.
            return {LimitSource.CLUSTER_SILENT: min(self._held(number) or PAUSE, self.settings.fallback)}
        return self.member(now_s).limits_of(number, now_s)

    def next_change_s(self, now_s: float) -> float | None:
        """Return when a limit next changes because the master is not heard."""
        return self.member(now_s).next_change_s(now_s) if self.settings.enabled and self._is_begun else None

    @property
    def _is_begun(self) -> bool:
        return self._member is not None or self._state.recovered

    def member(self, now_s: float) -> "Member":
        """Return the station as a member of its cluster; it begins with what the boards hold at the first question.

        Not before the past is settled: until then nobody knows what they hold.
        """
        if self._member is None:
            from station.domain.cluster.member import Member
            from station.domain.cluster.timing import LARGEST_JITTER_S

            self._member = Member(
                station=self.settings.station,
                run=secrets.token_urlsafe(_RUN_BYTES),
                fallback=self.settings.fallback,
                held={number: self._held(number) or PAUSE for number in self._numbers},
                now_s=now_s,
                jitter_s=random.uniform(0.0, LARGEST_JITTER_S),  # noqa: S311 - no secret
            )
        return self._member

    def note_place(self, now_s: float, *, is_reserved: bool) -> None:
        """Take note whether the master reserves current for this station's fallback.

        Where it refuses because the fallbacks do not fit under its limit, nothing may be drawn without a lease.
        """
        self.member(now_s).fallback = self.settings.fallback if is_reserved else PAUSE

    # --- what is set

    async def load(self) -> None:
        """Read the settings; raises DatabaseError."""
        self._take(await self._records.execute(read_settings))

    async def reload(self) -> None:
        """Read them anew; what cannot be read leaves what is known."""
        found = await self._records.attempt(read_settings)
        if found is not None:
            self._take(found)

    def _take(self, found: ClusterSettings) -> None:
        if found == self.settings:
            return
        if _membership(found) != _membership(self.settings):
            # Another cluster: nothing that was lent before holds any more.
            self._member = None
            self._silent, self._was_heard = None, False
        elif self._member is not None:
            # A lower fallback holds at once, a higher one when the master has reserved it (`note_place`).
            self._member.fallback = min(self._member.fallback, found.fallback)
        self.settings = found
        self.is_changed.set()

    # --- what is told

    async def tell_silence(self) -> None:
        """Write into the event log that the master is not heard: when it begins, and when it has surely ended."""
        now_s = clock.monotonic_s()
        if not self.settings.enabled:
            is_silent, is_due = False, True
        else:
            is_silent = not self.member(now_s).is_led(now_s)
            self._was_heard |= not is_silent
            if self._silent is None or self._silent[0] is not is_silent:
                self._silent = (is_silent, now_s)
            is_due = now_s - self._silent[1] >= STEADY_S or (is_silent and self._was_heard)
        if not is_due or self._told_silent is is_silent:
            return
        self._told_silent = is_silent
        verb = event_log.begin if is_silent else event_log.end
        await self._records.attempt(verb, SILENT_CODE, at=clock.now())

    # --- what is shown

    def snapshot(self) -> ClusterSnapshot:
        """Return the present."""
        settings = self.settings
        if not settings.enabled:
            return ClusterSnapshot(enabled=False, role=settings.role, own_id=settings.station)
        if not self._is_begun:
            return replace(STARTING, role=settings.role, own_id=settings.station)
        now_s = clock.monotonic_s()
        member = self.member(now_s)
        return replace(
            self.present if self.present.enabled else STARTING,
            role=settings.role,
            own_id=settings.station,
            # Nothing where the master reserves nothing.
            fallback_ma=member.fallback,
            lease_remaining_s=_whole(member.lease_remaining_s(now_s)),
            link_age_s=_whole(member.link_age_s(now_s)),
            rise_in_s=_whole(member.rise_in_s(now_s)),
        )


def _membership(settings: ClusterSettings) -> tuple[object, ...]:
    return settings.enabled, settings.role, settings.key, settings.station


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else max(round(seconds), 0)
