"""Everything is killed right after an answer: what was confirmed must hold."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.bench import MeasuredStation, bench
from benchmarks.calls import local_list, profile
from benchmarks.result import Result, percentile

_ROUNDS = 20
_BAR_S = 10.0
Check = Callable[[int], Awaitable[bool]]
Order = Callable[[int], tuple[str, dict[str, Any]]]


async def measure() -> list[Result]:
    """Order something while a car charges, kill the station at the answer, and see after the next start."""
    async with bench("kill", config={"MeterValueSampleInterval": "1"}) as made:
        kinds: dict[str, tuple[Order, Check]] = {
            "configuration": (_configuration, lambda turn: _has_configuration(made, turn)),
            "local list": (_list, lambda turn: _has_list(made, turn)),
            "profile": (_profile, lambda turn: _has_profile(made, turn)),
            "availability": (_availability, lambda turn: _has_availability(made, turn)),
        }
        kept, closed, took_s, lost = 0, 0, [], []
        for turn in range(_ROUNDS):
            name, (order, check) = list(kinds.items())[turn % len(kinds)]
            took, confirmed, stopped = await _round(made, turn, order, check)
            took_s.append(took)
            kept, closed = kept + confirmed, closed + stopped
            lost += [] if confirmed else [name]
    highest = max(took_s)
    note = f"; lost: {', '.join(lost)}" if lost else ""
    slowest = f"slowest {highest:.1f} s, p50 {percentile(took_s, 0.5):.1f} s after the start"
    return [
        Result(
            subject="SIGKILL right after an Accepted: configuration, list, profile, availability kept",
            bar=f"{_ROUNDS} of {_ROUNDS}, within {_BAR_S:g} s",
            measured=f"{kept} of {_ROUNDS}, {slowest}{note}",
            passed=kept == _ROUNDS and highest <= _BAR_S,
        ),
        Result(
            subject="SIGKILL while charging: transaction closed with the meter's register",
            bar=f"{_ROUNDS} of {_ROUNDS}, within {_BAR_S:g} s",
            measured=f"{closed} of {_ROUNDS}",
            passed=closed == _ROUNDS and highest <= _BAR_S,
        ),
    ]


async def _round(made: MeasuredStation, turn: int, order: Order, check: Check) -> tuple[float, bool, bool]:
    await made.sim("/speed", {"factor": 60})
    started = await made.start_charging()
    await made.backend.wait_for("MeterValues", after=started.number, count=2)
    action, payload = order(turn)
    answer = await made.backend.call(action, payload)
    # In this very thread: nothing of the station runs on for the length of a thread's start.
    made.station.kill_group()
    if answer.get("status") != "Accepted":
        raise AssertionError(f"{action}: {answer}")
    mark = made.backend.mark()
    began_s = time.monotonic()
    await asyncio.to_thread(made.station.launch, ready=False)
    await made.backend.wait_for("BootNotification", after=mark, timeout=20)
    stop = await made.backend.wait_for("StopTransaction", after=mark, timeout=20)
    await made.status("Available", after=mark)
    confirmed = await check(turn)
    took_s = time.monotonic() - began_s
    register = (await made.connector())["energy_wh"]
    transaction = next(one for one in made.backend.books.transactions if one.start_message_id == started.message_id)
    right = (
        abs(stop.payload["meterStop"] - register) <= 1
        and stop.payload["meterStop"] > started.payload["meterStart"]
        and stop.payload["transactionId"] == transaction.transaction_id
    )
    await asyncio.to_thread(made.station.wait_healthy)
    if action == "ChangeAvailability":
        await made.backend.call(action, {"connectorId": 2, "type": "Operative"})
    return took_s, confirmed, right


def _configuration(turn: int) -> tuple[str, dict[str, Any]]:
    return "ChangeConfiguration", {"key": "ClockAlignedDataInterval", "value": str(900 + turn)}


async def _has_configuration(made: MeasuredStation, turn: int) -> bool:
    answer = await made.backend.call("GetConfiguration", {"key": ["ClockAlignedDataInterval"]})
    return bool(answer["configurationKey"][0]["value"] == str(900 + turn))


def _list(turn: int) -> tuple[str, dict[str, Any]]:
    return "SendLocalList", local_list(100 + turn, 500, "Full")


async def _has_list(made: MeasuredStation, turn: int) -> bool:
    return await made.backend.call("GetLocalListVersion") == {"listVersion": 100 + turn}


def _profile(turn: int) -> tuple[str, dict[str, Any]]:
    return "SetChargingProfile", {"connectorId": 2, "csChargingProfiles": profile(7 + turn % 9)}


async def _has_profile(made: MeasuredStation, turn: int) -> bool:
    answer = await made.backend.call("GetCompositeSchedule", {"connectorId": 2, "duration": 60})
    periods = answer.get("chargingSchedule", {}).get("chargingSchedulePeriod", [])
    return bool(periods and periods[0]["limit"] == 7 + turn % 9)


def _availability(_turn: int) -> tuple[str, dict[str, Any]]:
    return "ChangeAvailability", {"connectorId": 2, "type": "Inoperative"}


async def _has_availability(made: MeasuredStation, _turn: int) -> bool:
    mark = made.backend.mark()
    payload = {"requestedMessage": "StatusNotification", "connectorId": 2}
    await made.backend.call("TriggerMessage", payload)
    told = await made.backend.wait_for("StatusNotification", where=lambda sent: sent["connectorId"] == 2, after=mark)
    return bool(told.payload["status"] == "Unavailable")
