"""Reservations: who may charge while a connector is kept, and how a reservation ends."""

from typing import Any

import pytest

from tests.process.conformance.bench import CARD, OTHER_CARD, ConformanceBench, moment, never, number, section


def reserve(
    bench: ConformanceBench, connector: int = 1, card: str = CARD, *, for_s: float = 60, **more: Any
) -> tuple[int, str]:
    reservation = more.pop("reservationId", number())
    status = bench.status_of(
        "ReserveNow", connectorId=connector, expiryDate=moment(for_s), idTag=card, reservationId=reservation, **more
    )
    return reservation, status


@section("S 5.13", "S 4.9 A7")
def test_a_reserved_connector_says_so(bench: ConformanceBench) -> None:
    assert reserve(bench)[1] == "Accepted"

    bench.wait_status("Reserved")


@section("S 5.13", "S 4.9 G2", "S 6.45")
def test_the_holder_uses_the_reservation_up(bench: ConformanceBench) -> None:
    reservation, _ = reserve(bench)
    bench.wait_status("Reserved")
    bench.plug_unseen()

    bench.swipe(CARD)

    assert bench.wait_for("StartTransaction")["reservationId"] == reservation
    bench.wait_status("Charging")
    bench.unplug()
    bench.wait_status("Available")
    bench.settle()
    assert bench.statuses()[-1] == "Available"
    assert bench.status_of("CancelReservation", reservationId=reservation) == "Rejected"


@section("S 4.9 G2", "S 5.13")
def test_a_car_at_a_reserved_connector_changes_nothing_until_the_holder_comes(bench: ConformanceBench) -> None:
    reserve(bench)
    bench.wait_status("Reserved")
    bench.plug_unseen()
    assert bench.statuses()[-1] == "Reserved"

    bench.swipe(CARD)

    bench.wait_status("Charging")
    assert bench.statuses()[-3:] == ["Reserved", "Preparing", "Charging"]


@section("S 4.9 G1", "S 5.1")
def test_a_car_that_waits_when_the_reservation_ends_is_preparing(bench: ConformanceBench) -> None:
    reservation, _ = reserve(bench)
    bench.wait_status("Reserved")
    bench.plug_unseen()

    assert bench.status_of("CancelReservation", reservationId=reservation) == "Accepted"

    bench.wait_status("Preparing")


@section("S 5.13", "S 9.3 ReserveConnectorZeroSupported")
def test_as_many_reservations_of_connector_zero_as_connectors_reserve_each_of_them(bench: ConformanceBench) -> None:
    assert reserve(bench, 0, "HOLDER")[1] == "Accepted"
    assert reserve(bench, 0, "SECOND")[1] == "Accepted"

    bench.wait_status("Reserved", connector=1)
    bench.wait_status("Reserved", connector=2)


@section("S 5.13", "S 7.41")
def test_a_faulted_connector_says_so_even_to_an_expired_request(bench: ConformanceBench) -> None:
    bench.sim("/connectors/1/fault", code="GroundFailure", active=True)
    bench.wait_status("Faulted")

    assert reserve(bench, for_s=-60)[1] == "Faulted"


@section("S 5.13")
def test_a_reserved_connector_refuses_other_cards(bench: ConformanceBench) -> None:
    reserve(bench, 1)
    reserve(bench, 2)
    bench.wait_status("Reserved", connector=2)
    bench.sim("/connectors/1/plug")

    bench.swipe(OTHER_CARD)

    never(lambda: bench.received("StartTransaction"), for_s=1)


@section("S 5.13")
def test_a_card_of_the_reserved_group_may_charge(bench: ConformanceBench) -> None:
    reservation, _ = reserve(bench, parentIdTag="FAMILY")
    bench.wait_status("Reserved")
    bench.backend.answers["Authorize"] = {"idTagInfo": {"status": "Accepted", "parentIdTag": "FAMILY"}}
    bench.plug_unseen()

    bench.swipe(OTHER_CARD)

    assert bench.wait_for("StartTransaction")["reservationId"] == reservation


