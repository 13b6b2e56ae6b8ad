"""What people do to the whitelist on the page Users: search it, edit it, save a batch of edits."""

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from station.domain.authorization import AuthorizationStatus
from station.domain.commands import Origin, Status
from station.models import AuditEntry
from whitelist.models import Card, Source
from whitelist.normalise import CardRefused, key_of, normalise_group, normalise_uid
from whitelist.table import Table, edited, make_card

PAGE_SIZE = 10
OFFERED = frozenset({AuthorizationStatus.ACCEPTED, AuthorizationStatus.BLOCKED})


@dataclass(frozen=True, kw_only=True)
class AddCard:
    """Enter a card that is not present."""

    uid: str
    group: str = ""
    expires_at: datetime | None = None
    authorization: AuthorizationStatus = AuthorizationStatus.ACCEPTED


@dataclass(frozen=True, kw_only=True)
class ChangeCard:
    """Give the present card `key` these values; a card that has them already is left alone."""

    key: str
    uid: str
    group: str
    expires_at: datetime | None
    authorization: AuthorizationStatus


@dataclass(frozen=True, kw_only=True)
class DeleteCard:
    """Delete a card; it can be restored until the station reboots."""

    key: str


@dataclass(frozen=True, kw_only=True)
class RestoreCard:
    """Restore a deleted card."""

    key: str


Change = AddCard | ChangeCard | DeleteCard | RestoreCard


@dataclass(frozen=True, kw_only=True)
class RowProblem:
    """Why one change of a batch is refused: its place in the batch, and a code of `whitelist.words` with its data."""

    index: int
    refusal: CardRefused


class SaveRefused(Exception):
    """At least one change of a batch cannot be made, so none was."""

    def __init__(self, problems: Sequence[RowProblem]) -> None:
        super().__init__(f"{len(problems)} of the changes are refused")
        self.problems = tuple(problems)


@dataclass(frozen=True, kw_only=True)
class Saved:
    """How many cards a batch has really touched."""

    added: int = 0
    changed: int = 0
    deleted: int = 0
    restored: int = 0


@dataclass(frozen=True, kw_only=True)
class Page:
    """Ten entries of the list, and their position in it."""

    cards: tuple[Card, ...]
    number: int
    pages: int
    total: int


def page(number: int = 1, *, search: str = "", with_deleted: bool = False) -> Page:
    """Return a page of the entries whose UID or group contains `search`; a number out of range is moved into it."""
    found = Card.objects.all() if with_deleted else Card.objects.present()
    if wanted := search.strip():
        matches = Q(key__contains=key_of(wanted)) | Q(group__icontains=wanted)
        with suppress(CardRefused):
            matches |= Q(key__contains=key_of(normalise_uid(wanted)))
        found = found.filter(matches)
    total = found.count()
    pages = max(1, math.ceil(total / PAGE_SIZE))
    number = min(max(number, 1), pages)
    start = (number - 1) * PAGE_SIZE
    return Page(cards=tuple(found.order_by("key")[start : start + PAGE_SIZE]), number=number, pages=pages, total=total)


def save(changes: Sequence[Change], *, at: datetime, actor: str, origin: Origin = Origin.WEB) -> Saved:
    """Make a batch of edits, all or nothing. Raises `SaveRefused` with a problem for each row that has one."""
    with transaction.atomic():
        table = Table.read({key for change in changes for key in _keys_of(change)})
        batch = _Batch(table, at)
        problems: list[RowProblem] = []
        entering: list[int] = []
        for index, change in enumerate(changes):
            try:
                if batch.make(change):
                    entering.append(index)
            except CardRefused as refusal:
                problems.append(RowProblem(index=index, refusal=refusal))
        if not problems and table.surplus:
            problems += [
                RowProblem(index=index, refusal=CardRefused("list_full")) for index in entering[-table.surplus :]
            ]
        if problems:
            raise SaveRefused(problems)
        table.write()
        saved = Saved(**batch.touched)
        record(saved, command="SaveWhitelist", at=at, actor=actor, origin=origin)
    return saved


