"""The messages of the cluster: what comes from the network is bounded and typed, or it is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.domain.cluster.messages import (
    LARGEST_MESSAGE,
    Grant,
    GrantId,
    MessageIsMalformed,
    PointReport,
    Report,
)
from station.domain.units import MilliAmpere

CURRENTS = st.integers(0, 1_000_000).map(MilliAmpere)
IDS = st.text("abcdefXYZ019_-", min_size=1, max_size=32)
SECONDS = st.integers(0, 10_000_000_000).map(lambda thousandths: thousandths / 1_000)
POINTS = st.builds(
    PointReport,
    number=st.just(1),
    active=st.booleans(),
    limit=CURRENTS,
    held=CURRENTS,
    flowing=CURRENTS,
    phases=st.sampled_from([frozenset({1}), frozenset({2, 3}), frozenset({1, 2, 3})]),
    waiting_s=SECONDS,
    granted=CURRENTS,
)
REPORTS = st.builds(
    Report,
    station=st.text("ABC-.:/#123", min_size=1, max_size=64),
    run=IDS,
    seq=st.integers(1, 2**53),
    fallback=CURRENTS,
    points=POINTS.map(lambda point: (point,)),
    lease_of=st.none() | st.builds(GrantId, epoch=IDS, number=st.integers(1, 2**53)),
    rise_in_s=st.none() | SECONDS,
)
GRANTS = st.builds(
    Grant,
    epoch=IDS,
    number=st.integers(1, 2**53),
    run=IDS,
    seq=st.integers(1, 2**53),
    valid_s=SECONDS,
    limits=st.none() | st.dictionaries(st.sampled_from([1, 2]), CURRENTS, min_size=1, max_size=2),
    waiting=st.frozensets(st.sampled_from([1, 2])),
    dimmed=st.frozensets(st.sampled_from([1, 2])),
)
REPORT = Report(
    station="S1",
    run="r",
    seq=1,
    fallback=MilliAmpere(6_000),
    points=(PointReport(number=1, active=True, limit=MilliAmpere(16_000), held=MilliAmpere(0)),),
    lease_of=GrantId(epoch="e", number=3),
)
GRANT = Grant(epoch="e", number=1, run="r", seq=1, valid_s=30.0, limits={1: MilliAmpere(16_000)})
# What a field must never be, whichever it is.
STRANGE = [[], {}, "", "x" * 100, -1, 10**30, 1.5, float("nan"), float("inf"), True, [[1]], {"1": "1"}]


@given(REPORTS)
def test_a_report_arrives_as_it_was_sent(report: Report) -> None:
    raw = report.encode()

    assert Report.decode(raw) == report
    assert len(raw) <= LARGEST_MESSAGE


@given(GRANTS)
def test_a_grant_arrives_as_it_was_sent(grant: Grant) -> None:
    assert Grant.decode(grant.encode()) == grant


def test_a_grant_of_a_leader_that_does_not_know_the_field_dims_nobody() -> None:
    fields = json.loads(GRANT.encode())
    del fields["dimmed"]

    assert Grant.decode(json.dumps(fields).encode()) == GRANT


@given(st.binary(max_size=300) | st.sampled_from([json.dumps(each).encode() for each in STRANGE]))
def test_garbage_is_refused_and_nothing_else_happens(raw: bytes) -> None:
    for kind in (Report, Grant):
        with pytest.raises(MessageIsMalformed):
            kind.decode(raw)


@pytest.mark.parametrize("raw", [b"[" * 2_000, b"9" * 2_000, b'{"a":' * 300, b"{}" + b" " * LARGEST_MESSAGE, b"\xff"])
def test_depth_and_length_are_bounded(raw: bytes) -> None:
    with pytest.raises(MessageIsMalformed):
        Report.decode(raw)


@pytest.mark.parametrize("message", [REPORT, GRANT])
def test_every_field_has_a_type_and_bounds(message: Report | Grant) -> None:
    fields = json.loads(message.encode())
    for name in fields:
        for strange in STRANGE:
            if (name, strange) in [("waiting", []), ("dimmed", []), ("valid_s", 1.5), ("rise_in_s", 1.5)]:
                continue
            with pytest.raises(MessageIsMalformed):
                type(message).decode(json.dumps(fields | {name: strange}).encode())


def test_every_field_of_a_point_has_a_type_and_bounds() -> None:
    fields = json.loads(REPORT.encode())
    (point,) = fields["points"]
    for name in point:
        for strange in STRANGE:
            if (name, strange) in [("waiting_s", 1.5), ("active", True)]:
                continue
            with pytest.raises(MessageIsMalformed):
                Report.decode(json.dumps(fields | {"points": [point | {name: strange}]}).encode())


def test_two_points_at_most_and_each_once() -> None:
    fields = json.loads(REPORT.encode())
    for points in ([], fields["points"] * 2, [fields["points"][0] | {"number": number} for number in (1, 2, 3)]):
        with pytest.raises(MessageIsMalformed):
            Report.decode(json.dumps(fields | {"points": points}).encode())


def test_what_a_meter_or_a_year_of_waiting_gives_still_makes_a_message() -> None:
    point = PointReport(
        number=1, active=True, limit=MilliAmpere(10**9), held=MilliAmpere(0), flowing=MilliAmpere(-5), waiting_s=1e12
    )

    (read,) = Report.decode(
        Report(station="S1", run="r", seq=1, fallback=MilliAmpere(0), points=(point,)).encode()
    ).points

    assert (read.limit, read.flowing, read.waiting_s) == (1_000_000, 0, 10_000_000.0)