@section("S 5.13")
def test_a_card_of_another_group_may_not_charge(bench: ConformanceBench) -> None:
    reserve(bench, parentIdTag="FAMILY")
    bench.wait_status("Reserved")
    bench.backend.answers["Authorize"] = {"idTagInfo": {"status": "Accepted", "parentIdTag": "STRANGERS"}}
    bench.plug_unseen()

    bench.swipe(OTHER_CARD)

    never(lambda: bench.station.connector(1)["contactor"], for_s=1)


@section("S 5.13", "S 5.11")
def test_a_remote_start_for_another_card_is_rejected_at_a_reserved_connector(bench: ConformanceBench) -> None:
    reserve(bench)
    bench.wait_status("Reserved")

    assert bench.status_of("RemoteStartTransaction", idTag=OTHER_CARD, connectorId=1) == "Rejected"
    assert bench.status_of("RemoteStartTransaction", idTag=CARD, connectorId=1) == "Accepted"

    bench.wait_status("Preparing")


@section("S 5.13")
def test_upper_and_lower_case_of_the_holder_do_not_matter(bench: ConformanceBench) -> None:
    reservation, _ = reserve(bench, card="Holder")
    bench.wait_status("Reserved")
    bench.plug_unseen()

    bench.swipe("HOLDER")

    assert bench.wait_for("StartTransaction")["reservationId"] == reservation


@section("S 5.13", "S 4.9 G1")
def test_a_reservation_expires(bench: ConformanceBench) -> None:
    reservation, _ = reserve(bench, for_s=2)
    bench.wait_status("Reserved")

    bench.wait_status("Available")

    assert bench.status_of("CancelReservation", reservationId=reservation) == "Rejected"


@section("S 5.13")
def test_an_expiry_in_the_past_is_rejected(bench: ConformanceBench) -> None:
    assert reserve(bench, for_s=-60)[1] == "Rejected"

    bench.settle()
    assert bench.statuses() == []


@section("S 5.1", "S 4.9 G1")
def test_a_reservation_can_be_cancelled_once(bench: ConformanceBench) -> None:
    reservation, _ = reserve(bench)
    bench.wait_status("Reserved")

    assert bench.status_of("CancelReservation", reservationId=reservation) == "Accepted"
    bench.wait_status("Available")
    assert bench.status_of("CancelReservation", reservationId=reservation) == "Rejected"


@section("S 5.1")
def test_an_unknown_reservation_cannot_be_cancelled(bench: ConformanceBench) -> None:
    assert bench.status_of("CancelReservation", reservationId=987_654) == "Rejected"


@section("S 5.13")
def test_the_same_number_replaces_the_reservation(bench: ConformanceBench) -> None:
    reservation, _ = reserve(bench, 1, CARD)
    bench.wait_status("Reserved")

    assert reserve(bench, 1, OTHER_CARD, reservationId=reservation)[1] == "Accepted"
    bench.plug_unseen()
    bench.swipe(OTHER_CARD)

    assert bench.wait_for("StartTransaction", idTag=OTHER_CARD)["reservationId"] == reservation


@section("S 5.13")
def test_the_same_number_can_move_the_reservation_to_another_connector(bench: ConformanceBench) -> None:
    reservation, _ = reserve(bench, 1)
    bench.wait_status("Reserved", connector=1)

    assert reserve(bench, 2, reservationId=reservation)[1] == "Accepted"

    bench.wait_status("Available", connector=1)
    bench.wait_status("Reserved", connector=2)


@section("S 5.13", "S 7.41")
def test_a_connector_reserved_already_is_occupied(bench: ConformanceBench) -> None:
    reserve(bench)

    assert reserve(bench, card=OTHER_CARD)[1] == "Occupied"


@section("S 5.13", "S 7.41")
def test_a_charging_connector_is_occupied(bench: ConformanceBench) -> None:
    bench.charge()

    assert reserve(bench)[1] == "Occupied"


