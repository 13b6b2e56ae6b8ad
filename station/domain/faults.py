"""The fault catalogue: what can be wrong, where, how the backend hears of it and how the lamp shows it.

Rows follow the error table of the manuals (`spec/errors.csv`) and, below it, every further ChargePointErrorCode of
OCPP 1.6 section 7.6. Words for people are made in `station.ui.words`.
"""

from dataclasses import dataclass
from enum import StrEnum


class FaultCode(StrEnum):
    """What is wrong; the value is the manuals' name, or OCPP's where the manuals have none."""

    WEAK_SIGNAL = "WeakSignal"
    OVER_VOLTAGE_PROTECTION_FAILURE = "OverVoltageProtectionFailure"
    REGULATORY_COMPLIANCE_FAILURE = "RegulatoryComplianceFailure"
    READER_FAILURE = "ReaderFailure"
    UNDER_VOLTAGE = "UnderVoltage"
    EVSE_COMMUNICATION_ERROR = "EVSECommunicationError"
    EV_COMMUNICATION_ERROR = "EVCommunicationError"
    POWER_SWITCH_FAILURE = "PowerSwitchFailure"
    OVER_CURRENT_FAILURE = "OverCurrentFailure"
    GROUND_FAILURE = "GroundFailure"
    CONNECTOR_LOCK_FAILURE = "ConnectorLockFailure"
    POWER_METER_FAILURE = "PowerMeterFailure"
    HIGH_TEMPERATURE = "HighTemperature"
    INTERNAL_ERROR = "InternalError"
    LOCAL_LIST_CONFLICT = "LocalListConflict"
    OTHER_ERROR = "OtherError"
    OVER_VOLTAGE = "OverVoltage"
    RESET_FAILURE = "ResetFailure"
    INPUT_MODULE_FAILURE = "InputModuleFailure"
    DATABASE_REPLACED = "DatabaseReplaced"


class Scope(StrEnum):
    """Whether a fault belongs to the whole station (OCPP connector 0) or to one charging point."""

    STATION = "station"
    CONNECTOR = "connector"


@dataclass(frozen=True, kw_only=True)
class FaultKind:
    """How one fault behaves everywhere.

    `faulted`: the charging point (or station) is out of order while it lasts; otherwise it is a warning beside a
    normal status. `lamp_blinks`: red blinks of the topper lamp (manual, chapter OCPP errors); None: the lamp shows
    nothing. `ocpp_error_code` is a ChargePointErrorCode of OCPP 1.6 section 7.6.
    """

    code: FaultCode
    scope: Scope
    faulted: bool
    lamp_blinks: int | None
    ocpp_error_code: str
    vendor_error_code: str | None = None


def _kind(
    code: FaultCode,
    scope: Scope,
    *,
    faulted: bool,
    blinks: int | None = None,
    vendor: bool = False,
) -> FaultKind:
    return FaultKind(
        code=code,
        scope=scope,
        faulted=faulted,
        lamp_blinks=blinks,
        ocpp_error_code="OtherError" if vendor else code.value,
        vendor_error_code=code.value if vendor else None,
    )


_STATION, _CONNECTOR = Scope.STATION, Scope.CONNECTOR

# OCPP 1.6 section 4.9 forbids Faulted for EVCommunicationError, the manuals blink for it: a warning with a lamp.
CATALOGUE: dict[FaultCode, FaultKind] = {
    kind.code: kind
    for kind in (
        _kind(FaultCode.WEAK_SIGNAL, _STATION, faulted=False),
        _kind(FaultCode.OVER_VOLTAGE_PROTECTION_FAILURE, _STATION, faulted=False, vendor=True),
        _kind(FaultCode.REGULATORY_COMPLIANCE_FAILURE, _STATION, faulted=True, blinks=7, vendor=True),
        _kind(FaultCode.READER_FAILURE, _STATION, faulted=False),
        _kind(FaultCode.UNDER_VOLTAGE, _STATION, faulted=True),
        _kind(FaultCode.EVSE_COMMUNICATION_ERROR, _CONNECTOR, faulted=True, blinks=1, vendor=True),
        _kind(FaultCode.EV_COMMUNICATION_ERROR, _CONNECTOR, faulted=False, blinks=1),
        _kind(FaultCode.POWER_SWITCH_FAILURE, _CONNECTOR, faulted=True, blinks=2),
        _kind(FaultCode.OVER_CURRENT_FAILURE, _CONNECTOR, faulted=True, blinks=3),
        _kind(FaultCode.GROUND_FAILURE, _CONNECTOR, faulted=True, blinks=4),
        _kind(FaultCode.CONNECTOR_LOCK_FAILURE, _CONNECTOR, faulted=True, blinks=5),
        _kind(FaultCode.POWER_METER_FAILURE, _CONNECTOR, faulted=True, blinks=6),
        _kind(FaultCode.HIGH_TEMPERATURE, _CONNECTOR, faulted=True),
        _kind(FaultCode.INTERNAL_ERROR, _CONNECTOR, faulted=True),
        _kind(FaultCode.LOCAL_LIST_CONFLICT, _STATION, faulted=False),
        _kind(FaultCode.OTHER_ERROR, _CONNECTOR, faulted=True),
        _kind(FaultCode.OVER_VOLTAGE, _CONNECTOR, faulted=True),
        _kind(FaultCode.RESET_FAILURE, _STATION, faulted=False),
        # Nobody hears its contacts any more; the devices they belong to protect all the same, so charging goes on.
        _kind(FaultCode.INPUT_MODULE_FAILURE, _STATION, faulted=False, vendor=True),
        # Charging goes on; whoever runs the station has to know that its settings and cards are gone.
        _kind(FaultCode.DATABASE_REPLACED, _STATION, faulted=False, vendor=True),
    )
}


# A damaged file has no cause in the physical world that a simulator, or a contact, could show.
NOT_PHYSICAL = frozenset({FaultCode.DATABASE_REPLACED})


def worst(codes: frozenset[FaultCode]) -> FaultKind | None:
    """Pick the fault to report when several are active: out-of-order ones first, then in the catalogue's order."""
    active = [kind for kind in CATALOGUE.values() if kind.code in codes]
    return min(active, key=lambda kind: not kind.faulted, default=None)
