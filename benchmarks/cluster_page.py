"""How long the page Load management takes on the server of a master that leads a hundred stations, over real links."""

import asyncio
import secrets
from contextlib import suppress

from benchmarks.bench import MeasuredStation, bench, is_free
from benchmarks.pages import asked, inside
from benchmarks.result import Result, latency
from loadmgmt.cluster import keys
from loadmgmt.cluster.address import Target
from loadmgmt.cluster.failures import LinkFailed
from loadmgmt.cluster.member_link import MemberLink
from loadmgmt.cluster.registration import MAX_STATIONS, Station
from station import clock
from station.domain.cluster.member import Member
from station.domain.cluster.messages import Grant, PointReport
from station.domain.cluster.timing import EXCHANGE_S
from station.domain.power_history import MOST_SAMPLES
from station.domain.units import PAUSE, MilliAmpere

_FIRST_PORT = 21_900
_JOIN_AT_ONCE = 10
_JOINED_WITHIN_S = 180.0
_RATING = MilliAmpere(32_000)
_PAGES = {
    "page Load management": "/communication/load-management",
    "its stations, every 2 s": "/communication/load-management/cluster",
    "its curves of an hour, every 10 s": "/communication/load-management/plots",
}


class Slave:
    """A station with two charging points of which one charges; its reports are real, its boards are not."""

    def __init__(self, number: int, target: Target, code: str) -> None:
        self.who = Station(
            station=f"{200_000_000 + number}",
            name=f"TE{200_000_000 + number}",
            points=(1, 2),
            rating=_RATING,
            fallback=PAUSE,
        )
        self.link = MemberLink(target, code, self.who, keys.new_password())
        self._member = Member(
            station=self.who.station,
            run=secrets.token_urlsafe(8),
            fallback=PAUSE,
            held={1: PAUSE, 2: PAUSE},
            now_s=clock.monotonic_s(),
            jitter_s=0.0,
        )
        self._granted = PAUSE

    async def take_part(self) -> None:
        """Report every two seconds for ever, and draw what is lent."""
        while True:
            with suppress(LinkFailed):
                await self._exchange()
            await asyncio.sleep(EXCHANGE_S)

    async def _exchange(self) -> None:
        now_s = clock.monotonic_s()
        charging = PointReport(number=1, active=True, limit=_RATING, held=self._granted, flowing=self._granted)
        idle = PointReport(number=2, active=False, limit=_RATING, held=PAUSE)
        raw = await self.link.exchange(self._member.report(now_s, (charging, idle)).encode())
        if raw is not None:
            grant = Grant.decode(raw)
            if self._member.take(grant, clock.monotonic_s()) and grant.limits is not None:
                self._granted = grant.limits.get(1, PAUSE)


async def measure() -> list[Result]:
    """Let ninety-nine slaves join a master, and ask for its page."""
    port = next(port for port in range(_FIRST_PORT, _FIRST_PORT + 100) if is_free(port))
    code = secrets.token_hex(16)
    config = {
        "/cluster/enabled": "true",
        "/cluster/role": "master",
        "/cluster/limitA": "1000",
        "/cluster/fallbackA": "0",
        "/cluster/key": code,
        "/cluster/address": f"127.0.0.1:{port}",
    }
    async with bench("cluster-page", config=config) as made, asyncio.TaskGroup() as group:
        slaves = [Slave(number, Target("127.0.0.1", port), code) for number in range(1, MAX_STATIONS)]
        turn = asyncio.Semaphore(_JOIN_AT_ONCE)
        async with asyncio.timeout(_JOINED_WITHIN_S):
            await asyncio.gather(*(_join(slave, turn) for slave in slaves))
        tasks = [group.create_task(slave.take_part()) for slave in slaves]
        # Everybody has been heard a few times.
        await asyncio.sleep(5 * EXCHANGE_S)
        results = await _ask(made)
        for task in tasks:
            task.cancel()
    return results


async def _join(slave: Slave, turn: asyncio.Semaphore) -> None:
    async with turn:
        while True:
            with suppress(LinkFailed):
                await slave.link.connect()
                return
            await asyncio.sleep(EXCHANGE_S)


async def _ask(made: MeasuredStation) -> list[Result]:
    cookie, *_lists = (await inside(made, "sign-in")).split()
    await inside(made, "hour", str(MOST_SAMPLES))
    results = []
    for name, path in _PAGES.items():
        took_s = await asyncio.to_thread(asked, made, path, cookie)
        results.append(latency(f"{name}, {MAX_STATIONS} stations", took_s, bar_ms=100))
    return results