@section("S 5.13", "S 7.41")
def test_a_connector_with_a_car_is_occupied(bench: ConformanceBench) -> None:
    bench.plug()

    assert reserve(bench)[1] == "Occupied"


@section("S 5.13", "S 7.41")
def test_a_faulted_connector_is_faulted(bench: ConformanceBench) -> None:
    bench.sim("/connectors/1/fault", code="GroundFailure", active=True)
    bench.wait_status("Faulted")

    assert reserve(bench)[1] == "Faulted"


@section("S 5.13", "S 7.41")
def test_an_unavailable_connector_is_unavailable(bench: ConformanceBench) -> None:
    bench.call("ChangeAvailability", connectorId=1, type="Inoperative")

    assert reserve(bench)[1] == "Unavailable"


@section("S 5.13", "S 7.41")
@pytest.mark.parametrize("connector", [-1, 3])
def test_a_connector_that_is_none_is_rejected(bench: ConformanceBench, connector: int) -> None:
    assert reserve(bench, connector)[1] == "Rejected"


@section("S 5.13", "S 9.3 ReserveConnectorZeroSupported")
def test_a_reservation_of_connector_zero_keeps_one_connector_for_its_holder(bench: ConformanceBench) -> None:
    reservation, status = reserve(bench, 0, "HOLDER")
    assert status == "Accepted"
    bench.charge(1, OTHER_CARD)

    assert bench.status_of("RemoteStartTransaction", idTag="THIRD", connectorId=2) == "Rejected"
    bench.plug_unseen(2)
    bench.swipe("HOLDER")

    assert bench.wait_for("StartTransaction", connectorId=2)["reservationId"] == reservation


@section("S 5.13", "S 9.3 ReserveConnectorZeroSupported")
def test_where_connector_zero_cannot_be_reserved_it_is_rejected(bench: ConformanceBench) -> None:
    bench.station.config_set({"ReserveConnectorZeroSupported": "false"})
    try:
        assert reserve(bench, 0)[1] == "Rejected"
    finally:
        bench.station.config_set({"ReserveConnectorZeroSupported": "true"})


@section("S 5.13")
def test_connector_zero_is_occupied_when_nothing_is_free(bench: ConformanceBench) -> None:
    bench.charge(1)
    bench.charge(2, OTHER_CARD)

    assert reserve(bench, 0, "HOLDER")[1] == "Occupied"


@section("S 5.13", "S 4.9 G8", "S 4.9 G9")
@pytest.mark.parametrize("cause", ["fault", "unavailable"])
def test_a_reservation_ends_when_its_connector_fails_or_leaves_service(bench: ConformanceBench, cause: str) -> None:
    reservation, _ = reserve(bench)
    bench.wait_status("Reserved")

    if cause == "fault":
        bench.sim("/connectors/1/fault", code="GroundFailure", active=True)
        bench.wait_status("Faulted")
    else:
        bench.call("ChangeAvailability", connectorId=1, type="Inoperative")
        bench.wait_status("Unavailable")

    assert bench.status_of("CancelReservation", reservationId=reservation) == "Rejected"


@section("S 5.13")
def test_a_reservation_survives_the_death_of_all_processes_and_expires_after_it(bench: ConformanceBench) -> None:
    reservation, _ = reserve(bench, for_s=300)
    short, _ = reserve(bench, 2, OTHER_CARD, for_s=4)
    bench.wait_status("Reserved", connector=2)
    mark = bench.mark()

    bench.station.kill_group()
    bench.station.launch()

    bench.wait_for("StatusNotification", after=mark, connectorId=1, status="Reserved", timeout=20)
    bench.wait_for("StatusNotification", after=mark, connectorId=2, status="Available", timeout=10)
    assert bench.status_of("CancelReservation", reservationId=short) == "Rejected"
    assert bench.status_of("CancelReservation", reservationId=reservation) == "Accepted"
