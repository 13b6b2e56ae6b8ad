"""The verbs of the page Users."""

from datetime import timedelta

import pytest

from station.domain.authorization import AuthorizationStatus
from station.models import AuditEntry, BackendState, CachedAuthorization
from tests.db.whitelist.cards import listed, make, make_many
from tests.db.whitelist.conftest import AT, MASTER_KEY
from whitelist import lookup, table
from whitelist.editing import (
    AddCard,
    Change,
    ChangeCard,
    DeleteCard,
    RestoreCard,
    Saved,
    SaveRefused,
    page,
    purge_deleted,
    save,
)
from whitelist.models import Card, Source

LATER = AT + timedelta(hours=1)
ACCEPTED = AuthorizationStatus.ACCEPTED
BLOCKED = AuthorizationStatus.BLOCKED


def make_all(*changes: Change) -> Saved:
    return save(changes, at=LATER, actor="admin")


def codes(*changes: Change) -> list[tuple[int, str]]:
    with pytest.raises(SaveRefused) as refused:
        make_all(*changes)
    return [(problem.index, problem.refusal.code) for problem in refused.value.problems]


def change_of(present: str, **values: object) -> ChangeCard:
    as_it_is = {"uid": present, "group": "", "expires_at": None, "authorization": ACCEPTED}
    return ChangeCard(key=present.lower(), **as_it_is | values)  # type: ignore[arg-type]


def test_a_batch_is_saved_in_one_go_and_leaves_one_audit_entry() -> None:
    make("AA")
    make("BB")
    make("CC", deleted_at=AT)

    saved = make_all(
        AddCard(uid="04:A2:B3:C4", group="fleet", expires_at=LATER, authorization=BLOCKED),
        change_of("AA", group="g"),
        DeleteCard(key="bb"),
        RestoreCard(key="cc"),
    )

    assert saved == Saved(added=1, changed=1, deleted=1, restored=1)
    assert listed() == {"04A2B3C4": "local", "AA": "local", "CC": "local"}
    found = lookup.find("04a2b3c4")
    assert found is not None
    assert (found.status, found.parent_id_tag, found.expires_at) == (BLOCKED, "fleet", LATER)
    audit = AuditEntry.objects.get()
    assert (audit.command, audit.actor, audit.origin) == ("SaveWhitelist", "admin", "web")
    assert audit.data == {"added": 1, "changed": 1, "deleted": 1, "restored": 1}


def test_one_mistake_refuses_the_whole_batch_and_every_mistake_is_named() -> None:
    make("AA")
    make("BB")

    assert codes(
        AddCard(uid="CC"),
        AddCard(uid=""),
        AddCard(uid="aa"),
        AddCard(uid="DD", group="g" * 21),
        AddCard(uid="EE", authorization=AuthorizationStatus.EXPIRED),
        change_of("AA", uid="bb"),
        change_of("GONE"),
        DeleteCard(key="nobody"),
        RestoreCard(key="nobody"),
        change_of("BB", uid="x" * 21),
        change_of("BB", authorization=AuthorizationStatus.INVALID),
    ) == [
        (1, "uid_empty"),
        (2, "uid_taken"),
        (3, "group_too_long"),
        (4, "authorization"),
        (5, "uid_taken"),
        (6, "card_gone"),
        (7, "card_gone"),
        (8, "card_gone"),
        (9, "uid_too_long"),
        (10, "authorization"),
    ]
    assert listed() == {"AA": "local", "BB": "local"}
    assert not AuditEntry.objects.exists()


def test_the_same_card_twice_in_a_batch_is_refused() -> None:
    assert codes(AddCard(uid="AA"), AddCard(uid="a:a")) == [(1, "uid_taken")]


def test_a_local_edit_makes_a_row_local_and_leaves_the_backends_version() -> None:
    BackendState.objects.create(list_version=7)
    for uid in ("AA", "BB", "CC"):
        make(uid, source=Source.BACKEND)

    make_all(change_of("AA", group="g"), change_of("BB"), DeleteCard(key="cc"), RestoreCard(key="cc"))

    assert listed() == {"AA": "local", "BB": "backend", "CC": "local"}
    assert BackendState.load().list_version == 7


