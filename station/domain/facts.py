"""What the station has to tell its backend, independent of any protocol: what is stored and queued.

A fact becomes a message when it is sent, so that a backlog may change its protocol; what a meter has signed travels in
it byte for byte. `encode` and `decode` are the JSON form of the outbox; the moment of a fact and the meter values of a
session that has ended stand in columns and rows of their own.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from station.domain.meter_values import Measurand, MeterValue, Quantity, ReadingContext, SignedRecord
from station.domain.units import WattHour


class FactKind(StrEnum):
    """What a fact is about."""

    SESSION_BEGAN = "session_began"
    METER_SAMPLED = "meter_sampled"
    SESSION_ENDED = "session_ended"


@dataclass(frozen=True, kw_only=True)
class SessionBegan:
    """A driver was let charge; `register`: of the meter, as read."""

    at: datetime
    connector_id: int
    id_tag: str
    register: WattHour
    reservation_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class MeterSampled:
    """A meter was read for the backend, within a session or without one."""

    connector_id: int
    value: MeterValue

    @property
    def at(self) -> datetime:
        """The moment of the sample."""
        return self.value.at


@dataclass(frozen=True, kw_only=True)
class SessionEnded:
    """A session is over; `reason` as OCPP names it, `id_tag` of whoever ended it, `values` kept from begin to end."""

    at: datetime
    register: WattHour
    reason: str
    id_tag: str = ""
    values: tuple[MeterValue, ...] = ()


Fact = SessionBegan | MeterSampled | SessionEnded

KINDS: dict[type[Fact], FactKind] = {
    SessionBegan: FactKind.SESSION_BEGAN,
    MeterSampled: FactKind.METER_SAMPLED,
    SessionEnded: FactKind.SESSION_ENDED,
}


class FactUnreadable(ValueError):
    """What is stored is no fact this version knows."""


def encode(fact: Fact) -> dict[str, Any]:
    """Make the JSON form of a fact, without its moment and without the values of a session that has ended."""
    match fact:
        case SessionBegan():
            return {
                "connector": fact.connector_id,
                "id_tag": fact.id_tag,
                "register_wh": fact.register,
                **({} if fact.reservation_id is None else {"reservation": fact.reservation_id}),
            }
        case MeterSampled(value=value):
            return {
                "connector": fact.connector_id,
                "context": value.context.value,
                "quantities": encode_quantities(value.quantities),
                **({} if value.signed is None else {"signed": encode_signed(value.signed)}),
            }
        case SessionEnded():
            return {
                "register_wh": fact.register,
                "reason": fact.reason,
                **({"id_tag": fact.id_tag} if fact.id_tag else {}),
            }


def decode(kind: str, at: datetime, data: dict[str, Any], values: Sequence[MeterValue] = ()) -> Fact:
    """Read the JSON form of a fact; raises FactUnreadable."""
    try:
        match FactKind(kind):
            case FactKind.SESSION_BEGAN:
                return SessionBegan(
                    at=at,
                    connector_id=data["connector"],
                    id_tag=data["id_tag"],
                    register=WattHour(data["register_wh"]),
                    reservation_id=data.get("reservation"),
                )
            case FactKind.METER_SAMPLED:
                value = decode_value(at, data["context"], data["quantities"], data.get("signed"))
                return MeterSampled(connector_id=data["connector"], value=value)
            case FactKind.SESSION_ENDED:
                return SessionEnded(
                    at=at,
                    register=WattHour(data["register_wh"]),
                    reason=data["reason"],
                    id_tag=data.get("id_tag", ""),
                    values=tuple(values),
                )
    except (KeyError, TypeError, ValueError) as error:
        raise FactUnreadable(f"{kind}: {error!r}"[:200]) from error


def encode_quantities(quantities: Sequence[Quantity]) -> list[list[Any]]:
    """Make the JSON form of measured values: [measurand, value] or [measurand, value, phase]."""
    return [
        [each.measurand.value, each.value] if each.phase is None else [each.measurand.value, each.value, each.phase]
        for each in quantities
    ]


def encode_signed(signed: SignedRecord) -> dict[str, str]:
    """Make the JSON form of a signed record; its bytes are never read on the way."""
    return {
        "encoding": signed.encoding,
        "data": base64.b64encode(signed.data).decode("ascii"),
        "public_key": signed.public_key,
    }


def decode_value(at: datetime, context: str, quantities: list[list[Any]], signed: dict[str, str] | None) -> MeterValue:
    """Read a meter value of its columns; raises FactUnreadable."""
    try:
        return MeterValue(
            at=at,
            context=ReadingContext(context),
            quantities=tuple(_decode_quantity(*each) for each in quantities),
            signed=None if signed is None else _decode_signed(signed),
        )
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise FactUnreadable(f"meter value: {error!r}"[:200]) from error


def _decode_quantity(measurand: str, value: int, phase: int | None = None) -> Quantity:
    return Quantity(measurand=Measurand(measurand), value=value, phase=phase)


def _decode_signed(raw: dict[str, str]) -> SignedRecord:
    return SignedRecord(
        encoding=raw["encoding"], data=base64.b64decode(raw["data"], validate=True), public_key=raw["public_key"]
    )