def record(saved: Saved, *, command: str, at: datetime, actor: str, origin: Origin) -> None:
    """Leave an audit entry with how much was touched, unless nothing was."""
    touched = {name: count for name, count in vars(saved).items() if count}
    if touched:
        AuditEntry.objects.create(
            at=at, origin=origin.value, actor=actor, command=command, data=touched, outcome=Status.ACCEPTED.value
        )


def deleted_count() -> int:
    """Return how many entries the next reboot forgets."""
    return Card.objects.deleted().count()


def purge_deleted() -> int:
    """Forget deleted entries for good: for the reboot of the station, not the restart of its software."""
    doomed, _ = Card.objects.deleted().delete()
    return doomed


class _Batch:
    """Makes changes in a table, one after the other, and counts them."""

    def __init__(self, table: Table, at: datetime) -> None:
        self._table = table
        self._at = at
        self.touched: Counter[str] = Counter()

    def make(self, change: Change) -> bool:
        """Make one change; return whether it makes the list longer. Raises `CardRefused`."""
        match change:
            case AddCard():
                self._add(change)
                return True
            case ChangeCard():
                self._change(change)
                return False
            case DeleteCard():
                card = self._find(change.key)
                if card.deleted_at is None:
                    self._table.put(edited(card, at=self._at, deleted_at=self._at))
                    self.touched["deleted"] += 1
                return False
            case RestoreCard():
                card = self._find(change.key)
                if card.deleted_at is None:
                    return False
                self._table.put(edited(card, at=self._at))
                self.touched["restored"] += 1
                return True

    def _find(self, key: str) -> Card:
        card = self._table.get(key)
        if card is None:
            # Somebody else, or the backend, has changed it meanwhile.
            raise CardRefused("card_gone")
        return card

    def _add(self, change: AddCard) -> None:
        uid = normalise_uid(change.uid)
        self._check_free(change.uid, uid)
        _check_authorization(change.authorization)
        self._table.put(
            make_card(
                uid=uid,
                group=normalise_group(change.group),
                expires_at=change.expires_at,
                authorization=change.authorization.value,
                source=Source.LOCAL,
                at=self._at,
            )
        )
        self.touched["added"] += 1

    def _change(self, change: ChangeCard) -> None:
        present = self._table.present(change.key)
        if present is None:
            raise CardRefused("card_gone")
        # An id tag as the backend wrote it stays as it is; only what somebody has typed is brought into form.
        uid = present.uid if change.uid.strip() == present.uid else normalise_uid(change.uid)
        group = present.group if change.group.strip() == present.group else normalise_group(change.group)
        if change.authorization.value != present.authorization:
            _check_authorization(change.authorization)
        wanted = (uid, group, change.expires_at, change.authorization.value)
        if wanted == (present.uid, present.group, present.expires_at, present.authorization):
            return
        card = make_card(
            uid=uid,
            group=group,
            expires_at=change.expires_at,
            authorization=change.authorization.value,
            source=Source.LOCAL,
            at=self._at,
        )
        if card.key != present.key:
            self._check_free(change.uid, uid)
            self._table.remove(present.key)
        self._table.put(card)
        self.touched["changed"] += 1

    def _check_free(self, *writings: str) -> None:
        """Refuse a UID that is listed, also as the backend wrote it: AB-CD is AB-CD there and ABCD at the reader."""
        for uid in writings:
            if self._table.present(key_of(uid)):
                raise CardRefused("uid_taken", uid=uid.strip())


def _check_authorization(authorization: AuthorizationStatus) -> None:
    if authorization not in OFFERED:
        raise CardRefused("authorization", allowed="accepted, blocked")


def _keys_of(change: Change) -> set[str]:
    """Name the rows a change may touch."""
    keys = set() if isinstance(change, AddCard) else {change.key}
    if isinstance(change, AddCard | ChangeCard):
        # What cannot be a UID is the row's problem, raised when the change is made.
        with suppress(CardRefused):
            keys |= {key_of(change.uid), key_of(normalise_uid(change.uid))}
    return keys
