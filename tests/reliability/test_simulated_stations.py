"""Whole stations in virtual time under everything that fails (F1–F7, F10–F15, F17, F18, F25), replayable by seed."""

import random
from collections.abc import Callable

import pytest
from django.core.management import call_command

from station.paths import DataDirectory
from tests.reliability.scenario import Scenario
from tests.reliability.site import Site

SMALL_DOSE = 12


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    first = metafunc.config.getoption("--seed")
    number = metafunc.config.getoption("--seeds") or SMALL_DOSE
    if "life" in metafunc.fixturenames:
        metafunc.parametrize("life", range(first, first + number))


def test_whatever_fails_every_session_is_booked_once_with_its_energy_and_the_station_is_usable_again(
    *,
    life: int,
    request: pytest.FixtureRequest,
    transactional_db: None,
    station_directory: DataDirectory,
    monkeypatch: pytest.MonkeyPatch,
    note: Callable[..., None],
) -> None:
    dice = random.Random(life)
    site = Site(monkeypatch, dice, points=dice.choice((1, 2, 2)), mains_a=dice.choice((20, 32, 40, 63)))

    deadly = bool(request.config.getoption("--deadly"))

    site.run(Scenario(deadly=deadly).play)

    note(
        "simulated station",
        seed=life,
        deadly=deadly,
        complaints=[complaint[:300] for complaint in site.complaints[:10]],
        kills=site.kills,
        transactions=len(site.central.transactions),
        repeats=site.central.repeats,
        virtual_s=round(site.loop.time() - 1000),
    )
    assert not site.complaints, (
        f"--seed {life} --seeds 1\n" + "\n".join(site.complaints[:12]) + "\n--\n" + "\n".join(site.diary[-400:])
    )


def test_a_seed_lives_the_same_life_again(
    *, transactional_db: None, station_directory: DataDirectory, seed: int
) -> None:
    diaries = []
    for _ in range(2):
        with pytest.MonkeyPatch.context() as monkeypatch:
            site = Site(monkeypatch, random.Random(seed), points=2, mains_a=32)
            site.run(Scenario(acts=12).play)
        diaries.append([*site.diary, str(site.loop.time())])
        call_command("flush", interactive=False, verbosity=0)

    assert diaries[0] == diaries[1]
