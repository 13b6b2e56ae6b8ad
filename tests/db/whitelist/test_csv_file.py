"""Export and import of the whole list."""

from datetime import UTC, datetime
from typing import Any

import pytest

from station.models import AuditEntry, BackendState
from tests.db.whitelist.cards import listed, make, make_many
from tests.db.whitelist.conftest import AT, MASTER_KEY
from whitelist.csv_file import Doubt, Imported, ImportMode, export_file, import_file, preview
from whitelist.csv_text import FileRefused
from whitelist.editing import RestoreCard, Saved, save
from whitelist.models import Card, Source

HEADER = "UID,GID,Expiry,Authorization\n"


def take(body: str, mode: ImportMode = ImportMode.UPDATE) -> Imported:
    return import_file((HEADER + body).encode(), mode=mode, at=AT, actor="admin")


def test_the_manuals_example_goes_in_and_comes_out() -> None:
    body = "4b13b318,,2020-01-01T12:00:00,blocked\naec78085,,,accepted\n"

    assert take(body) == Imported(processed=3, saved=Saved(added=2))

    assert export_file() == (HEADER + body).encode()
    assert Card.objects.get(key="4b13b318").expires_at == datetime(2020, 1, 1, 12, tzinfo=UTC)
    assert AuditEntry.objects.get().data == {"added": 2}


def test_an_update_adds_and_changes_and_leaves_the_rest() -> None:
    make("AA")
    make("BB", source=Source.BACKEND)
    make("CC", source=Source.BACKEND)

    assert take("bb,group,,blocked\nDD,,,accepted\ncc,,,accepted\n").saved == Saved(added=1, changed=1)

    assert listed() == {"AA": "local", "BB": "local", "CC": "backend", "DD": "local"}


def test_a_replacement_deletes_what_the_file_does_not_name_until_it_is_restored() -> None:
    BackendState.objects.create(list_version=5)
    make("AA")
    make("BB", source=Source.BACKEND)
    make("CC", deleted_at=AT)

    assert take("CC,,,accepted\n", ImportMode.REPLACE) == Imported(processed=2, saved=Saved(added=1, deleted=2))

    assert listed() == {"CC": "local"}
    save([RestoreCard(key="bb")], at=AT, actor="admin")
    assert listed() == {"BB": "local", "CC": "local"}
    assert BackendState.load().list_version == 5


def test_the_export_put_back_changes_nothing_whatever_the_backend_has_written() -> None:
    make("AB-CD", group="Käse", authorization="Invalid", source=Source.BACKEND)
    make("=1+1", expires_at=AT.replace(microsecond=500_000), source=Source.BACKEND)
    make("'-1", source=Source.BACKEND)
    make("GONE", deleted_at=AT)

    taken = import_file(export_file(), mode=ImportMode.REPLACE, at=AT, actor="admin")

    assert taken == Imported(processed=4, saved=Saved())
    assert set(Card.objects.present().values_list("source", flat=True)) == {"backend"}
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("mode", list(ImportMode))
def test_a_mistake_anywhere_changes_nothing(mode: ImportMode) -> None:
    make("AA")

    with pytest.raises(FileRefused) as refused:
        take("BB,,,accepted\nCC,,,perhaps\n", mode)

    assert (refused.value.line, refused.value.code) == (3, "authorization")
    assert listed() == {"AA": "local"}


def test_the_line_is_named_at_which_the_list_is_full() -> None:
    make_many(998)
    make(MASTER_KEY)

    with pytest.raises(FileRefused) as refused:
        take("00000000,,,blocked\nX1,,,accepted\nX2,,,accepted\nX3,,,accepted\n")

    assert (refused.value.line, refused.value.code) == (5, "list_full")
    assert Card.objects.count() == 999


def test_a_preview_says_what_would_change_and_changes_nothing() -> None:
    make("AA")
    make("BB", group="old")
    make("CC")

    plan = preview(
        (HEADER + "AA,,,accepted\nbb,new,,blocked\nDD,,,accepted\n").encode(), mode=ImportMode.REPLACE, at=AT
    )

    assert plan.processed == 4
    assert [card.uid for card in plan.added] == ["DD"]
    assert [(before.uid, before.group, after.group) for before, after in plan.changed] == [("BB", "old", "new")]
    assert [card.uid for card in plan.deleted] == ["CC"]
    assert plan.unchanged == 1
    assert listed() == {"AA": "local", "BB": "local", "CC": "local"}


def test_a_card_whose_leading_zeros_were_stripped_is_asked_about_and_taken_as_answered() -> None:
    make("0004711")
    body = (HEADER + "4711,fleet,,accepted\n").encode()

    asked = preview(body, mode=ImportMode.REPLACE, at=AT)
    assert asked.doubts == (Doubt(line=2, uid="4711", listed="0004711"),)
    assert [card.uid for card in asked.added] == ["4711"]

    taken = import_file(body, mode=ImportMode.REPLACE, at=AT, actor="admin", stripped=[2])

    assert taken.saved == Saved(changed=1)
    assert listed() == {"0004711": "local"}
    assert Card.objects.get().group == "fleet"


def test_two_lines_cannot_mean_the_same_card_by_their_zeros() -> None:
    make("0004711")
    body = (HEADER + "4711,,,accepted\n04711,,,accepted\n").encode()

    with pytest.raises(FileRefused) as refused:
        import_file(body, mode=ImportMode.UPDATE, at=AT, actor="admin", stripped=[2, 3])

    assert (refused.value.line, refused.value.code) == (3, "uid_twice")


def test_a_thousand_lines_are_taken_in_few_queries(django_assert_max_num_queries: Any) -> None:
    # The bar of a second is measured by benchmarks/pages.py.
    body = "".join(f"{index:014x},fleet,2030-01-01T00:00:00,accepted\n" for index in range(1000))
    make_many(1000)

    with django_assert_max_num_queries(40):
        taken = take(body, ImportMode.REPLACE)

    assert taken == Imported(processed=1001, saved=Saved(added=1000, deleted=1000))
