"""Telling the backend that the grid operator limits the station, and that it does no more (§ 14a EnWG).

OCPP 1.6 has no message for it. Two are used: StatusNotification of connector 0 carries it in `info`, without a fault,
and DataTransfer brings every begin and end with its moments, also those of the time without a connection. Its data are
what OCPP 2.0.1 sends as NotifyChargingLimit and ClearedChargingLimit. A backend that knows none of it answers with
UnknownVendorId, which is an answer; transactions do not wait for these messages.
"""

import asyncio
import json
from typing import Any

from ocpp.exceptions import NotImplementedError, NotSupportedError  # noqa: A004 – the package's name
from ocpp.v16 import call

from ocpp_client.database import in_database
from ocpp_client.rpc.calls import AnswerMalformed, CallErrorReceived, Calls, NotConnected, NotDelivered
from station import clock
from station.concurrency import wait_or_timeout
from station.domain.moments import EARLIEST_STAMP, to_wire
from station.models import DimmingIntervention
from station.services import configuration, dimming

BEGAN, ENDED = "NotifyChargingLimit", "ClearedChargingLimit"
# OCPP 2.0.1, ChargingLimitSourceEnumType: the system operator, that of the grid.
_SOURCE = "SO"
_NOT_SPOKEN = frozenset({NotImplementedError.code, NotSupportedError.code})
_LOOK_S = 60.0
_RETRY_S = 60.0
_LONGEST_RETRY_S = 3600.0


class DimmingSender:
    """Delivers begins and ends in their order, beside the transactions."""

    def __init__(self, *, calls: Calls, flow: asyncio.Event) -> None:
        self._calls = calls
        self._flow = flow
        self._wake_up = asyncio.Event()
        self._failures = 0

    def wake(self) -> None:
        """Look for what is owed now."""
        self._wake_up.set()

    async def run(self) -> None:
        """Deliver for as long as the process lives."""
        while True:
            await self._flow.wait()
            pause_s = await self.step()
            if pause_s:
                await wait_or_timeout(self._wake_up, pause_s)

    async def step(self) -> float:
        """Deliver the oldest message; return the seconds to wait before the next look."""
        self._wake_up.clear()
        owed = await in_database(dimming.next_owed)
        now = clock.now()
        if owed is None or now < EARLIEST_STAMP or owed.began.is_to_be_corrected:
            # Without a clock no moment can be told; those noted before it came are corrected soon, if they can be.
            return _LOOK_S
        vendor = await in_database(configuration.get, "/identity/vendor")
        try:
            await self._calls.call(message_of(owed, vendor))
        except CallErrorReceived as refusal:
            if refusal.error.code not in _NOT_SPOKEN:
                await in_database(dimming.refused, owed.pk, at=now)
                return self._pause()
        except AnswerMalformed:
            pass
        except NotConnected:
            # The next connection wakes; until then there is nothing to try.
            return _LOOK_S
        except NotDelivered:
            return self._pause()
        self._failures = 0
        await in_database(dimming.told, owed.pk, at=clock.now())
        return 0.0

    def _pause(self) -> float:
        self._failures += 1
        return min(_RETRY_S * self._failures, _LONGEST_RETRY_S)


def message_of(intervention: DimmingIntervention, vendor: str) -> call.DataTransfer:
    """Write the message that is due of an intervention."""
    if intervention.begin_told_at is None:
        return _message(BEGAN, vendor, _began(intervention))
    return _message(ENDED, vendor, _ended(intervention, vendor))


def _message(name: str, vendor: str, data: dict[str, Any]) -> call.DataTransfer:
    return call.DataTransfer(vendor_id=vendor, message_id=name, data=json.dumps(data, separators=(",", ":")))


def _began(intervention: DimmingIntervention) -> dict[str, Any]:
    period = {"startPeriod": 0, "limit": intervention.power_w}
    schedule = {
        "id": intervention.pk,
        "startSchedule": to_wire(intervention.began_at),
        "chargingRateUnit": "W",
        "chargingSchedulePeriod": [period],
    }
    return {
        "chargingLimit": {"chargingLimitSource": _SOURCE, "isGridCritical": True},
        "chargingSchedule": [schedule],
    }


def _ended(intervention: DimmingIntervention, vendor: str) -> dict[str, Any]:
    drawn = intervention.drawn
    more = {
        "vendorId": vendor,
        "id": intervention.pk,
        "limitW": intervention.power_w,
        "began": to_wire(intervention.began_at),
        "carriedOut": to_wire(intervention.carried_out_at) if intervention.carried_out_at else None,
        "ended": to_wire(intervention.ended_at) if intervention.ended_at else None,
        "greatestW": drawn.greatest_carried_out_w,
        "meanW": drawn.mean_w,
    }
    told = {name: value for name, value in more.items() if value is not None}
    return {"chargingLimitSource": _SOURCE, "customData": told}
