"""Where in the simulated world each fault of the catalogue has its physical cause."""

from dataclasses import dataclass

from station.domain.faults import CATALOGUE, NOT_PHYSICAL, FaultCode, Scope

# Faults that show in the devices themselves. Every other one has an auxiliary contact at the input/output module.
SHOWN_BY_DEVICES = frozenset(
    {
        FaultCode.GROUND_FAILURE,  # the residual-current device trips: error 15 of the board
        FaultCode.CONNECTOR_LOCK_FAILURE,  # the bolt's feedback is lost: errors 6 and 8
        FaultCode.POWER_SWITCH_FAILURE,  # the contactor is welded: error 12
        FaultCode.EV_COMMUNICATION_ERROR,  # the pilot is invalid: error 4
        FaultCode.EVSE_COMMUNICATION_ERROR,  # the controller's line is silent
        FaultCode.POWER_METER_FAILURE,  # the meter's line is silent
        FaultCode.READER_FAILURE,  # the reader's line is silent
        FaultCode.UNDER_VOLTAGE,  # L3 is missing at every meter
        FaultCode.WEAK_SIGNAL,  # the modem has hardly any signal
        FaultCode.OVER_VOLTAGE_PROTECTION_FAILURE,  # the arrester's contact at input IN of controller 1
        FaultCode.INPUT_MODULE_FAILURE,  # the input/output module's line is silent
    }
)
_KNOWN = tuple(code for code in FaultCode if code not in NOT_PHYSICAL)
# Phase (L3) that is missing while UnderVoltage is active.
MISSING_PHASE = 2
# Signal in per cent while WeakSignal is active.
WEAK_SIGNAL_PERCENT = 5


class FaultUnknown(Exception):
    """No such fault in the catalogue."""

    def __init__(self, code: str) -> None:
        super().__init__(f"unknown fault code {code!r}; known are {', '.join(_KNOWN)}")


@dataclass(frozen=True, kw_only=True)
class Contact:
    """An auxiliary contact of the input/output module: which fault it reports, and where (0: station)."""

    input: int
    code: FaultCode
    connector: int


def fault_code(text: str) -> FaultCode:
    """Find a fault by its name; raises FaultUnknown."""
    if text not in _KNOWN:
        raise FaultUnknown(text)
    return FaultCode(text)


def is_of_station(code: FaultCode) -> bool:
    """Whether the fault has its natural place at the station rather than at one connector."""
    return CATALOGUE[code].scope is Scope.STATION


def contacts(connectors: int) -> tuple[Contact, ...]:
    """List the auxiliary contacts of a station: those of the station first, then point by point."""
    wired = [code for code in _KNOWN if code not in SHOWN_BY_DEVICES]
    places = [(code, 0) for code in wired if is_of_station(code)]
    for number in range(1, connectors + 1):
        places += [(code, number) for code in wired if not is_of_station(code)]
    return tuple(Contact(input=index, code=code, connector=connector) for index, (code, connector) in enumerate(places))
