"""Facts as messages of OCPP 1.6 (sections 6.31, 6.45, 6.49, 7.31 to 7.45); nothing is decided or looked up here."""

import base64
import json
from contextlib import suppress
from typing import Any

from ocpp.v16 import call
from ocpp.v16.datatypes import MeterValue as WireMeterValue
from ocpp.v16.datatypes import SampledValue
from ocpp.v16.enums import Location, Phase, ReadingContext, Reason, UnitOfMeasure, ValueFormat
from ocpp.v16.enums import Measurand as WireMeasurand

from station.domain.facts import Fact, MeterSampled, SessionBegan, SessionEnded
from station.domain.meter_values import Measurand, MeterValue, Quantity, SignedDialect, SignedRecord
from station.domain.moments import to_wire
from station.domain.ports import SignatureFormat

# Errata 3.18: the number of a transaction the backend will not hear the begin of.
NO_TRANSACTION = -1
# Section 7.45 has no unit for a frequency, and errata 3.86 says that it is Hertz without one.
_UNITS = {
    Measurand.ENERGY: UnitOfMeasure.wh,
    Measurand.ENERGY_INTERVAL: UnitOfMeasure.wh,
    Measurand.POWER: UnitOfMeasure.w,
    Measurand.POWER_OFFERED: UnitOfMeasure.w,
    Measurand.CURRENT: UnitOfMeasure.a,
    Measurand.CURRENT_OFFERED: UnitOfMeasure.a,
    Measurand.VOLTAGE: UnitOfMeasure.v,
}
_THOUSANDTHS = frozenset({Measurand.CURRENT, Measurand.CURRENT_OFFERED, Measurand.VOLTAGE, Measurand.FREQUENCY})


def render(fact: Fact, *, transaction_id: int | None, dialect: SignedDialect = SignedDialect.OCA) -> Any:
    """Write a fact as the call that tells it; `transaction_id` is the backend's number, if it has given one."""
    match fact:
        case SessionBegan():
            return call.StartTransaction(
                connector_id=fact.connector_id,
                id_tag=fact.id_tag,
                meter_start=fact.register,
                timestamp=to_wire(fact.at),
                reservation_id=fact.reservation_id,
            )
        case MeterSampled():
            return call.MeterValues(
                connector_id=fact.connector_id,
                meter_value=[meter_value(fact.value, dialect)],
                transaction_id=transaction_id,
            )
        case SessionEnded():
            return call.StopTransaction(
                meter_stop=fact.register,
                timestamp=to_wire(fact.at),
                transaction_id=NO_TRANSACTION if transaction_id is None else transaction_id,
                reason=Reason(fact.reason),
                id_tag=fact.id_tag or None,
                transaction_data=[meter_value(value, dialect) for value in fact.values] or None,
            )


def meter_value(value: MeterValue, dialect: SignedDialect = SignedDialect.OCA) -> WireMeterValue:
    """Write one meter value: what was measured, and after it what the meter has signed."""
    context = ReadingContext(value.context.value)
    sampled = [_sampled_value(context, quantity) for quantity in value.quantities]
    if value.signed is not None:
        sampled.append(_signed_value(context, value.signed, dialect))
    return WireMeterValue(timestamp=to_wire(value.at), sampled_value=sampled)


def _sampled_value(context: ReadingContext, quantity: Quantity) -> SampledValue:
    measurand = quantity.measurand
    phase = None
    if quantity.phase is not None:
        phase = Phase(f"L{quantity.phase}-N" if measurand is Measurand.VOLTAGE else f"L{quantity.phase}")
    return SampledValue(
        value=_thousandths(quantity.value) if measurand in _THOUSANDTHS else str(quantity.value),
        context=context,
        format=ValueFormat.raw,
        measurand=WireMeasurand(measurand.value),
        phase=phase,
        location=Location.outlet,
        unit=_UNITS.get(measurand),
    )


def _signed_value(context: ReadingContext, signed: SignedRecord, dialect: SignedDialect) -> SampledValue:
    """Write a signed record as its backend reads it; the bytes of the record are the same in every dialect."""
    return SampledValue(
        value=_text_of(signed, dialect),
        context=context,
        format=ValueFormat.signed_data,
        measurand=WireMeasurand.energy_active_import_register,
        location=Location.outlet,
        unit=UnitOfMeasure.wh,
    )


def _text_of(signed: SignedRecord, dialect: SignedDialect) -> str:
    if dialect is SignedDialect.RAW:
        return _raw(signed)
    data = base64.b64encode(signed.data).decode("ascii")
    if dialect is SignedDialect.HTB:
        content = {
            "signedMeterValue": data,
            "signingMethod": "",
            "encodingMethod": signed.encoding,
            "publicKey": signed.public_key,
        }
    else:
        # Application note "Signed Meter Values in OCPP", section 3.2: all four names, always.
        key = base64.b64encode(f"oca:base16:asn1:{signed.public_key}".encode()).decode() if signed.public_key else ""
        content = {
            "signedMeterData": data,
            # The method stands inside the record.
            "signingMethod": "",
            "encodingMethod": signed.encoding,
            "publicKey": key,
        }
    return json.dumps(content, separators=(",", ":"))


def _raw(signed: SignedRecord) -> str:
    """Write the record itself: OCMF is a text, and OCPP 1.6 section 7.49 wants what is none in hexadecimal."""
    if signed.encoding == SignatureFormat.OCMF:
        with suppress(UnicodeDecodeError):
            return signed.data.decode("utf-8")
    return signed.data.hex().upper()


def _thousandths(value: int) -> str:
    sign = "-" if value < 0 else ""
    whole, thousandths = divmod(abs(value), 1000)
    digits = f"{thousandths:03d}".rstrip("0")
    return f"{sign}{whole}.{digits or '0'}"
