"""Time zone, time service and clock over timedated; what the time service hears over timesyncd, where that is the one.

The station's user is no person at a terminal: nothing is asked interactively, a polkit rule says what it may.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from station import clock
from station.host.dbus.bus import Bus, CallIsRefused, ServiceRefused, run
from station.host.ports import TimeStatus

_SERVICE, _PATH = "org.freedesktop.timedate1", "/org/freedesktop/timedate1"
_SYNC, _SYNC_PATH = "org.freedesktop.timesync1", "/org/freedesktop/timesync1"
_LISTS = ("LinkNTPServers", "SystemNTPServers", "RuntimeNTPServers", "FallbackNTPServers")
# NTPMessage: when the last answer came in, and how many there were.
_DESTINATION, _PACKETS = 11, 13
_STILL_ON = "AutomaticTimeSyncEnabled"
# A time service ends within moments; timedated refuses to set the clock until then.
_ENDS_STEP_S, _ENDS_STEPS = 0.1, 50
_NOT_INTERACTIVE = False


@dataclass(frozen=True)
class Timedate:
    """The time of a real station."""

    can_be_set: bool = True

    def examine(self) -> TimeStatus:
        return run(_examine)

    def set_zone(self, name: str) -> None:
        run(lambda bus: _call(bus, "SetTimezone", "sb", name, _NOT_INTERACTIVE))

    def use_ntp(self, *, on: bool) -> None:
        run(lambda bus: _use_ntp(bus, on=on))

    def set_time(self, at: datetime) -> None:
        begun_s = clock.monotonic_s()

        async def task(bus: Bus) -> None:
            was_on = bool(await bus.get(_SERVICE, _PATH, f"{_SERVICE}.NTP"))
            if was_on:
                await _use_ntp(bus, on=False)
            try:
                await _set_time(bus, at, begun_s)
            finally:
                if was_on:
                    await _use_ntp(bus, on=True)

        run(task)


async def _examine(bus: Bus) -> TimeStatus:
    said = await bus.properties(_SERVICE, _PATH, _SERVICE)
    status = {"zone": str(said["Timezone"]), "ntp_on": bool(said["NTP"])}
    is_synchronised = status["ntp_on"] and bool(said["NTPSynchronized"])
    heard: dict[str, Any] = {}
    # Another time service (chrony) has no such interface; timesyncd is not started by asking.
    with suppress(ServiceRefused):
        if await bus.is_there(_SYNC):
            heard = await bus.properties(_SYNC, _SYNC_PATH, f"{_SYNC}.Manager")
    servers = dict.fromkeys(str(server) for name in _LISTS for server in heard.get(name, ()))
    return TimeStatus(
        zone=str(said["Timezone"]),
        ntp_on=bool(said["NTP"]),
        is_synchronised=bool(is_synchronised),
        server=str(heard.get("ServerName", "")),
        servers=tuple(servers),
        heard_at=_heard_at(heard.get("NTPMessage")),
    )


def _heard_at(message: Any) -> datetime | None:
    if not isinstance(message, list | tuple) or len(message) <= _PACKETS or not message[_PACKETS]:
        return None
    return datetime.fromtimestamp(int(message[_DESTINATION]) / 1_000_000, UTC)


async def _use_ntp(bus: Bus, *, on: bool) -> None:
    await _call(bus, "SetNTP", "bb", on, _NOT_INTERACTIVE)


async def _set_time(bus: Bus, at: datetime, begun_s: float) -> None:
    for step in range(_ENDS_STEPS):
        now = at + timedelta(seconds=clock.monotonic_s() - begun_s)
        try:
            # Microseconds since 1970; not relative to the present.
            await _call(bus, "SetTime", "xbb", round(now.timestamp() * 1_000_000), False, _NOT_INTERACTIVE)
        except CallIsRefused as refusal:
            if not refusal.name.endswith(_STILL_ON) or step == _ENDS_STEPS - 1:
                raise
            await asyncio.sleep(_ENDS_STEP_S)
        else:
            return


async def _call(bus: Bus, method: str, signature: str, *arguments: object) -> None:
    await bus.call(_SERVICE, _PATH, f"{_SERVICE}.{method}", signature, arguments)
