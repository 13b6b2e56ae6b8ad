"""Calls of the RemoteTrigger profile: first the response, then the message asked for (OCPP 1.6 section 5.17)."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from ocpp.v16 import call, call_result
from ocpp.v16.enums import Action, MessageTrigger, TriggerMessageStatus

from ocpp_client.certificates import own_certificate
from ocpp_client.database import in_database
from ocpp_client.incoming.handlers.context import Calls, Heartbeat, Registration, Statuses
from ocpp_client.incoming.routing import after, on
from ocpp_client.outgoing import rendering
from ocpp_client.ports import FileJobs, LiveSnapshots
from ocpp_client.rpc.messages import message_of
from station.domain.meter_values import MeasurandSelection, ReadingContext, Sample, meter_value, parse_measurands
from station.domain.ports import MeterReading
from station.domain.snapshot import PointSnapshot
from station.domain.units import PAUSE
from station.models import ChargingSession
from station.services import configuration

_FILE_KINDS: dict[str, str] = {
    Action.diagnostics_status_notification: "diagnostics",
    Action.firmware_status_notification: "firmware",
    Action.log_status_notification: "log",
    Action.signed_firmware_status_notification: "signed_firmware",
}

# A meter is read at least every two seconds; a little more is a missed reading.
_PRESENT = timedelta(seconds=5)
_SIGN_CERTIFICATE = "SignChargePointCertificate"

# What is done once the response has left; None: the call is rejected.
Send = Callable[[], Awaitable[None]]


@dataclass
class Triggered(call_result.TriggerMessage):
    """The response, and what sends the message asked for."""

    send: Send | None = None


@dataclass
class ExtendedTriggered(call_result.ExtendedTriggerMessage):
    """The response, and what sends the message asked for."""

    send: Send | None = None


class TriggerHandlers:
    """Sends what the backend asks for."""

    def __init__(
        self,
        calls: Calls,
        *,
        registration: Registration,
        statuses: Statuses,
        heartbeat: Heartbeat,
        file_jobs: FileJobs,
        snapshots: LiveSnapshots,
    ) -> None:
        self._calls = calls
        self._registration = registration
        self._statuses = statuses
        self._heartbeat = heartbeat
        self._file_jobs = file_jobs
        self._snapshots = snapshots

    @on(Action.trigger_message)
    async def on_trigger_message(
        self, *, requested_message: str, connector_id: int | None = None, at: datetime
    ) -> Triggered:
        """Find out whether the message can be sent."""
        send = await self._prepare(requested_message, connector_id, at)
        return Triggered(_status(send), send)

    @after(Action.trigger_message)
    async def after_trigger_message(self, *, response: Triggered, **_: Any) -> None:
        """Send it."""
        if response.send is not None:
            await response.send()

    @on(Action.extended_trigger_message)
    async def on_extended_trigger_message(
        self, *, requested_message: str, connector_id: int | None = None, at: datetime
    ) -> ExtendedTriggered:
        """Do the same for the messages of the security extension; its firmware status is the signed one."""
        if requested_message == MessageTrigger.firmware_status_notification:
            requested_message = Action.signed_firmware_status_notification
        send = await self._prepare(requested_message, connector_id, at)
        return ExtendedTriggered(_status(send), send)

    @after(Action.extended_trigger_message)
    async def after_extended_trigger_message(self, *, response: ExtendedTriggered, **_: Any) -> None:
        """Send it."""
        if response.send is not None:
            await response.send()

    async def _prepare(self, wanted: str, connector_id: int | None, at: datetime) -> Send | None:
        if wanted == Action.boot_notification:
            return self._registration.trigger_boot if self._registration.may_trigger_boot else None
        if wanted == Action.heartbeat:
            return self._heartbeat.send
        if wanted in _FILE_KINDS:
            return self._file_status(wanted)
        if wanted == _SIGN_CERTIFICATE:
            return await self._sign()
        first = 0 if wanted == Action.status_notification else 1
        last = await in_database(configuration.get_int, "NumberOfConnectors")
        if connector_id is not None and not first <= connector_id <= last:
            return None
        if wanted == Action.status_notification:
            return partial(self._statuses.report, connector_id)
        return await self._meter_values(range(first, last + 1) if connector_id is None else [connector_id], at)

    def _file_status(self, action: str) -> Send:
        async def send() -> None:
            payload = await in_database(self._file_jobs.last_status, _FILE_KINDS[action])
            await self._calls.call(message_of(action, payload))

        return send

    async def _sign(self) -> Send | None:
        csr = await in_database(own_certificate.signing_request)
        return None if csr is None else self._sending([call.SignCertificate(csr)])

    async def _meter_values(self, connector_ids: Iterable[int], at: datetime) -> Send | None:
        snapshot = await self._snapshots.hardware()
        selections, transactions = await in_database(_selections), await in_database(_transactions)
        messages: list[call.MeterValues] = []
        for connector_id in connector_ids:
            point = snapshot.point(connector_id) if snapshot else None
            sample = _sample(point, at) if point else None
            value = meter_value(sample, selections) if sample else None
            if value is None:
                continue
            messages.append(
                call.MeterValues(
                    connector_id=connector_id,
                    meter_value=[rendering.meter_value(value)],
                    transaction_id=transactions.get(connector_id),
                )
            )
        return self._sending(messages) if messages else None

    def _sending(self, messages: Iterable[Any]) -> Send:
        async def send() -> None:
            for message in messages:
                await self._calls.call(message)

        return send


def _status(send: Send | None) -> TriggerMessageStatus:
    return TriggerMessageStatus.rejected if send is None else TriggerMessageStatus.accepted


def _selections() -> tuple[MeasurandSelection, ...]:
    limit = configuration.get_int("MeterValuesSampledDataMaxLength")
    return parse_measurands(configuration.get("MeterValuesSampledData"), limit)


def _transactions() -> dict[int, int | None]:
    """Read the numbers of the running transactions: the snapshot may be older than the answer to a StartTransaction."""
    return dict(ChargingSession.objects.running().values_list("connector_id", "transaction_id"))


def _sample(point: PointSnapshot, at: datetime) -> Sample | None:
    """Take the sample of a live snapshot; None while the meter has not answered."""
    if point.energy_wh is None:
        return None
    reading = MeterReading(
        read_at_s=0.0,
        import_energy=point.energy_wh,
        power=point.power_w,
        voltages=point.voltages_mv,
        currents=point.currents_ma,
        phase_powers=point.phase_powers_w,
        frequency=point.frequency_mhz,
    )
    age = timedelta(milliseconds=point.reading_age_ms or 0)
    return Sample(
        # What the meter said last is its present value, and is told in the order of time (section 3.7); when the meter
        # has been silent since, the moment of its last word is told instead.
        at=at if age <= _PRESENT else at - age,
        reading=reading,
        context=ReadingContext.TRIGGER,
        offered=point.offered_ma or PAUSE,
    )
