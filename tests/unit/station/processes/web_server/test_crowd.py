"""Who has to go when there are too many connections."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from station.processes.web_server.crowd import Crowd


@dataclass
class Caller:
    waiting: bool = True
    asked: bool = False
    dropped: bool = False

    def is_waiting(self) -> bool:
        return self.waiting

    def has_asked(self) -> bool:
        return self.asked

    def drop(self) -> None:
        self.dropped = True


def enter(crowd: Crowd, caller: Caller, address: str = "192.0.2.1") -> bool:
    return crowd.enter(id(caller), caller, address=address)


def test_the_oldest_connection_that_never_asked_goes_first() -> None:
    crowd = Crowd(most=10, most_per_address=3)
    asked, first, second, newest = Caller(asked=True), Caller(), Caller(), Caller()

    assert all(enter(crowd, caller) for caller in (asked, first, second, newest))

    assert [caller.dropped for caller in (asked, first, second, newest)] == [False, True, False, False]
    assert len(crowd) == 3


def test_nobody_is_interrupted_while_being_answered() -> None:
    crowd = Crowd(most=10, most_per_address=2)
    busy = [Caller(waiting=False), Caller(waiting=False)]
    for caller in busy:
        enter(crowd, caller)

    assert not enter(crowd, Caller())
    assert not any(caller.dropped for caller in busy)
    assert enter(crowd, Caller(), "192.0.2.2")


def test_whoever_holds_most_makes_room_for_somebody_else() -> None:
    crowd = Crowd(most=6, most_per_address=5)
    one = Caller()
    enter(crowd, one, "192.0.2.7")
    many = [Caller() for _ in range(5)]
    for caller in many:
        enter(crowd, caller, "192.0.2.8")

    assert enter(crowd, Caller(), "192.0.2.9")

    assert (one.dropped, many[0].dropped) == (False, True)


def test_a_network_of_ipv6_counts_as_one_and_a_mapped_address_as_itself() -> None:
    crowd = Crowd(most=10, most_per_address=1)
    first, other, mapped, plain = Caller(), Caller(), Caller(), Caller()
    enter(crowd, first, "2001:db8::1")
    enter(crowd, other, "2001:db8::ffff:1")
    enter(crowd, mapped, "::ffff:192.0.2.1")
    enter(crowd, plain, "192.0.2.1")

    assert [caller.dropped for caller in (first, other, mapped, plain)] == [True, False, True, False]


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans()), max_size=60))
def test_there_are_never_more_than_allowed_and_a_waiting_newcomer_finds_room(
    callers: list[tuple[int, bool, bool]],
) -> None:
    crowd = Crowd(most=8, most_per_address=4)
    inside: list[Caller] = []

    for number, waiting, asked in callers:
        caller = Caller(waiting=waiting, asked=asked)
        room = any(one.waiting for one in inside) or len(inside) < 4
        entered = enter(crowd, caller, f"192.0.2.{number}")
        inside = [one for one in [*inside, *([caller] if entered else [])] if not one.dropped]
        assert len(crowd) == len(inside) <= 8
        if not entered:
            assert not room or sum(one.waiting for one in inside) < len(inside)
