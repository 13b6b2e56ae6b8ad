"""How fast the station answers what the backend asks and orders."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from benchmarks.bench import MeasuredStation, bench
from benchmarks.result import Result, latency

_RUNS = 100
_FEW = 10


def profile(limit_a: float, *, number: int = 1, purpose: str = "TxDefaultProfile", level: int = 0) -> dict[str, Any]:
    """Make a charging profile that holds from now on."""
    return {
        "chargingProfileId": number,
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute",
        "chargingSchedule": {
            "chargingRateUnit": "A",
            "startSchedule": datetime(2020, 1, 1, tzinfo=UTC).isoformat(),
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit_a}],
        },
    }


async def _repeat(times: int, act: Callable[[int], Awaitable[None]]) -> list[float]:
    # The first call loads what later ones find ready.
    await act(0)
    took_s = []
    for turn in range(1, times + 1):
        began_s = time.monotonic()
        await act(turn)
        took_s.append(time.monotonic() - began_s)
    return took_s


async def _expect(made: MeasuredStation, action: str, payload: dict[str, Any], status: str = "Accepted") -> None:
    answer = await made.backend.call(action, payload)
    if answer.get("status") != status:
        raise AssertionError(f"{action}: {answer}")


async def _trigger(made: MeasuredStation) -> list[float]:
    took_s = []
    for _ in range(_RUNS):
        mark = made.backend.mark()
        began_s = time.monotonic()
        await _expect(made, "TriggerMessage", {"requestedMessage": "Heartbeat"})
        took_s.append((await made.backend.wait_for("Heartbeat", after=mark)).at_s - began_s)
    return took_s


async def measure() -> list[Result]:
    """Ask an idle station."""
    async with bench("calls") as made:

        async def change(turn: int) -> None:
            payload = {"key": "MeterValueSampleInterval", "value": str(30 + turn)}
            await _expect(made, "ChangeConfiguration", payload)

        async def ask(_turn: int) -> None:
            await made.backend.call("GetConfiguration")

        async def limit(turn: int) -> None:
            payload = {"connectorId": 1, "csChargingProfiles": profile(10 + turn % 20)}
            await _expect(made, "SetChargingProfile", payload)

        async def whole(turn: int) -> None:
            await _expect(made, "SendLocalList", local_list(turn + 1, 1000, "Full"))

        async def part(turn: int) -> None:
            await _expect(made, "SendLocalList", local_list(100 + turn, 10, "Differential"))

        return [
            latency("ChangeConfiguration", await _repeat(_RUNS, change), bar_ms=10),
            latency("GetConfiguration, all keys", await _repeat(_RUNS, ask), bar_ms=10),
            latency("SetChargingProfile", await _repeat(_RUNS, limit), bar_ms=10),
            latency("TriggerMessage → the message", await _trigger(made), bar_ms=10),
            latency("SendLocalList Full, 1000 cards", await _repeat(_FEW, whole), bar_ms=150),
            latency("SendLocalList Differential, 10 cards", await _repeat(50, part), bar_ms=10),
        ]


def local_list(version: int, length: int, kind: str) -> dict[str, Any]:
    cards = [{"idTag": f"CARD{number:06}", "idTagInfo": {"status": "Accepted"}} for number in range(length)]
    return {"listVersion": version, "updateType": kind, "localAuthorizationList": cards}
