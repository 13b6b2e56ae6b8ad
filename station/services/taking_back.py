"""Taking a change of settings back: the earlier values go through the same door as any other change."""

from datetime import datetime
from enum import StrEnum

from station.domain.commands import Origin, Status
from station.domain.configuration import Change, Snapshot, UnknownKey
from station.models import AuditEntry
from station.services import configuration, vendor_access
from station.services.identity import MASK


class Obstacle(StrEnum):
    """Why a change cannot be taken back."""

    NO_CHANGE = "no_change"
    SECRET = "secret"  # noqa: S105 - the name of a reason
    CHANGED_SINCE = "changed_since"
    KEY_IS_GONE = "key_is_gone"
    NEEDS_PASSWORD = "needs_password"  # noqa: S105 - the name of a reason


class CannotBeTakenBack(Exception):
    """The change stays; the obstacle says why."""

    def __init__(self, obstacle: Obstacle) -> None:
        super().__init__(obstacle.value)
        self.obstacle = obstacle


def obstacle(entry: AuditEntry, present: Snapshot) -> Obstacle | None:
    """Return what keeps a change from being taken back; None: nothing does.

    Secrets were not kept: a change of nothing else stays, and beside other keys they stay as they are now.
    """
    if entry.command != configuration.COMMAND or entry.outcome != Status.ACCEPTED or not entry.data:
        return Obstacle.NO_CHANGE
    if not entry.undo:
        # What an earlier version has recorded knows no value before.
        return Obstacle.SECRET if MASK in entry.data.values() else Obstacle.NO_CHANGE
    for name, (before, after) in entry.undo.items():
        try:
            key = present.registry.find(name)
        except UnknownKey:
            return Obstacle.KEY_IS_GONE
        if present.stored.get(key.name) != after:
            return Obstacle.CHANGED_SINCE
        if name in vendor_access.KEYS.values() and before == "true":
            return Obstacle.NEEDS_PASSWORD
    return None


def take_back(entry: AuditEntry, *, origin: Origin, actor: str, at: datetime) -> tuple[Change, ...]:
    """Set what was in force before. Raises CannotBeTakenBack, or ConfigurationRefused with the registry's reasons."""
    present = configuration.snapshot()
    if (found := obstacle(entry, present)) is not None:
        raise CannotBeTakenBack(found)
    registry = present.registry
    items = {
        name: registry.find(name).default_with(registry.facts) if before is None else before
        for name, (before, _after) in entry.undo.items()
    }
    return configuration.change(items, origin=origin, actor=actor, at=at, takes_back=entry)
