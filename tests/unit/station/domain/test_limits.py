"""One limit per charging point: DESIGN section 3, IEC 61851-1 table A.7."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.domain.limits import EffectiveLimit, LimitSource, NoLimit, effective
from station.domain.units import MilliAmpere

LIMITS = st.dictionaries(
    st.sampled_from(LimitSource), st.integers(-1000, 80_000).map(MilliAmpere), min_size=1, max_size=8
)


def test_the_least_limit_wins_and_says_who_set_it() -> None:
    limits = {
        LimitSource.RATING: MilliAmpere(32_000),
        LimitSource.CHARGING_PROFILE: MilliAmpere(16_000),
        LimitSource.CABLE: MilliAmpere(20_000),
    }

    assert effective(limits) == EffectiveLimit(limit=MilliAmpere(16_000), source=LimitSource.CHARGING_PROFILE)


@pytest.mark.parametrize(
    ("limit", "signalled"),
    [(6_000, 6_000), (5_999, 0), (0, 0), (-1, 0), (6_099, 6_000), (15_949, 15_900), (63_000, 63_000)],
)
def test_iec_61851_under_6_ampere_only_a_pause_can_be_signalled(limit: int, signalled: int) -> None:
    found = effective({LimitSource.ENERGY_MANAGER: MilliAmpere(limit)})

    assert found.limit == signalled


def test_of_equal_limits_the_one_a_person_can_change_least_is_named() -> None:
    equal = dict.fromkeys(reversed(LimitSource), MilliAmpere(16_000))

    assert effective(equal).source is LimitSource.FAULT
    del equal[LimitSource.FAULT]
    assert effective(equal).source is LimitSource.CABLE


def test_a_point_without_any_limit_is_refused() -> None:
    with pytest.raises(NoLimit):
        effective({})


@given(LIMITS, st.randoms())
def test_the_result_does_not_depend_on_the_order_of_the_sources(
    limits: dict[LimitSource, MilliAmpere], random: object
) -> None:
    items = list(limits.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    found = effective(dict(items))

    assert found == effective(limits)
    assert found.limit <= max(0, min(limits.values()))
    assert found.limit == 0 or found.limit >= 6_000
    assert limits[found.source] == min(limits.values())
