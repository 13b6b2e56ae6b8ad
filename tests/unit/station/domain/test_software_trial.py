"""New software is kept when it does what the software before it did."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.domain.software_trial import Expected, Health, Lack, is_older, lack

WELL = Health(is_ready=True, page_answers=True, backend_accepts=True)
health = st.builds(Health, is_ready=st.booleans(), page_answers=st.booleans(), backend_accepts=st.booleans())
expected = st.builds(Expected, readiness=st.booleans(), backend=st.booleans())


@given(expected)
def test_software_that_does_everything_is_kept_whatever_was_before(before: Expected):
    assert lack(takes_commands=True, health=WELL, expected=before) is None


@given(health)
def test_software_that_does_what_it_did_before_is_kept_once_its_page_answers(before: Health):
    now = Health(is_ready=before.is_ready, page_answers=True, backend_accepts=before.backend_accepts)

    assert lack(takes_commands=True, health=now, expected=Expected.of(before)) is None


@given(health, expected)
def test_without_control_or_page_nothing_is_kept(now: Health, before: Expected):
    assert lack(takes_commands=False, health=now, expected=before) == Lack.CONTROL
    if not now.page_answers:
        assert lack(takes_commands=True, health=now, expected=before) is not None


@given(health, health, expected)
def test_more_health_never_ends_a_trial_worse(now: Health, better: Health, before: Expected):
    both = Health(
        is_ready=now.is_ready or better.is_ready,
        page_answers=now.page_answers or better.page_answers,
        backend_accepts=now.backend_accepts or better.backend_accepts,
    )

    if lack(takes_commands=True, health=now, expected=before) is None:
        assert lack(takes_commands=True, health=both, expected=before) is None


def test_a_backend_counts_only_where_it_had_accepted_the_station_before():
    away = Health(is_ready=True, page_answers=True, backend_accepts=False)

    assert lack(takes_commands=True, health=away, expected=Expected(readiness=True, backend=True)) == Lack.BACKEND
    assert lack(takes_commands=True, health=away, expected=Expected(readiness=True, backend=False)) is None


def test_every_lack_can_be_found():
    found = {
        lack(
            takes_commands=takes,
            health=Health(is_ready=ready, page_answers=page, backend_accepts=backend),
            expected=Expected(readiness=True, backend=True),
        )
        for takes, ready, page, backend in product((True, False), repeat=4)
    }

    assert found == {None, *Lack}


@pytest.mark.parametrize(
    ("version", "running", "older"),
    [
        ("1.0.0", "1.0.1", True),
        ("1.1.0-rc.1", "1.1.0", True),
        ("1.1.0+5", "1.1.0", False),
        ("2.0.0", "1.9.9", False),
        ("12 (bookworm)", "1.0.0", False),
    ],
)
def test_an_older_version_is_seen_where_versions_can_be_compared(version: str, running: str, *, older: bool):
    assert is_older(version, running) is older
