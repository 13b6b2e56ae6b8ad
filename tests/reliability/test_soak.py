"""A station that charges all day stays as it is: memory, open files and database do not grow with its age (F21)."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection

from station.paths import DataDirectory
from tests.fakes import Car
from tests.reliability import world
from tests.reliability.site import CARDS, Site

SMALL_DOSE_H = 0.1
SESSION_S, PAUSE_S = 25.0, 5.0
# After the first tenth: caches are warm and code has run once.
WARM_SHARE = 0.1
GROWTH_MIB = 30.0


def test_a_station_that_charges_without_a_pause_does_not_grow(
    *,
    transactional_db: None,
    station_directory: DataDirectory,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    seed: int,
    note: Callable[..., None],
) -> None:
    hours = request.config.getoption("--soak") or SMALL_DOSE_H
    site = Site(monkeypatch, random.Random(seed), points=2, mains_a=63)
    seen: list[dict[str, float]] = []
    sessions = 0

    async def charge_on_and_on(site: Site) -> None:
        nonlocal sessions
        assert await site.until(lambda: site.hardware.ready and site.central.connected, 60)
        end_s = site.loop.time() + hours * 3600
        while site.loop.time() < end_s:
            for number, outlet in site.hall.outlets.items():
                outlet.plug(Car())
                await asyncio.sleep(1.5)
                site.hall.reader.tap(CARDS[number])
                assert await site.until(lambda outlet=outlet: outlet.current > 0, 30), f"no energy at {number}"
                sessions += 1
            await asyncio.sleep(SESSION_S)
            for outlet in site.hall.outlets.values():
                outlet.unplug()
                outlet.history.clear()
            await asyncio.sleep(PAUSE_S)
            site.central.forget()
            seen.append(_size())

    site.run(charge_on_and_on)

    warm = seen[int(len(seen) * WARM_SHARE)]
    growth = {name: seen[-1][name] - warm[name] for name in warm}
    note(
        "soak",
        seed=seed,
        hours=hours,
        sessions=sessions,
        complaints=site.complaints[:10],
        growth=growth,
        first=warm,
        last=seen[-1],
    )
    assert not site.complaints, f"--seed {seed}\n" + "\n".join(site.complaints[:12])
    assert growth["rss_mib"] < GROWTH_MIB
    assert growth["files"] <= 1


def _size() -> dict[str, float]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
        database = cursor.fetchone()[0]
    return {
        "rss_mib": round(world.rss_mib(), 1),
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "database_mib": round(database / 2**20, 2),
        "tasks": len(asyncio.all_tasks()),
        "threads": len(list(Path("/proc/self/task").iterdir())),
    }
