"""Patterns for the numbers of LEGIC cards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.domain.id_tags import MAX_ID_TAG_LENGTH
from station.domain.legic import (
    LegicTechnology,
    NumberUnfit,
    PatternMalformed,
    check_pattern,
    id_tag_of,
    technology_of,
)


@pytest.mark.parametrize(
    ("pattern", "id_tag"),
    [
        ("", "e0a1b2c3d4e5f607"),
        ("{uid}", "e0a1b2c3d4e5f607"),
        ("{uid:r}", "07f6e5d4c3b2a1e0"),
        ("{uid:2-4}", "a1b2c3"),
        ("{uid:4-2}", "c3b2a1"),
        ("{uid:8-8}", "07"),
        ("L-{uid:1-2}", "L-e0a1"),
        ("{uid:7-8}.{uid:1-2}", "f607.e0a1"),
    ],
)
def test_a_pattern_takes_bytes_of_the_number(pattern: str, id_tag: str) -> None:
    check_pattern(pattern)

    assert id_tag_of(pattern, "e0a1b2c3d4e5f607") == id_tag


@pytest.mark.parametrize(
    "pattern",
    ["card", "{id}", "{uid", "{uid:0-2}", "{uid:2}", "{seg(id=1,0,4)}", "a b{uid}", "ä{uid}", "x" * 19 + "{uid}"],
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(PatternMalformed):
        check_pattern(pattern)


@pytest.mark.parametrize(("pattern", "uid"), [("{uid:2-8}", "04a1b2c3"), ("CUSTOMER-NO-{uid}", "04a1b2c3d4e5f6")])
def test_a_number_that_does_not_fit_is_refused_and_not_cut(pattern: str, uid: str) -> None:
    with pytest.raises(NumberUnfit):
        id_tag_of(pattern, uid)


@given(pattern=st.text(alphabet="{}uid:r-0123456789aß ", max_size=24), number=st.binary(min_size=4, max_size=8))
def test_whatever_is_accepted_makes_an_id_tag_or_refuses_the_card(pattern: str, number: bytes) -> None:
    try:
        check_pattern(pattern)
        id_tag = id_tag_of(pattern, number.hex())
    except (PatternMalformed, NumberUnfit):
        return
    assert 0 < len(id_tag) <= MAX_ID_TAG_LENGTH
    assert id_tag.isascii()


def test_the_length_of_the_number_tells_the_kind_of_card() -> None:
    assert technology_of(bytes(4)) is LegicTechnology.PRIME
    assert technology_of(bytes(7)) is technology_of(bytes(8)) is LegicTechnology.ADVANT
