"""The profiles a station holds, and how SetChargingProfile and ClearChargingProfile change them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from station.domain.charging_profiles.profile import ChargingProfile, Kind, Period, Purpose, RateUnit, Schedule

_BEGIN_OF_TIME = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A profile with its connector (0: the station) and the moment it arrived.

    An Absolute profile without startSchedule that has no charging to be relative to (ChargePointMaxProfile) runs from
    `installed_at`. `row_id` is where it is stored, None: not yet. `problem` says why it cannot be read; `profile` is
    then `no_energy`, so that whatever it limited stands still until it is cleared or replaced.
    """

    connector_id: int
    profile: ChargingProfile
    installed_at: datetime
    row_id: int | None = None
    problem: str = ""


def no_energy(*, profile_id: int, stack_level: int, purpose: Purpose) -> ChargingProfile:
    """Return what stands in for a profile that cannot be read: 0 A, at every moment at which it may have applied."""
    return ChargingProfile(
        profile_id=profile_id,
        stack_level=stack_level,
        purpose=purpose,
        kind=Kind.ABSOLUTE,
        schedule=Schedule(unit=RateUnit.A, start=_BEGIN_OF_TIME, periods=(Period(start_s=0, limit_tenths=0),)),
    )


@dataclass(frozen=True, kw_only=True)
class ClearFilter:
    """The fields of ClearChargingProfile.req; None: not given."""

    profile_id: int | None = None
    connector_id: int | None = None
    purpose: Purpose | None = None
    stack_level: int | None = None

    def matches(self, installed: Installed) -> bool:
        """Return whether this profile is meant; an id stands alone, the other fields must all agree (section 5.2)."""
        profile = installed.profile
        if self.profile_id is not None:
            return profile.profile_id == self.profile_id
        return (
            (self.connector_id is None or installed.connector_id == self.connector_id)
            and (self.purpose is None or profile.purpose is self.purpose)
            and (self.stack_level is None or profile.stack_level == self.stack_level)
        )


def replaces(new: ChargingProfile, connector_id: int, old: Installed, *, stack_per_connector: bool = True) -> bool:
    """Return whether installing `new` removes `old`: same id, or same purpose and stack level at the same connector.

    With `stack_per_connector` off (vendor key ChargingProfileStackPerConnector) the station keeps one stack of
    TxProfiles for all its connectors.
    """
    if old.profile.profile_id == new.profile_id:
        return True
    if old.profile.purpose is not new.purpose or old.profile.stack_level != new.stack_level:
        return False
    return old.connector_id == connector_id or (new.purpose is Purpose.TX and not stack_per_connector)


def install(
    existing: Iterable[Installed],
    new: ChargingProfile,
    connector_id: int,
    *,
    at: datetime,
    stack_per_connector: bool = True,
) -> tuple[Installed, ...]:
    """Add an accepted profile and drop what it replaces (section 3.13.2, even if the new one is valid only later)."""
    kept = [old for old in existing if not replaces(new, connector_id, old, stack_per_connector=stack_per_connector)]
    return (*kept, Installed(connector_id=connector_id, profile=new, installed_at=at))


def clear(existing: Sequence[Installed], wanted: ClearFilter) -> tuple[tuple[Installed, ...], tuple[Installed, ...]]:
    """Split into kept and removed; nothing removed means the answer Unknown."""
    return (
        tuple(each for each in existing if not wanted.matches(each)),
        tuple(each for each in existing if wanted.matches(each)),
    )


def end_transaction(
    existing: Sequence[Installed], connector_id: int
) -> tuple[tuple[Installed, ...], tuple[Installed, ...]]:
    """Split into kept and removed when the transaction of a connector ends: its TxProfiles go (section 7.10)."""
    return clear(existing, ClearFilter(connector_id=connector_id, purpose=Purpose.TX))
