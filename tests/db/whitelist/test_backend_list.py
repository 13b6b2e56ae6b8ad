"""SendLocalList and GetLocalListVersion: OCPP 1.6 sections 3.5, 4.4, 5.10, 5.15 and errata 3.52."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from ocpp_client.ports import LocalList
from station.domain.authorization import AuthorizationStatus, EntrySource
from station.domain.commands import Origin
from station.domain.moments import LATEST
from station.models import AuditEntry, BackendState, CachedAuthorization
from station.services import configuration
from tests.db.whitelist.cards import listed, make, make_many
from tests.db.whitelist.conftest import AT, MASTER_KEY
from whitelist import lookup
from whitelist.backend_list import BackendList
from whitelist.models import Card, Source


def entry(id_tag: str, status: str | None = "Accepted", **info: Any) -> dict[str, Any]:
    return {"idTag": id_tag} if status is None else {"idTag": id_tag, "idTagInfo": {"status": status, **info}}


def send(version: int, *entries: dict[str, Any], full: bool = False) -> str:
    return BackendList().apply(version, "Full" if full else "Differential", entries, AT)


def change(**items: str) -> None:
    configuration.change(items, origin=Origin.LOCAL, actor="test", at=AT)


def test_the_list_is_what_the_backend_link_asks_for() -> None:
    port: LocalList = BackendList()

    assert port.version() == 0
    assert not port.contains("AA")


def test_section_5_15_a_full_list_replaces_the_backends_rows_and_those_of_the_same_cards() -> None:
    make("LOCAL")
    make("both")
    send(1, entry("OLD"), full=True)

    assert send(2, entry("BOTH"), entry("NEW"), full=True) == "Accepted"

    assert listed() == {"BOTH": "backend", "LOCAL": "local", "NEW": "backend"}
    assert BackendList().version() == 2


def test_section_5_15_an_empty_full_list_clears_the_backends_rows_and_the_version_is_0() -> None:
    make("LOCAL")
    send(1, entry("A"), entry("B"), full=True)

    assert send(7, full=True) == "Accepted"

    assert listed() == {"LOCAL": "local"}
    assert BackendList().version() == 0


def test_section_5_10_an_empty_full_list_of_version_0_clears_the_backends_rows_as_the_certification_test_does() -> None:
    make("LOCAL")
    send(5, entry("A"), entry("B"), full=True)

    assert send(0, full=True) == "Accepted"

    assert listed() == {"LOCAL": "local"}
    assert BackendList().version() == 0
    assert send(0, full=True) == "Accepted"
    assert send(1, entry("C")) == "Accepted"
    assert BackendList().version() == 1


def test_section_5_15_a_differential_adds_changes_and_deletes() -> None:
    send(1, entry("A"), entry("B"), entry("C"), full=True)

    assert send(2, entry("b", "Blocked"), entry("C", None), entry("D"), entry("UNKNOWN", None)) == "Accepted"

    assert listed() == {"A": "backend", "b": "backend", "D": "backend"}
    found = lookup.find("B")
    assert found is not None
    assert found.status is AuthorizationStatus.BLOCKED
    assert BackendList().version() == 2


def test_section_5_15_a_differential_goes_by_card_and_takes_local_rows_over() -> None:
    make("A")
    make("B")

    assert send(1, entry("A", "Blocked"), entry("B", None)) == "Accepted"

    assert listed() == {"A": "backend"}


def test_a_differential_that_deletes_the_last_entry_leaves_version_0() -> None:
    send(3, entry("A"), full=True)

    assert send(4, entry("A", None)) == "Accepted"

    assert BackendList().version() == 0


def test_an_empty_differential_raises_the_version() -> None:
    send(3, entry("A"), full=True)

    assert send(4) == "Accepted"

    assert BackendList().version() == 4


def test_all_that_an_id_tag_info_says_is_kept() -> None:
    send(1, entry(" Ab-Cd ", "Accepted", expiryDate="2027-01-01T01:00:00.500+01:00", parentIdTag="Fleet"), full=True)

    found = lookup.find("aB-cD")

    assert found is not None
    assert found.expires_at == datetime(2027, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)
    assert found.parent_id_tag == "Fleet"
    assert found.source is EntrySource.BACKEND
    assert Card.objects.get().uid == "Ab-Cd"
    assert lookup.find("ABCD") is None


@pytest.mark.parametrize(
    ("text", "expires_at"),
    [
        ("0001-01-01T00:00:00+01:00", None),
        ("0001-01-01T00:00:00", None),
        ("", None),
        ("2027-01-01T00:00:00", datetime(2027, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59-05:00", LATEST),
    ],
)
def test_odd_dates_of_expiry_are_read_as_they_are_meant(text: str, expires_at: datetime | None) -> None:
    assert send(1, entry("A", expiryDate=text), full=True) == "Accepted"

    found = lookup.find("A")
    assert found is not None
    assert found.expires_at == expires_at


@pytest.mark.parametrize(
    ("version", "full", "entries", "status"),
    [
        (0, True, [entry("X")], "Failed"),
        (-1, True, [entry("X")], "Failed"),
        (-1, True, [], "Failed"),
        (0, False, [entry("X")], "Failed"),
        (0, False, [], "Failed"),
        (5, False, [entry("X")], "VersionMismatch"),
        (4, False, [entry("X")], "VersionMismatch"),
        (6, True, [entry("X"), entry("x")], "Failed"),
        (6, False, [entry("X"), entry("x", None)], "Failed"),
        (6, True, [entry("X", None)], "Failed"),
        (6, False, [entry("X"), entry("Y" * 21)], "Failed"),
        (6, False, [entry("X"), entry(" ")], "Failed"),
        (6, False, [entry("X"), entry("a\x00")], "Failed"),
        (6, False, [entry("X"), {"idTagInfo": {"status": "Accepted"}}], "Failed"),
        (6, False, [entry("X"), {"idTag": 4, "idTagInfo": {"status": "Accepted"}}], "Failed"),
        (6, False, [entry("X"), {"idTag": "Y", "idTagInfo": {}}], "Failed"),
        (6, False, [entry("X"), {"idTag": "Y", "idTagInfo": "Accepted"}], "Failed"),
        (6, False, [entry("X"), entry("Y", "Unheard")], "Failed"),
        (6, False, [entry("X"), entry("Y", expiryDate="tomorrow")], "Failed"),
        (6, False, [entry("X"), entry("Y", parentIdTag="p" * 21)], "Failed"),
    ],
)
def test_section_5_15_a_list_that_cannot_be_taken_changes_nothing(
    version: int, full: object, entries: list[dict[str, Any]], status: str
) -> None:
    make("LOCAL")
    send(5, entry("OLD"), full=True)

    assert send(version, *entries, full=bool(full)) == status

    assert listed() == {"LOCAL": "local", "OLD": "backend"}
    assert BackendList().version() == 5
    assert AuditEntry.objects.order_by("-id").values_list("outcome", flat=True)[0] == status


def test_an_unknown_update_type_fails() -> None:
    assert BackendList().apply(1, "Sideways", [entry("A")], AT) == "Failed"


def test_section_5_15_a_full_list_may_carry_any_version() -> None:
    send(9, entry("A"), full=True)

    assert send(3, entry("B"), full=True) == "Accepted"

    assert BackendList().version() == 3


def test_a_list_that_is_switched_off_is_not_supported_and_holds_nobody() -> None:
    send(1, entry("A"), full=True)
    change(LocalAuthListEnabled="false")

    assert send(2, entry("B")) == "NotSupported"
    assert not BackendList().contains("A")
    assert listed() == {"A": "backend"}


def test_more_than_send_local_list_max_length_entries_fail() -> None:
    change(SendLocalListMaxLength="2")

    assert send(1, entry("A"), entry("B"), entry("C"), full=True) == "Failed"
    assert send(1, entry("A"), entry("B"), full=True) == "Accepted"


def test_local_rows_count_towards_the_limit_but_the_master_key_does_not() -> None:
    change(LocalAuthListMaxLength="3")
    make(MASTER_KEY)
    make("LOCAL")

    assert send(1, entry("A"), entry("B"), entry("C"), full=True) == "Failed"
    assert send(1, entry("A"), entry("B"), full=True) == "Accepted"
    assert send(2, entry("C")) == "Failed"
    assert send(2, entry("C"), entry("A", None)) == "Accepted"
    assert send(3, entry("D"), entry("local", None)) == "Accepted"
    assert send(4, entry("A"), entry("B"), entry("LOCAL"), full=True) == "Accepted"


def test_a_list_longer_than_its_maximum_has_become_can_be_cleared_and_shortened() -> None:
    make("LOCAL")
    make("OTHER")
    send(1, entry("A"), entry("B"), full=True)
    change(LocalAuthListMaxLength="1")

    assert send(2, entry("A", None)) == "Accepted"
    assert send(3, entry("C")) == "Failed"
    assert send(0, full=True) == "Accepted"

    assert listed() == {"LOCAL": "local", "OTHER": "local"}


def test_section_3_5_3_members_of_the_list_leave_the_cache() -> None:
    for id_tag in ("a", "b", "c"):
        CachedAuthorization.objects.create(id_tag=id_tag, status="Accepted", updated_at=AT)

    send(1, entry("A"), full=True)
    send(2, entry("B"))

    assert list(CachedAuthorization.objects.values_list("id_tag", flat=True)) == ["c"]
    assert BackendList().contains("b")
    assert not BackendList().contains("C")


def test_rows_that_people_have_deleted_come_back_with_the_backends_list() -> None:
    make("A", source=Source.LOCAL, deleted_at=AT)
    make("GONE", source=Source.LOCAL, deleted_at=AT)

    send(1, entry("A"), full=True)

    assert listed() == {"A": "backend"}
    assert set(Card.objects.deleted().values_list("uid", flat=True)) == {"GONE"}


def test_a_power_cut_between_list_and_version_leaves_both_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    send(1, entry("OLD"), full=True)

    def cut(*_args: object, **_values: object) -> None:
        raise OperationalError("power cut")

    monkeypatch.setattr(BackendState.objects, "update", cut)
    with pytest.raises(OperationalError):
        send(2, entry("NEW"), full=True)
    monkeypatch.undo()

    assert listed() == {"OLD": "backend"}
    assert BackendList().version() == 1


def test_a_thousand_cards_are_taken_beside_the_master_key_in_a_few_statements() -> None:
    make(MASTER_KEY)
    first = [entry(f"{index:014X}", parentIdTag="FLEET") for index in range(1000)]
    second = [entry(f"{index:014X}", "Blocked") for index in range(500, 1500)]
    assert send(1, *first, full=True) == "Accepted"

    with CaptureQueriesContext(connection) as full:
        assert send(2, *second, full=True) == "Accepted"
    with CaptureQueriesContext(connection) as differential:
        assert send(3, *(entry(f"{index:014X}", None) for index in range(500, 510))) == "Accepted"

    assert Card.objects.present().count() == 991
    # The bars in milliseconds stand in benchmarks/calls.py; a statement for each card would miss them.
    assert len(full) < 60
    assert len(differential) < 30


def test_a_thousand_and_one_cards_fail() -> None:
    make_many(1000, Source.BACKEND)

    assert send(1, entry("ONE-MORE")) == "Failed"
    assert send(1, *(entry(f"{index:014X}") for index in range(1001)), full=True) == "Failed"
    assert Card.objects.count() == 1000
