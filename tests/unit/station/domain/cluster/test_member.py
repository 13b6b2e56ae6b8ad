"""A member: its lease counts from the moment it asked, and without one it falls at once and rises late."""

from dataclasses import replace

import pytest

from station.domain.cluster.member import Member
from station.domain.cluster.messages import Grant, GrantId, PointReport
from station.domain.cluster.timing import LEASE_S, RISE_AFTER_S
from station.domain.limits import LimitSource
from station.domain.units import MilliAmpere

CLUSTER, SILENT = LimitSource.CLUSTER, LimitSource.CLUSTER_SILENT
JITTER_S = 3.0


def member(*, held: int = 0, fallback: int = 6_000, now_s: float = 0.0) -> Member:
    return Member(
        station="S1",
        run="run",
        fallback=MilliAmpere(fallback),
        held={1: MilliAmpere(held)},
        now_s=now_s,
        jitter_s=JITTER_S,
    )


def ask(made: Member, now_s: float) -> int:
    report = made.report(now_s, [PointReport(number=1, active=True, limit=MilliAmpere(32_000), held=MilliAmpere(0))])
    return report.seq


def grant(seq: int, limit: int | None, *, number: int = 1, epoch: str = "A", valid_s: float = LEASE_S) -> Grant:
    limits = None if limit is None else {1: MilliAmpere(limit)}
    return Grant(epoch=epoch, number=number, run="run", seq=seq, valid_s=valid_s, limits=limits)


def test_a_lease_counts_from_the_moment_it_was_asked_for() -> None:
    made = member()
    seq = ask(made, 10.0)

    assert made.take(grant(seq, 16_000), 25.0)

    assert made.limits_of(1, 39.9) == {CLUSTER: 16_000}
    assert made.lease_remaining_s(25.0) == 15.0
    assert made.next_change_s(25.0) == 40.0
    assert made.limits_of(1, 40.0) == {SILENT: 6_000}
    assert not made.is_led(40.0)


def test_a_point_that_is_dimmed_with_the_cluster_names_the_grid_operator_for_as_long_as_the_lease_holds() -> None:
    made = member()

    made.take(replace(grant(ask(made, 0.0), 8_000), dimmed=frozenset({1})), 0.1)
    assert made.limits_of(1, 0.2) == {LimitSource.GRID_OPERATOR: 8_000}
    assert made.limits_of(1, LEASE_S) == {SILENT: 6_000}

    made.take(grant(ask(made, LEASE_S), 8_000, number=2), LEASE_S)
    assert made.limits_of(1, LEASE_S) == {CLUSTER: 8_000}


def test_a_grant_that_comes_when_its_lease_is_over_is_not_taken() -> None:
    made = member()
    seq = ask(made, 10.0)

    assert not made.take(grant(seq, 16_000), 40.0)
    assert made.limits_of(1, 40.0) == {SILENT: 0}


def test_when_the_lease_ends_a_fall_is_at_once_and_a_rise_is_late() -> None:
    for lent, kept in ((0, 0), (6_000, 6_000), (32_000, 6_000)):
        made = member()
        made.take(grant(ask(made, 0.0), lent), 0.1)
        # The rise waits from the start of the member, too: before it, it may have held a lease of nothing.
        rise_s = LEASE_S + RISE_AFTER_S + JITTER_S

        assert made.limits_of(1, LEASE_S) == {SILENT: kept}
        assert made.limits_of(1, rise_s - 0.1) == {SILENT: kept}
        assert made.next_change_s(LEASE_S) == rise_s
        assert made.limits_of(1, rise_s) == {SILENT: 6_000}
        assert made.next_change_s(rise_s) is None


@pytest.mark.parametrize(("held", "kept"), [(0, 0), (6_000, 6_000), (16_000, 6_000)])
def test_after_a_start_a_point_keeps_what_it_has_up_to_the_fallback_and_rises_late(held: int, kept: int) -> None:
    made = member(held=held, now_s=1_000.0)

    assert made.limits_of(1, 1_000.0) == {SILENT: kept}
    assert made.limits_of(1, 1_062.9) == {SILENT: kept}
    assert made.rise_in_s(1_000.0) == 63.0
    assert made.limits_of(1, 1_063.0) == {SILENT: 6_000}


def test_what_is_older_doubled_or_for_another_run_is_not_taken() -> None:
    made = member()
    first, second = ask(made, 0.0), ask(made, 1.0)
    assert made.take(grant(second, 10_000, number=5), 1.1)

    assert not made.take(grant(second, 10_000, number=5), 1.2)
    assert not made.take(grant(first, 32_000, number=6), 1.2)
    assert not made.take(grant(second, 32_000, number=4), 1.2)
    assert not made.take(grant(3, 32_000, number=6), 1.2)
    assert not made.take(
        Grant(epoch="A", number=6, run="other", seq=second, valid_s=30.0, limits={1: MilliAmpere(32_000)}), 1.2
    )
    assert made.limits_of(1, 1.2) == {CLUSTER: 10_000}
    assert made.take(grant(second, 8_000, number=6), 1.3)
    assert made.limits_of(1, 1.3) == {CLUSTER: 8_000}


def test_a_greeting_lends_nothing_and_ends_what_another_leader_has_sent_before() -> None:
    made = member()
    first = ask(made, 0.0)
    made.take(grant(first, 10_000), 0.1)
    second = ask(made, 2.0)

    assert made.take(grant(second, None, epoch="B"), 2.1)
    assert made.is_report_due
    assert made.limits_of(1, 2.2) == {CLUSTER: 10_000}
    assert made.lease_remaining_s(2.2) == pytest.approx(27.8)
    assert not made.take(grant(second, 32_000, number=9), 2.2)

    report = made.report(4.0, [PointReport(number=1, active=True, limit=MilliAmpere(0), held=MilliAmpere(0))])
    assert report.lease_of == GrantId(epoch="B", number=1)
    assert report.points[0].granted == 10_000
    assert made.take(grant(report.seq, 6_000, epoch="B", number=2), 4.1)


def test_a_member_says_when_its_leader_waits_for_the_next_report() -> None:
    made = member()
    made.take(grant(ask(made, 0.0), 10_000), 0.1)
    assert made.is_report_due

    made.take(grant(ask(made, 1.0), 10_000, number=2), 1.1)
    assert not made.is_report_due
    made.take(grant(ask(made, 2.0), 8_000, number=3), 2.1)
    assert made.is_report_due


def test_a_grant_for_other_points_is_not_taken_and_a_lease_is_never_longer_than_agreed() -> None:
    made = member()
    seq = ask(made, 0.0)
    assert not made.take(
        Grant(epoch="A", number=1, run="run", seq=seq, valid_s=30.0, limits={2: MilliAmpere(32_000)}), 0.1
    )

    assert made.take(grant(seq, 32_000, valid_s=9_999.0), 0.1)
    assert made.limits_of(1, LEASE_S) == {SILENT: 6_000}


def test_a_raised_fallback_holds_when_the_leader_has_heard_of_it() -> None:
    made = member()
    made.take(grant(ask(made, 0.0), 0), 0.1)
    made.fallback = MilliAmpere(10_000)

    assert made.limits_of(1, 100.0) == {SILENT: 6_000}
    made.take(grant(ask(made, 100.0), 0, number=2), 100.1)
    assert made.limits_of(1, 200.0) == {SILENT: 10_000}
    made.fallback = MilliAmpere(0)
    assert made.limits_of(1, 200.0) == {SILENT: 0}
