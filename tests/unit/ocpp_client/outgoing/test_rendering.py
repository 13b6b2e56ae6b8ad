"""Facts as messages of OCPP 1.6: sections 3.16, 6.31, 6.45, 6.49, 7.31 to 7.45 and the errata."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ocpp_client.outgoing.rendering import render
from ocpp_client.rpc import schemas
from ocpp_client.rpc.messages import payload_of
from station.domain import facts
from station.domain.facts import Fact, MeterSampled, SessionBegan, SessionEnded
from station.domain.meter_values import (
    Measurand,
    MeterValue,
    Quantity,
    ReadingContext,
    SignedDialect,
    SignedRecord,
    meter_value,
    parse_measurands,
)
from station.domain.units import WattHour
from tests.unit.station.domain.test_meter_values import NOW, SAMPLE

ENERGY = Quantity(measurand=Measurand.ENERGY, value=18_240)
VALUE = MeterValue(at=NOW, context=ReadingContext.SAMPLE_PERIODIC, quantities=(ENERGY,))
# Blanks, trailing zeros and bytes that are no text: what was signed must not be read on the way.
OCMF = b'OCMF|{"FV" : "1.0","RV":12.340,"X":"\xff"}|{"SD":"30 44"}'


def told(fact: Fact, transaction_id: int | None = 7) -> dict[str, Any]:
    message = render(fact, transaction_id=transaction_id)
    payload = payload_of(message)
    schemas.check_call(type(message).__name__, payload)
    return payload


def values(csl: str) -> list[tuple[str, str | None, str, str | None]]:
    value = meter_value(SAMPLE, parse_measurands(csl, 16))
    assert value is not None
    (wire,) = told(MeterSampled(connector_id=1, value=value))["meterValue"]
    return [(each["measurand"], each.get("phase"), each["value"], each.get("unit")) for each in wire["sampledValue"]]


def test_section_7_31_values_are_texts_in_the_units_of_the_standard() -> None:
    csl = (
        "Energy.Active.Import.Register,Energy.Active.Import.Interval,Power.Active.Import,Power.Offered,"
        "Current.Offered,Frequency"
    )

    assert values(csl) == [
        ("Energy.Active.Import.Register", None, "18240", "Wh"),
        ("Energy.Active.Import.Interval", None, "184", "Wh"),
        ("Power.Active.Import", None, "11040", "W"),
        ("Power.Active.Import", "L1", "3680", "W"),
        ("Power.Active.Import", "L2", "3670", "W"),
        ("Power.Active.Import", "L3", "0", "W"),
        ("Power.Offered", None, "11040", "W"),
        ("Current.Offered", None, "16.0", "A"),
        ("Frequency", None, "49.98", None),
    ]


def test_section_7_36_phases_stand_in_their_own_field() -> None:
    assert values("Current.Import,Voltage") == [
        ("Current.Import", "L1", "16.0", "A"),
        ("Current.Import", "L2", "15.984", "A"),
        ("Current.Import", "L3", "0.0", "A"),
        ("Voltage", "L1-N", "230.1", "V"),
        ("Voltage", "L2-N", "229.0", "V"),
        ("Voltage", "L3-N", "231.05", "V"),
    ]
    assert values("Power.Active.Import.L2,Current.Import.L1") == [
        ("Power.Active.Import", "L2", "3670", "W"),
        ("Current.Import", "L1", "16.0", "A"),
    ]


def test_section_7_32_every_value_says_context_format_and_location() -> None:
    power = Quantity(measurand=Measurand.POWER, value=11_040)

    assert told(MeterSampled(connector_id=2, value=replace(VALUE, quantities=(power,))), None) == {
        "connectorId": 2,
        "meterValue": [
            {
                "timestamp": "2026-03-01T12:00:00.000Z",
                "sampledValue": [
                    {
                        "value": "11040",
                        "context": "Sample.Periodic",
                        "format": "Raw",
                        "measurand": "Power.Active.Import",
                        "location": "Outlet",
                        "unit": "W",
                    }
                ],
            }
        ],
    }


def test_section_6_45_a_start_has_no_number_and_names_the_reservation_it_uses() -> None:
    fact = SessionBegan(at=NOW, connector_id=1, id_tag="04A2B3C4", register=WattHour(5), reservation_id=0)

    assert told(fact) == {
        "connectorId": 1,
        "idTag": "04A2B3C4",
        "meterStart": 5,
        "timestamp": "2026-03-01T12:00:00.000Z",
        "reservationId": 0,
    }
    assert "reservationId" not in told(replace(fact, reservation_id=None))


def test_section_6_49_a_stop_carries_what_was_kept_and_nothing_that_is_empty() -> None:
    fact = SessionEnded(at=NOW, register=WattHour(9), reason="EVDisconnected", values=(VALUE, VALUE))

    assert len(told(fact)["transactionData"]) == 2
    assert told(SessionEnded(at=NOW, register=WattHour(9), reason="Local", id_tag="A"), 0) == {
        "transactionId": 0,
        "meterStop": 9,
        "timestamp": "2026-03-01T12:00:00.000Z",
        "reason": "Local",
        "idTag": "A",
    }


def test_errata_3_18_a_stop_without_a_number_says_minus_one() -> None:
    assert told(SessionEnded(at=NOW, register=WattHour(9), reason="Local"), None)["transactionId"] == -1


def test_section_3_15_timestamps_are_utc() -> None:
    berlin = replace(VALUE, at=NOW.astimezone(timezone(timedelta(hours=1))))

    assert told(MeterSampled(connector_id=1, value=berlin))["meterValue"][0]["timestamp"] == "2026-03-01T12:00:00.000Z"


RECORD = b'OCMF|{"FV" : "1.0","RV":12.340}|{"SD":"3044"}'


def signed_value(data: bytes, dialect: SignedDialect, *, encoding: str = "OCMF", key: str = "3059AB") -> str:
    record = SignedRecord(encoding=encoding, data=data, public_key=key)
    fact = MeterSampled(connector_id=1, value=replace(VALUE, quantities=(), signed=record))
    payload = payload_of(render(fact, transaction_id=7, dialect=dialect))
    schemas.check_call("MeterValues", payload)
    (sampled,) = payload["meterValue"][0]["sampledValue"]
    assert sampled["format"] == "SignedData"
    return str(sampled["value"])


def test_raw_is_the_record_itself_and_hexadecimal_where_that_is_no_text() -> None:
    assert signed_value(RECORD, SignedDialect.RAW) == RECORD.decode()
    assert bytes.fromhex(signed_value(b"\x1b\x1b\x01", SignedDialect.RAW, encoding="EDL")) == b"\x1b\x1b\x01"
    assert bytes.fromhex(signed_value(OCMF, SignedDialect.RAW)) == OCMF


def test_htb_has_another_name_for_the_data_and_the_key_as_it_is_printed() -> None:
    content = json.loads(signed_value(RECORD, SignedDialect.HTB))
    assert base64.b64decode(content.pop("signedMeterValue")) == RECORD
    assert content == {"signingMethod": "", "encodingMethod": "OCMF", "publicKey": "3059AB"}


def test_oca_has_four_names_always_and_the_key_in_its_wrapping() -> None:
    content = json.loads(signed_value(RECORD, SignedDialect.OCA))
    assert base64.b64decode(content["publicKey"]) == b"oca:base16:asn1:3059AB"
    without = json.loads(signed_value(RECORD, SignedDialect.OCA, key=""))
    assert list(without) == ["signedMeterData", "signingMethod", "encodingMethod", "publicKey"]
    assert without["publicKey"] == ""


def test_what_a_meter_has_signed_travels_byte_for_byte() -> None:
    record = SignedRecord(encoding="OCMF", data=OCMF, public_key="3059301306")
    fact = MeterSampled(connector_id=1, value=replace(VALUE, signed=record))
    stored = json.loads(json.dumps(facts.encode(fact)))
    sent = told(facts.decode("meter_sampled", NOW, stored))["meterValue"][0]["sampledValue"][-1]
    content = json.loads(sent["value"])

    assert sent["format"] == "SignedData"
    assert base64.b64decode(content["signedMeterData"]) == OCMF
    assert content["encodingMethod"] == "OCMF"
    assert base64.b64decode(content["publicKey"]) == b"oca:base16:asn1:3059301306"


MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
REGISTERS = st.integers(0, 2**40).map(WattHour)
QUANTITIES = st.builds(
    Quantity,
    measurand=st.sampled_from(Measurand),
    value=st.integers(-(2**40), 2**40),
    phase=st.sampled_from((None, 1, 2, 3)),
)
SIGNED = st.builds(
    SignedRecord,
    encoding=st.sampled_from(("OCMF", "EDL")),
    data=st.binary(max_size=300),
    public_key=st.text("0123456789ABCDEF", max_size=40),
)
VALUES = st.builds(
    MeterValue,
    at=MOMENTS,
    context=st.sampled_from(ReadingContext),
    quantities=st.lists(QUANTITIES, min_size=1, max_size=5).map(tuple),
    signed=st.none() | SIGNED,
)
FACTS = st.one_of(
    st.builds(
        SessionBegan,
        at=MOMENTS,
        connector_id=st.integers(1, 9),
        id_tag=st.text("0123456789abcdef", min_size=1, max_size=20),
        register=REGISTERS,
        reservation_id=st.none() | st.integers(-5, 2**31 - 1),
    ),
    st.builds(MeterSampled, connector_id=st.integers(0, 9), value=VALUES),
    st.builds(
        SessionEnded,
        at=MOMENTS,
        register=REGISTERS,
        reason=st.sampled_from(("Local", "Remote", "PowerLoss", "EVDisconnected", "DeAuthorized")),
        id_tag=st.text("0123456789abcdef", max_size=20),
        values=st.lists(VALUES, max_size=3).map(tuple),
    ),
)


@given(FACTS, st.none() | st.integers(-(2**63), 2**63 - 1))
def test_every_fact_is_stored_without_loss_and_makes_a_lawful_message(fact: Fact, number: int | None) -> None:
    stored = json.loads(json.dumps(facts.encode(fact)))
    again = facts.decode(facts.KINDS[type(fact)], fact.at, stored, getattr(fact, "values", ()))

    assert again == fact
    told(again, number)
