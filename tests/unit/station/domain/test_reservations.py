"""Reservations: OCPP 1.6 sections 3.11, 5.1, 5.13 and 7.41."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.domain.reservations import (
    Condition,
    Refusal,
    RefusalReason,
    Reservation,
    ReserveStatus,
    check_reserve,
    expired,
    may_start,
    reserved_connectors,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ONE = Reservation(reservation_id=1, connector_id=1, id_tag="HOLDER", expires_at=NOW + timedelta(minutes=15))
ANY = replace(ONE, connector_id=0)
FREE = {0: Condition.FREE, 1: Condition.FREE, 2: Condition.FREE}


def reserve(wanted: Reservation, *existing: Reservation, **changes: object) -> ReserveStatus:
    settings = {"enabled": True, "zero_supported": True, "conditions": FREE, **changes}
    return check_reserve(wanted, reservations=existing, now=NOW, **settings)  # type: ignore[arg-type]


def start(
    tag: str, parent: str | None, connector_id: int, reservations: Iterable[Reservation], free: Collection[int]
) -> Reservation | Refusal | None:
    return may_start(tag, parent, connector_id, reservations=reservations, free_connectors=free, now=NOW)


def test_section_5_13_a_free_connector_is_reserved() -> None:
    assert reserve(ONE) is ReserveStatus.ACCEPTED
    assert reserve(ANY) is ReserveStatus.ACCEPTED


def test_section_5_13_what_cannot_be_reserved_at_all_is_rejected() -> None:
    assert reserve(ONE, enabled=False) is ReserveStatus.REJECTED
    assert reserve(replace(ONE, connector_id=3)) is ReserveStatus.REJECTED
    assert reserve(replace(ONE, connector_id=-1)) is ReserveStatus.REJECTED
    assert reserve(replace(ONE, expires_at=NOW)) is ReserveStatus.REJECTED
    assert reserve(replace(ANY, expires_at=NOW)) is ReserveStatus.REJECTED
    assert reserve(ANY, zero_supported=False) is ReserveStatus.REJECTED
    assert reserve(ONE, zero_supported=False) is ReserveStatus.ACCEPTED


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        (Condition.OCCUPIED, ReserveStatus.OCCUPIED),
        (Condition.UNAVAILABLE, ReserveStatus.UNAVAILABLE),
        (Condition.FAULTED, ReserveStatus.FAULTED),
    ],
)
def test_section_7_41_the_answer_tells_the_condition_of_the_connector(
    condition: Condition, status: ReserveStatus
) -> None:
    assert reserve(ONE, conditions={**FREE, 1: condition}) is status
    assert reserve(ANY, conditions={**FREE, 1: condition}) is ReserveStatus.ACCEPTED
    assert reserve(ANY, conditions={**FREE, 1: condition, 2: condition}) is status
    assert reserve(ONE, conditions={**FREE, 0: condition}) is status
    over = replace(ONE, expires_at=NOW)
    assert reserve(over, conditions={**FREE, 1: condition}) is status
    assert reserve(over, conditions={**FREE, 0: condition}) is status
    assert reserve(over, replace(ONE, reservation_id=2)) is ReserveStatus.OCCUPIED


def test_section_5_13_a_reserved_connector_is_occupied_for_any_further_reservation() -> None:
    assert reserve(replace(ONE, reservation_id=2, id_tag="OTHER"), ONE) is ReserveStatus.OCCUPIED
    assert reserve(replace(ONE, reservation_id=2), ONE) is ReserveStatus.OCCUPIED
    assert reserve(replace(ONE, reservation_id=2, connector_id=2), ONE) is ReserveStatus.ACCEPTED


def test_section_5_13_the_same_number_replaces_its_reservation() -> None:
    assert reserve(replace(ONE, id_tag="OTHER"), ONE) is ReserveStatus.ACCEPTED
    assert reserve(replace(ONE, connector_id=2), ONE) is ReserveStatus.ACCEPTED
    assert reserve(ANY, ONE) is ReserveStatus.ACCEPTED


def test_section_5_13_no_more_is_promised_than_there_are_free_connectors() -> None:
    second = replace(ANY, reservation_id=2)
    third = replace(ANY, reservation_id=3)

    assert reserve(second, ANY) is ReserveStatus.ACCEPTED
    assert reserve(third, ANY, second) is ReserveStatus.OCCUPIED
    assert reserve(replace(ONE, reservation_id=3), ANY, second) is ReserveStatus.OCCUPIED
    assert reserve(second, ANY, conditions={**FREE, 1: Condition.OCCUPIED}) is ReserveStatus.OCCUPIED


def test_section_5_13_an_expired_reservation_hinders_nobody() -> None:
    old = replace(ONE, reservation_id=2, expires_at=NOW)

    assert reserve(ONE, old) is ReserveStatus.ACCEPTED
    assert start("OTHER", None, 1, [old], [1, 2]) is None
    assert expired([old, ONE], NOW) == (old,)


def test_section_3_11_only_the_holder_starts_on_a_reserved_connector() -> None:
    assert start("holder", None, 1, [ONE], [1, 2]) == ONE
    assert start("OTHER", None, 1, [ONE], [1, 2]) == Refusal(
        reason=RefusalReason.CONNECTOR_RESERVED, reservation=ONE, ask_parent=False
    )
    assert start("OTHER", None, 2, [ONE], [1, 2]) is None
    assert start("HOLDER", None, 2, [ONE], [1, 2]) is None


def test_section_5_13_a_member_of_the_holders_group_starts_and_an_unknown_group_is_asked_for() -> None:
    group = replace(ONE, parent_id_tag="FLEET")

    assert start("OTHER", "fleet", 1, [group], [1, 2]) == group
    unknown = start("OTHER", None, 1, [group], [1, 2])
    stranger = start("OTHER", "CLUB", 1, [group], [1, 2])
    assert isinstance(unknown, Refusal)
    assert isinstance(stranger, Refusal)
    assert (unknown.ask_parent, stranger.ask_parent) == (True, False)
    assert isinstance(start("OTHER", "HOLDER", 1, [ONE], [1, 2]), Refusal)


def test_section_3_11_connector_0_keeps_one_connector_for_its_holder() -> None:
    assert start("OTHER", None, 1, [ANY], [1, 2]) is None
    assert start("OTHER", None, 1, [ANY], [1]) == Refusal(
        reason=RefusalReason.LAST_CONNECTOR_RESERVED, reservation=ANY, ask_parent=False
    )
    assert start("HOLDER", None, 1, [ANY], [1]) == ANY


def test_section_3_11_a_connector_reserved_by_name_is_not_free_for_the_holder_of_connector_0() -> None:
    named = replace(ONE, reservation_id=2, connector_id=2, id_tag="THIRD")

    assert isinstance(start("OTHER", None, 1, [ANY, named], [1, 2]), Refusal)


def test_section_3_11_the_holders_own_connector_is_used_up_before_connector_0() -> None:
    assert start("HOLDER", None, 1, [replace(ANY, reservation_id=2), ONE], [1, 2]) == ONE


def test_section_3_11_a_connector_is_kept_by_its_number_or_when_connector_0_leaves_none() -> None:
    second = replace(ANY, reservation_id=2)
    third = replace(ONE, reservation_id=3, connector_id=2)

    def kept(*reservations: Reservation, free: Collection[int] = (1, 2)) -> set[int]:
        return set(reserved_connectors(reservations, free, NOW))

    assert kept() == kept(ANY) == set()
    assert kept(ONE) == {1}
    assert kept(ANY, second) == {1, 2}
    assert kept(ANY, third) == {1, 2}
    assert kept(ANY, free=[2]) == {2}
    assert kept(ANY, free=[]) == set()
    assert kept(replace(ANY, expires_at=NOW), free=[2]) == set()


STEPS = st.lists(
    st.tuples(st.sampled_from(["reserve", "start", "end"]), st.integers(0, 3), st.sampled_from("ABCD")), max_size=30
)


@given(STEPS)
def test_section_3_11_every_accepted_reservation_can_be_used_by_its_holder(steps: list[tuple[str, int, str]]) -> None:
    held: dict[int, Reservation] = {}
    running: set[int] = set()
    for number, (action, connector_id, tag) in enumerate(steps):
        free = {each for each in (1, 2, 3) if each not in running}
        if action == "reserve":
            wanted = replace(ONE, reservation_id=number, connector_id=connector_id, id_tag=tag)
            conditions = {0: Condition.FREE} | {
                each: Condition.FREE if each in free else Condition.OCCUPIED for each in (1, 2, 3)
            }
            if reserve(wanted, *held.values(), conditions=conditions) is ReserveStatus.ACCEPTED:
                held[number] = wanted
        elif action == "start" and connector_id in free:
            answer = start(tag, None, connector_id, held.values(), free)
            if not isinstance(answer, Refusal):
                running.add(connector_id)
            if isinstance(answer, Reservation):
                del held[answer.reservation_id]
        elif action == "end":
            running.discard(connector_id)
        free = {each for each in (1, 2, 3) if each not in running}
        for each in held.values():
            targets = free if each.connector_id == 0 else free & {each.connector_id}
            assert any(
                isinstance(start(each.id_tag, None, target, held.values(), free), Reservation) for target in targets
            )
