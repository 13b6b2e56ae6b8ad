"""From a remote start or a card to a charging car, and from a new limit to the controller."""

import asyncio
import time

from pymodbus.client import AsyncModbusTcpClient

from benchmarks.bench import TAG, MeasuredStation, bench, is_free
from benchmarks.calls import profile
from benchmarks.result import Result, latency

_RUNS = 20
_LIMITS = 25


async def measure() -> list[Result]:
    """Charge again and again at one point, over the real serial protocols."""
    async with bench("charging") as made:
        # The first session after a start loads what all later ones find ready.
        await made.start_charging()
        await made.leave()
        remote = await _remote_starts(made)
        swipes = await _swipes(made)
        limits = await _limits(made)
        set_points = await _set_points(made)
    return [*remote, swipes, *limits, set_points]


async def _remote_starts(made: MeasuredStation) -> list[Result]:
    accepted, started, closed, told = [], [], [], []
    for _ in range(_RUNS):
        mark = made.backend.mark()
        await made.sim("/connectors/1/plug", {"max_current_a": 32})
        await made.status("Preparing", after=mark)
        await made.until(lambda state: state["cp_state"] == "B")
        mark = made.backend.mark()
        began_s = time.monotonic()
        answer = await made.backend.call("RemoteStartTransaction", {"connectorId": 1, "idTag": TAG})
        accepted.append(time.monotonic() - began_s)
        if answer != {"status": "Accepted"}:
            raise AssertionError(answer)
        closed.append(await made.until(lambda state: state["contactor"]) - began_s)
        started.append((await made.backend.wait_for("StartTransaction", after=mark)).at_s - began_s)
        told.append((await made.status("Charging", after=mark)).at_s - began_s)
        await made.leave()
    return [
        latency("RemoteStart → Accepted", accepted, bar_ms=20),
        latency("RemoteStart → StartTransaction", started, bar_ms=60),
        latency("RemoteStart → contactor closed", closed, bar_ms=300),
        latency("RemoteStart → Charging", told, bar_ms=300),
    ]


async def _swipes(made: MeasuredStation) -> Result:
    took_s = []
    for turn in range(_RUNS):
        mark = made.backend.mark()
        await made.sim("/connectors/1/plug", {"max_current_a": 32})
        await made.status("Preparing", after=mark)
        mark = made.backend.mark()
        began_s = time.monotonic()
        # Every time another card: an unknown one has to be asked about at the backend.
        await made.sim("/reader/swipe", {"uid": f"04A2B3{turn:02X}"})
        took_s.append((await made.backend.wait_for("StartTransaction", after=mark)).at_s - began_s)
        await made.status("Charging", after=mark)
        await made.leave()
    return latency("card swiped → StartTransaction", took_s, bar_ms=180)


async def _limits(made: MeasuredStation) -> list[Result]:
    await made.start_charging()
    by_profile, by_key = [], []
    for turn in range(_LIMITS):
        wanted = 10 + turn % 15
        began_s = time.monotonic()
        payload = {"connectorId": 1, "csChargingProfiles": profile(wanted)}
        await made.backend.call("SetChargingProfile", payload)
        by_profile.append(await made.until(lambda state, a=wanted: abs(state["offered_a"] - a) < 0.5) - began_s)
    await made.backend.call("ClearChargingProfile", {})
    await made.until(lambda state: state["offered_a"] > 30)
    for turn in range(_LIMITS):
        wanted = 10 + turn % 15
        began_s = time.monotonic()
        payload = {"key": "/power/station/mainsMaxCurrent", "value": str(wanted * 1000)}
        answer = await made.backend.call("ChangeConfiguration", payload)
        if answer.get("status") != "Accepted":
            raise AssertionError(answer)
        by_key.append(await made.until(lambda state, a=wanted: abs(state["offered_a"] - a) < 0.5) - began_s)
    # What follows is not to be limited by the mains.
    await made.backend.call("ChangeConfiguration", {"key": "/power/station/mainsMaxCurrent", "value": "32000"})
    await made.until(lambda state: state["offered_a"] > 30)
    await made.leave()
    return [
        latency("charging profile → current at the controller", by_profile, bar_ms=250),
        latency("mains limit (configuration key) → current at the controller", by_key, bar_ms=250),
    ]


async def _set_points(made: MeasuredStation) -> Result:
    port = next(port for port in range(15_000, 20_000, 2) if all(map(is_free, (port, port + 1))))
    made.station.config_set({"/modbus/port": str(port), "/modbus/enabled": "true"})
    client = AsyncModbusTcpClient("127.0.0.1", port=port)
    while not await client.connect():
        await asyncio.sleep(0.1)
    await client.write_registers(1000, [32], device_id=255)
    await made.start_charging()
    took_s = []
    for turn in range(_LIMITS):
        wanted = 10 + turn % 15
        began_s = time.monotonic()
        answer = await client.write_registers(1000, [wanted], device_id=255)
        if answer.isError():
            raise AssertionError(answer)
        took_s.append(await made.until(lambda state, a=wanted: abs(state["offered_a"] - a) < 0.5) - began_s)
    client.close()
    await made.leave()
    return latency("energy manager's set-point (Modbus) → current at the controller", took_s, bar_ms=250)
