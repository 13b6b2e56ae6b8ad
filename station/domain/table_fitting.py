"""How rows that a later version of the software has left are fitted to the tables of the one that runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column as SQLite describes it. `is_required`: NOT NULL and without a default."""

    name: str
    type: str = "text"
    is_required: bool = False
    is_key: bool = False


@dataclass(frozen=True, kw_only=True)
class Taking:
    """How one table is filled: `shared` columns from the later file, `kept` ones from the row of the same key before.

    A row that was not there before gets the neutral value of its type in a column that must have one.
    """

    table: str
    key: tuple[str, ...]
    shared: tuple[str, ...]
    kept: tuple[Column, ...]


def plan(own: Mapping[str, Sequence[Column]], later: Mapping[str, Sequence[Column]]) -> tuple[Taking, ...]:
    """Return how each table that both know is filled.

    A table that only the later version knows is not needed, one that it no longer has keeps its rows; so does one whose
    key it has changed, because nobody could say which row is which.
    """
    found = []
    for table, columns in own.items():
        theirs = {column.name for column in later.get(table, ())}
        key = tuple(column.name for column in columns if column.is_key)
        if not key or not theirs.issuperset(key):
            continue
        shared = tuple(column.name for column in columns if column.name in theirs)
        kept = tuple(column for column in columns if column.name not in theirs)
        found.append(Taking(table=table, key=key, shared=shared, kept=kept))
    return tuple(found)


def neutral(column: Column, *, text: str = "") -> str | int | None:
    """Return what stands for "nothing" in a column of a new row; `text` in one that may hold any text."""
    if not column.is_required:
        return None
    kind = column.type.lower()
    if any(word in kind for word in ("int", "bool", "real", "decimal", "numeric")):
        return 0
    return "1970-01-01 00:00:00" if "date" in kind else text
