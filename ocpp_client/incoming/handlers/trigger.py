"""Calls of the RemoteTrigger profile: first the answer, then the message asked for (OCPP 1.6 section 5.17)."""

from datetime import timedelta
from typing import Any

from ocpp.v16 import call

from ocpp_client.certificates import own_certificate
from ocpp_client.connection.registration import BootTriggered
from ocpp_client.database import in_database
from ocpp_client.incoming.handlers.base import Handler, Reply, Request, status
from ocpp_client.outgoing import rendering
from station.domain.meter_values import MeasurandSelection, ReadingContext, Sample, meter_value, parse_measurands
from station.domain.ports import MeterReading
from station.domain.snapshot import PointSnapshot
from station.domain.units import PAUSE
from station.models import ChargingSession
from station.services import configuration

_FILE_KINDS = {
    "DiagnosticsStatusNotification": "diagnostics",
    "FirmwareStatusNotification": "firmware",
    "LogStatusNotification": "log",
    "SignedFirmwareStatusNotification": "signed_firmware",
}

# A meter is read at least every two seconds; a little more is a missed reading.
_PRESENT = timedelta(seconds=5)


async def trigger_message(request: Request) -> Reply:
    """Send the message the backend asks for, after the answer."""
    return await _trigger(request, str(request.payload["requestedMessage"]))


async def extended_trigger_message(request: Request) -> Reply:
    """Do the same for the messages of the security extension; its firmware status is the signed one."""
    wanted = str(request.payload["requestedMessage"])
    return await _trigger(request, "SignedFirmwareStatusNotification" if wanted.startswith("Firmware") else wanted)


async def _trigger(request: Request, wanted: str) -> Reply:
    link = request.link
    if wanted == "BootNotification":
        return await _boot(request)
    if wanted == "Heartbeat":
        return status("Accepted", after=link.heartbeat.send)
    if wanted in _FILE_KINDS:
        return _file_status(request, wanted)
    if wanted == "SignChargePointCertificate":
        return await _sign(request)
    connector_id = request.payload.get("connectorId")
    first = 0 if wanted == "StatusNotification" else 1
    last = await in_database(configuration.get_int, "NumberOfConnectors")
    if connector_id is not None and not first <= connector_id <= last:
        return status("Rejected")
    if wanted == "StatusNotification":

        async def report() -> None:
            await link.status.report(connector_id)

        return status("Accepted", after=report)
    return await _meter_values(request, range(first, last + 1) if connector_id is None else [connector_id])


async def _boot(request: Request) -> Reply:
    runner, registration = request.link.registration_runner, request.link.state.registration
    if not registration.may_trigger_boot:
        return status("Rejected")

    async def boot() -> None:
        await runner.handle(BootTriggered())

    return status("Accepted", after=boot)


def _file_status(request: Request, action: str) -> Reply:
    link = request.link

    async def send() -> None:
        payload = await in_database(link.environment.file_jobs.last_status, _FILE_KINDS[action])
        await link.calls.call(action, payload)

    return status("Accepted", after=send)


async def _sign(request: Request) -> Reply:
    link = request.link
    csr = await in_database(own_certificate.signing_request)
    if csr is None:
        return status("Rejected")

    async def send() -> None:
        await link.calls.call("SignCertificate", {"csr": csr})

    return status("Accepted", after=send)


async def _meter_values(request: Request, connector_ids: Any) -> Reply:
    link = request.link
    snapshot = await link.environment.snapshots.hardware()
    selections, transactions = await in_database(_selections), await in_database(_transactions)
    messages: list[call.MeterValues] = []
    for connector_id in connector_ids:
        point = snapshot.point(connector_id) if snapshot else None
        sample = _sample(request, point) if point else None
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
    if not messages:
        return status("Rejected")

    async def send() -> None:
        for message in messages:
            await link.calls.call("MeterValues", rendering.payload_of(message))

    return status("Accepted", after=send)


def _selections() -> tuple[MeasurandSelection, ...]:
    limit = configuration.get_int("MeterValuesSampledDataMaxLength")
    return parse_measurands(configuration.get("MeterValuesSampledData"), limit)


def _transactions() -> dict[int, int | None]:
    """Read the numbers of the running transactions: the snapshot may be older than the answer to a StartTransaction."""
    return dict(ChargingSession.objects.running().values_list("connector_id", "transaction_id"))


def _sample(request: Request, point: PointSnapshot) -> Sample | None:
    """Take the sample of a live snapshot; None while the meter has not answered."""
    if point.energy_wh is None:
        return None
    reading = MeterReading(
        read_at_s=0.0,
        import_energy=point.energy_wh,
        power=point.power_w,
        voltages=point.voltages_mv,
        currents=point.currents_ma,
        frequency=point.frequency_mhz,
    )
    age = timedelta(milliseconds=point.reading_age_ms or 0)
    return Sample(
        # What the meter said last is its present value, and is told in the order of time (section 3.7); when the meter
        # has been silent since, the moment of its last word is told instead.
        at=request.at if age <= _PRESENT else request.at - age,
        reading=reading,
        context=ReadingContext.TRIGGER,
        offered=point.offered_ma or PAUSE,
    )


HANDLERS: dict[str, Handler] = {
    "TriggerMessage": trigger_message,
    "ExtendedTriggerMessage": extended_trigger_message,
}
