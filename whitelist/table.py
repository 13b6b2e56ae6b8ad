"""The whitelist in memory: read rows, change them, write everything at once."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime

from django.db import connection

from station.models import CachedAuthorization
from station.services import configuration, identity
from whitelist.models import Card, Source
from whitelist.normalise import key_of

# Deleted entries are kept for "restore" until the reboot, but no more of them than the list itself may hold.
MAX_DELETED = 1000
# SQLite takes 999 parameters a statement in its smallest build.
_CHUNK = 500


class Table:
    """A part of the whitelist within one transaction.

    It holds the rows named when it was read and knows how many others are present. Rows are known by key, never by
    primary key: a changed UID is a new row.
    """

    def __init__(self, rows: Iterable[Card], present: int, free_key: str) -> None:
        self._rows = {row.key: row for row in rows}
        self._present = present
        self._free_key = free_key
        self._written: set[str] = set()
        self._removed: set[str] = set()
        self._deleted_some = False

    @classmethod
    def read(cls, keys: Collection[str] | None = None) -> "Table":
        """Read the rows of these keys (None: all); needs an open transaction."""
        if not connection.in_atomic_block:
            raise RuntimeError("the whitelist is changed inside a transaction")
        # The master key comes with the station: the 1000 entries that the backend was promised are there beside it.
        free_key = key_of(identity.load().master_key)
        if keys is None:
            rows = list(Card.objects.all())
        else:
            rows = [row for chunk in _chunks(keys) for row in Card.objects.filter(key__in=chunk)]
        present = Card.objects.present().exclude(key=free_key).count()
        return cls(rows, present, free_key)

    def __iter__(self) -> Iterator[Card]:
        return iter(list(self._rows.values()))

    def get(self, key: str) -> Card | None:
        """Return the row of a key, deleted or not."""
        return self._rows.get(key)

    def present(self, key: str) -> Card | None:
        """Return the row of a key unless it is deleted."""
        row = self._rows.get(key)
        return row if row is not None and row.deleted_at is None else None

    @property
    def keys(self) -> frozenset[str]:
        """The keys of all rows read, deleted ones included."""
        return frozenset(self._rows)

    @property
    def surplus(self) -> int:
        """How many entries the whole list has beyond what it may hold; the master key's place is free."""
        return max(0, self._present - configuration.get_int("LocalAuthListMaxLength"))

    def put(self, card: Card) -> None:
        """Enter a new card in the place of whatever had its key."""
        self._count(self._rows.get(card.key), -1)
        self._count(card, +1)
        self._rows[card.key] = card
        self._written.add(card.key)
        self._removed.discard(card.key)
        self._deleted_some |= card.deleted_at is not None

    def remove(self, key: str) -> None:
        """Delete a row for good."""
        row = self._rows.pop(key, None)
        if row is None:
            return
        self._count(row, -1)
        self._written.discard(key)
        self._removed.add(key)

    def write(self) -> None:
        """Write the changes to the database; cards that are listed leave the authorization cache."""
        for chunk in _chunks(self._removed):
            Card.objects.filter(key__in=chunk).delete()
        rows = [self._rows[key] for key in self._written]
        Card.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["key"],
            update_fields=["uid", "group", "expires_at", "authorization", "source", "changed_at", "deleted_at"],
        )
        # OCPP 1.6 section 3.5.3: what stands in the list is not in the cache, which spells in lower case.
        for chunk in _chunks({name for row in rows if row.deleted_at is None for name in (row.key, row.uid.lower())}):
            CachedAuthorization.objects.filter(id_tag__in=chunk).delete()
        if self._deleted_some:
            _drop_oldest_deleted()

    def _count(self, row: Card | None, step: int) -> None:
        if row is not None and row.deleted_at is None and row.key != self._free_key:
            self._present += step


def make_card(
    *,
    uid: str,
    group: str,
    expires_at: datetime | None,
    authorization: str,
    source: Source,
    at: datetime,
    deleted_at: datetime | None = None,
) -> Card:
    """Make a row that is not yet in the database."""
    return Card(
        uid=uid,
        key=key_of(uid),
        group=group,
        expires_at=expires_at,
        authorization=authorization,
        source=source,
        changed_at=at,
        deleted_at=deleted_at,
    )


def edited(card: Card, *, at: datetime, deleted_at: datetime | None = None) -> Card:
    """Return a card deleted or restored by a local edit, which makes it a local one."""
    return make_card(
        uid=card.uid,
        group=card.group,
        expires_at=card.expires_at,
        authorization=card.authorization,
        source=Source.LOCAL,
        at=at,
        deleted_at=deleted_at,
    )


def _drop_oldest_deleted() -> None:
    doomed = Card.objects.deleted().order_by("-deleted_at", "-id").values_list("key", flat=True)[MAX_DELETED:]
    for chunk in _chunks(list(doomed)):
        Card.objects.filter(key__in=chunk).delete()


def _chunks(keys: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(keys)
    for start in range(0, len(ordered), _CHUNK):
        yield ordered[start : start + _CHUNK]
