"""Export and import of the whitelist as user-export.csv."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from django.db import transaction

from station.domain.commands import Origin
from whitelist.csv_text import (
    CardFile,
    CardLine,
    FileRefused,
    Mistake,
    listed_with_zeros,
    parse,
    render,
    write_authorization,
    write_expiry,
)
from whitelist.editing import Saved, record
from whitelist.models import Card, Source
from whitelist.table import Table, edited, make_card

EXPORT_NAME = "user-export.csv"


class ImportMode(Enum):
    """What becomes of the cards that a file does not name."""

    UPDATE = "update"
    REPLACE = "replace"


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import did; `processed` counts the lines of the file, its header included."""

    processed: int
    saved: Saved


def export_file() -> bytes:
    """Write all entries that are not deleted."""
    return render(Card.objects.present().order_by("key").values_list("uid", "group", "expires_at", "authorization"))


def import_file(
    content: bytes,
    *,
    mode: ImportMode,
    at: datetime,
    actor: str,
    origin: Origin = Origin.WEB,
    stripped: Collection[int] = (),
) -> Imported:
    """Import a file, all or nothing; cards it changes become local. Raises `FileRefused` with its mistakes.

    `stripped`: the lines (`Doubt`) that mean the listed card whose leading zeros a spreadsheet program has stripped.
    """
    with transaction.atomic():
        table = Table.read()
        plan = _plan(table, content, mode, at, stripped)
        table.write()
        saved = Saved(added=len(plan.added), changed=len(plan.changed), deleted=len(plan.deleted))
        record(saved, command="ImportWhitelist", at=at, actor=actor, origin=origin)
    return Imported(processed=plan.processed, saved=saved)


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A card of digits in the file that may be a listed one without its leading zeros."""

    line: int
    uid: str
    listed: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an import would do. `changed` holds each listed card as it is and as the file has it."""

    processed: int
    added: tuple[CardLine, ...]
    changed: tuple[tuple[Card, CardLine], ...]
    deleted: tuple[Card, ...]
    unchanged: int
    doubts: tuple[Doubt, ...]


def preview(content: bytes, *, mode: ImportMode, at: datetime, stripped: Collection[int] = ()) -> Plan:
    """Return what `import_file` would do, and do nothing. Raises `FileRefused` with the mistakes of the file."""
    with transaction.atomic():
        return _plan(Table.read(), content, mode, at, stripped)


def _plan(table: Table, content: bytes, mode: ImportMode, at: datetime, stripped: Collection[int]) -> Plan:
    """Make the changes of a file in a table, and say which. Raises `FileRefused`."""
    file = parse(content, {row.key: (row.uid, row.group) for row in table})
    doubts = _doubts(file, [row.uid for row in table if row.deleted_at is None])
    file = _with_zeros(file, {each.line: each.listed for each in doubts if each.line in stripped})
    named = {card.key for card in file.cards}
    deleted = tuple(row for row in table if row.deleted_at is None and row.key not in named)
    if mode is ImportMode.UPDATE:
        deleted = ()
    for row in deleted:
        table.put(edited(row, at=at, deleted_at=at))
    added: list[CardLine] = []
    changed: list[tuple[Card, CardLine]] = []
    for card in file.cards:
        present = table.present(card.key)
        if present is None:
            added.append(card)
        elif _says_the_same(card, present):
            continue
        else:
            changed.append((present, card))
        table.put(_local(card, at))
    if table.surplus:
        raise FileRefused(added[-table.surplus].line, "list_full")
    return Plan(
        processed=file.processed,
        added=tuple(added),
        changed=tuple(changed),
        deleted=deleted,
        unchanged=len(file.cards) - len(added) - len(changed),
        doubts=doubts,
    )


def _doubts(file: CardFile, listed: Sequence[str]) -> tuple[Doubt, ...]:
    present = set(listed)
    named = {card.uid for card in file.cards}
    digits = [uid for uid in listed if uid.isdigit() and uid not in named]
    return tuple(
        Doubt(line=card.line, uid=card.uid, listed=found)
        for card in file.cards
        if card.uid not in present and (found := listed_with_zeros(card.uid, digits)) is not None
    )


def _with_zeros(file: CardFile, listed: dict[int, str]) -> CardFile:
    """Put the listed card number in the place of the stripped one."""
    cards = tuple(replace(card, uid=listed.get(card.line, card.uid)) for card in file.cards)
    first: dict[str, int] = {}
    mistakes = []
    for card in cards:
        if card.key in first:
            mistakes.append(Mistake(line=card.line, code="uid_twice", data={"uid": card.uid, "first": first[card.key]}))
        first.setdefault(card.key, card.line)
    if mistakes:
        raise FileRefused.of(mistakes)
    return CardFile(cards=cards)


def _says_the_same(card: CardLine, row: Card) -> bool:
    """Compare in the words of the file: it knows neither milliseconds nor more than two authorizations."""
    return (
        card.group == row.group
        and write_expiry(card.expires_at) == write_expiry(row.expires_at)
        and write_authorization(card.authorization.value) == write_authorization(row.authorization)
    )


def _local(card: CardLine, at: datetime) -> Card:
    return make_card(
        uid=card.uid,
        group=card.group,
        expires_at=card.expires_at,
        authorization=card.authorization.value,
        source=Source.LOCAL,
        at=at,
    )
