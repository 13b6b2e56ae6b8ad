"""The local authorization list: versions, full and differential updates, limits."""

import pytest

from tests.process.conformance.bench import ConformanceBench, Payload, moment, section


def rows(*tags: str, status: str | None = "Accepted") -> list[Payload]:
    return [{"idTag": tag} | ({"idTagInfo": {"status": status}} if status else {}) for tag in tags]


def send(bench: ConformanceBench, version: int, kind: str, entries: list[Payload] | None = None) -> str:
    payload: Payload = {"listVersion": version, "updateType": kind}
    if entries is not None:
        payload["localAuthorizationList"] = entries
    return bench.status_of("SendLocalList", **payload)


def version(bench: ConformanceBench) -> int:
    return int(bench.call("GetLocalListVersion")["listVersion"])


def known(bench: ConformanceBench, tag: str) -> bool:
    """Find out over the wire: a listed card starts without being asked about."""
    mark = bench.mark()
    bench.swipe(tag)
    bench.wait_for("StartTransaction", after=mark, idTag=tag)
    asked = bench.received("Authorize", after=mark)
    bench.unplug()
    bench.wait_for("StopTransaction", after=mark)
    return not asked


@pytest.fixture(autouse=True)
def _own_cards_first(bench: ConformanceBench) -> None:
    bench.configure(LocalPreAuthorize=True, AuthorizationCacheEnabled=False)


@section("S 5.10", "S 5.15")
def test_a_full_update_sets_version_and_content(bench: ConformanceBench) -> None:
    assert send(bench, 3, "Full", rows("A", "B")) == "Accepted"
    assert version(bench) == 3

    bench.plug()
    assert known(bench, "A")


@section("S 5.15")
def test_a_full_update_removes_what_is_not_in_it(bench: ConformanceBench) -> None:
    send(bench, 3, "Full", rows("A"))
    assert send(bench, 4, "Full", rows("B")) == "Accepted"

    bench.plug()
    assert not known(bench, "A")


@section("S 5.15")
def test_a_full_update_may_bring_any_version_even_an_older_one(bench: ConformanceBench) -> None:
    send(bench, 9, "Full", rows("A"))

    assert send(bench, 2, "Full", rows("A")) == "Accepted"

    assert version(bench) == 2


@section("S 5.15", "S 5.10")
def test_a_full_update_without_entries_empties_the_list(bench: ConformanceBench) -> None:
    send(bench, 9, "Full", rows("A"))

    assert send(bench, 10, "Full") == "Accepted"

    bench.plug()
    assert not known(bench, "A")


@section("S 5.10", "S 5.15")
@pytest.mark.parametrize("entries", [None, []])
def test_a_full_update_of_version_0_without_entries_resets_the_list(
    bench: ConformanceBench, entries: list[Payload] | None
) -> None:
    send(bench, 9, "Full", rows("A"))

    assert send(bench, 0, "Full", entries) == "Accepted"

    assert version(bench) == 0
    assert send(bench, 1, "Differential", rows("B")) == "Accepted"
    bench.plug()
    assert not known(bench, "A")


@section("S 5.15")
def test_a_differential_update_adds_changes_and_removes(bench: ConformanceBench) -> None:
    send(bench, 3, "Full", rows("A", "B"))

    assert send(bench, 4, "Differential", [*rows("C"), *rows("A", status=None)]) == "Accepted"

    assert version(bench) == 4
    bench.plug()
    assert known(bench, "C")
    bench.wait_status("Available")
    bench.begin()
    bench.plug()
    assert not known(bench, "A")
    bench.wait_status("Available")
    bench.begin()
    bench.plug()
    assert known(bench, "B")


@section("S 5.15", "S 7.44")
@pytest.mark.parametrize("older", [5, 4, 1])
def test_a_differential_update_that_is_not_newer_is_a_version_mismatch(bench: ConformanceBench, older: int) -> None:
    send(bench, 5, "Full", rows("A"))

    assert send(bench, older, "Differential", rows("B")) == "VersionMismatch"

    assert version(bench) == 5


