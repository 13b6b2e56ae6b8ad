"""Export and import of the whitelist as user-export.csv."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from django.db import transaction

from station.domain.commands import Origin
from whitelist.csv_text import CardLine, FileRefused, parse, render, write_authorization, write_expiry
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


def import_file(content: bytes, *, mode: ImportMode, at: datetime, actor: str, origin: Origin = Origin.WEB) -> Imported:
    """Import a file, all or nothing; cards it changes become local. Raises `FileRefused` with the first mistake."""
    with transaction.atomic():
        table = Table.read()
        file = parse(content, {row.key: (row.uid, row.group) for row in table})
        deleted = _delete_others(table, {card.key for card in file.cards}, at) if mode is ImportMode.REPLACE else 0
        entering: list[CardLine] = []
        changed = 0
        for card in file.cards:
            present = table.present(card.key)
            if present is None:
                entering.append(card)
            elif _says_the_same(card, present):
                continue
            else:
                changed += 1
            table.put(_local(card, at))
        if table.surplus:
            raise FileRefused(entering[-table.surplus].line, "list_full")
        table.write()
        saved = Saved(added=len(entering), changed=changed, deleted=deleted)
        record(saved, command="ImportWhitelist", at=at, actor=actor, origin=origin)
    return Imported(processed=file.processed, saved=saved)


def _delete_others(table: Table, named: set[str], at: datetime) -> int:
    doomed = [row for row in table if row.deleted_at is None and row.key not in named]
    for row in doomed:
        table.put(edited(row, at=at, deleted_at=at))
    return len(doomed)


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