def test_what_the_backend_wrote_stays_as_it_is_while_nobody_changes_it() -> None:
    make("AB-CD", group="Käse", authorization="Invalid", source=Source.BACKEND)
    untouched = ChangeCard(
        key="ab-cd", uid="AB-CD", group="Käse", expires_at=LATER, authorization=AuthorizationStatus.INVALID
    )

    assert make_all(untouched) == Saved(changed=1)

    card = Card.objects.get()
    assert (card.uid, card.group, card.authorization, card.expires_at) == ("AB-CD", "Käse", "Invalid", LATER)
    assert codes(AddCard(uid="ab-cd")) == [(0, "uid_taken")]


def test_a_card_gets_another_uid_and_can_swap_it_along_a_chain() -> None:
    make("AA", group="first")
    make("BB", group="second")

    make_all(change_of("BB", uid="CC", group="second"), change_of("AA", uid="BB", group="first"))

    assert dict(Card.objects.values_list("uid", "group")) == {"CC": "second", "BB": "first"}


def test_a_card_may_change_the_case_of_its_uid() -> None:
    make("aa")

    make_all(change_of("aa", uid="AA"))

    assert listed() == {"AA": "local"}


def test_a_deleted_card_no_longer_charges_and_can_be_added_anew_or_restored() -> None:
    make("AA", group="old")
    make("BB", group="old")
    make_all(DeleteCard(key="aa"), DeleteCard(key="bb"))
    assert lookup.find("AA") is None

    assert make_all(AddCard(uid="AA"), RestoreCard(key="bb")) == Saved(added=1, restored=1)

    assert dict(Card.objects.present().values_list("uid", "group")) == {"AA": "", "BB": "old"}


def test_deleting_and_restoring_twice_is_no_mistake() -> None:
    make("AA")

    assert make_all(RestoreCard(key="aa")) == Saved()
    assert make_all(DeleteCard(key="aa"), DeleteCard(key="aa")) == Saved(deleted=1)
    assert AuditEntry.objects.count() == 1


def test_at_the_reboot_deleted_cards_are_gone_for_good() -> None:
    make("AA")
    make("BB", deleted_at=AT)

    assert purge_deleted() == 1

    assert codes(RestoreCard(key="bb")) == [(0, "card_gone")]
    assert listed() == {"AA": "local"}


def test_the_list_ends_at_a_thousand_entries_beside_the_master_key() -> None:
    make_many(999)
    make(MASTER_KEY)
    make("DELETED", deleted_at=AT)

    assert codes(AddCard(uid="LAST"), AddCard(uid="TOO MUCH"), RestoreCard(key="deleted")) == [
        (1, "list_full"),
        (2, "list_full"),
    ]
    assert make_all(AddCard(uid="LAST")) == Saved(added=1)
    assert codes(RestoreCard(key="deleted")) == [(0, "list_full")]
    assert make_all(AddCard(uid="NEW"), DeleteCard(key="00000000")) == Saved(added=1, deleted=1)


def test_a_card_that_is_entered_leaves_the_cache() -> None:
    CachedAuthorization.objects.create(id_tag="aa", status="Blocked", updated_at=AT)

    make_all(AddCard(uid="AA"))

    assert not CachedAuthorization.objects.exists()


def test_only_so_many_deleted_cards_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MAX_DELETED", 2)
    for index, uid in enumerate(("AA", "BB", "CC")):
        make(uid)
        save([DeleteCard(key=uid.lower())], at=AT + timedelta(seconds=index), actor="admin")

    assert set(Card.objects.values_list("uid", flat=True)) == {"BB", "CC"}


def test_a_page_has_ten_cards_and_knows_its_neighbours() -> None:
    make_many(25)

    assert [card.uid for card in page(1).cards] == [f"{index:08X}" for index in range(10)]
    assert (page(3).number, page(3).pages, page(3).total, len(page(3).cards)) == (3, 3, 25, 5)
    assert page(99).number == 3
    assert page(-1).number == 1
    assert page(1, search="nobody").pages == 1


@pytest.mark.parametrize(
    ("search", "found"),
    [("a2b3", ["04A2B3C4"]), ("04:A2", ["04A2B3C4"]), ("FLEET", ["04A2B3C4"]), ("%", []), ("'; --", []), ("", None)],
)
def test_searching_looks_at_uid_and_group(search: str, found: list[str] | None) -> None:
    make("04A2B3C4", group="Fleet 7")
    make("DD", deleted_at=AT)
    make("EE")

    assert [card.uid for card in page(search=search).cards] == (["04A2B3C4", "EE"] if found is None else found)
    assert page(search=search, with_deleted=True).total == (3 if found is None else len(found))