@section("S 5.15")
@pytest.mark.parametrize("bad", [0, -1])
def test_a_version_that_is_not_positive_fails(bench: ConformanceBench, bad: int) -> None:
    send(bench, 5, "Full", rows("A"))

    assert send(bench, bad, "Full", rows("B")) == "Failed"

    assert version(bench) == 5


@section("S 5.15")
@pytest.mark.parametrize("kind", ["Full", "Differential"])
@pytest.mark.parametrize("twice", [("X", "X"), ("x", "X")])
def test_the_same_card_twice_in_one_update_fails_and_changes_nothing(
    bench: ConformanceBench, kind: str, twice: tuple[str, str]
) -> None:
    send(bench, 5, "Full", rows("A"))

    assert send(bench, 6, kind, rows(*twice)) == "Failed"

    assert version(bench) == 5
    bench.plug()
    assert known(bench, "A")


@section("S 5.15", "S 6.41")
def test_a_full_update_with_an_entry_without_status_fails_and_changes_nothing(bench: ConformanceBench) -> None:
    send(bench, 5, "Full", rows("A"))

    assert send(bench, 6, "Full", [*rows("B"), *rows("C", status=None)]) == "Failed"

    assert version(bench) == 5


@section("S 9.2 SendLocalListMaxLength", "S 9.2 LocalAuthListMaxLength")
def test_more_entries_than_allowed_fail_and_change_nothing(bench: ConformanceBench) -> None:
    send(bench, 5, "Full", rows("A"))

    assert send(bench, 6, "Full", rows(*(f"T{n}" for n in range(1001)))) == "Failed"

    assert version(bench) == 5


@section("S 9.2 LocalAuthListMaxLength")
def test_a_differential_update_beyond_the_length_of_the_list_fails_as_a_whole(bench: ConformanceBench) -> None:
    assert send(bench, 5, "Full", rows(*(f"T{n}" for n in range(1000)))) == "Accepted"

    assert send(bench, 6, "Differential", rows("ONE-TOO-MANY")) == "Failed"
    assert version(bench) == 5
    assert send(bench, 6, "Differential", [*rows("IN"), *rows("T1", status=None)]) == "Accepted"


@section("S 5.15")
def test_a_thousand_entries_are_taken_and_other_calls_answered_meanwhile(bench: ConformanceBench) -> None:
    payload = {
        "listVersion": 8,
        "updateType": "Full",
        "localAuthorizationList": rows(*(f"CARD{n:05}" for n in range(1000))),
    }
    bench.call("GetLocalListVersion")
    bench._list_used = True
    sent = bench.backend.post("SendLocalList", payload)
    assert bench.value("NumberOfConnectors") == "2"

    assert bench.backend.answer(sent) == {"status": "Accepted"}

    assert version(bench) == 8


@section("S 5.10")
def test_without_entries_the_version_is_zero(bench: ConformanceBench) -> None:
    assert send(bench, 5, "Full", []) == "Accepted"

    assert version(bench) in {0, 5}


@section("S 5.10", "S 9.2 LocalAuthListEnabled")
def test_a_switched_off_list_has_version_minus_one_and_takes_no_update(bench: ConformanceBench) -> None:
    bench.configure(LocalAuthListEnabled=False)

    assert version(bench) == -1
    assert send(bench, 5, "Full", rows("A")) == "NotSupported"

    bench.configure(LocalAuthListEnabled=True)


@section("S 5.15", "S 7.28")
def test_entries_may_carry_expiry_and_parent_and_any_status(bench: ConformanceBench) -> None:
    entries = [
        {"idTag": f"S{n}", "idTagInfo": {"status": status, "parentIdTag": "P", "expiryDate": moment(3600)}}
        for n, status in enumerate(["Accepted", "Blocked", "Expired", "Invalid"])
    ]

    assert send(bench, 6, "Full", entries) == "Accepted"


@section("S 5.15", "S 3.5.2")
def test_the_list_survives_the_death_of_all_processes(bench: ConformanceBench) -> None:
    send(bench, 12, "Full", rows("SURVIVOR"))
    mark = bench.mark()

    bench.station.kill_group()
    bench.station.launch()
    bench.backend.wait_for("StatusNotification", where=lambda sent: sent["connectorId"] == 2, after=mark, timeout=20)

    assert version(bench) == 12
    bench.plug()
    assert known(bench, "SURVIVOR")
