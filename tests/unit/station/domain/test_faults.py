"""The fault catalogue against the manuals' table and the codes of OCPP 1.6."""

import pytest

from station.domain import commands
from station.domain.commands import Command, CommandUnknown, Outcome, Refusal, Status
from station.domain.faults import CATALOGUE, FaultCode, Scope, worst

# OCPP 1.6 section 7.6.
CHARGE_POINT_ERROR_CODES = {
    "ConnectorLockFailure",
    "EVCommunicationError",
    "GroundFailure",
    "HighTemperature",
    "InternalError",
    "LocalListConflict",
    "NoError",
    "OtherError",
    "OverCurrentFailure",
    "PowerMeterFailure",
    "PowerSwitchFailure",
    "ReaderFailure",
    "ResetFailure",
    "UnderVoltage",
    "OverVoltage",
    "WeakSignal",
}


def test_every_fault_has_its_place_in_the_catalogue() -> None:
    assert set(CATALOGUE) == set(FaultCode)
    assert all(kind.code is code for code, kind in CATALOGUE.items())


@pytest.mark.parametrize("code", FaultCode)
def test_the_backend_hears_only_codes_it_knows(code: FaultCode) -> None:
    kind = CATALOGUE[code]

    assert kind.ocpp_error_code in CHARGE_POINT_ERROR_CODES - {"NoError"}
    if kind.vendor_error_code:
        assert kind.ocpp_error_code == "OtherError"
        assert kind.vendor_error_code == code.value
        assert len(kind.vendor_error_code) <= 50
    else:
        assert kind.ocpp_error_code == code.value


def test_every_code_of_the_standard_can_be_told() -> None:
    told = {kind.ocpp_error_code for kind in CATALOGUE.values()}

    assert told == CHARGE_POINT_ERROR_CODES - {"NoError"}


def test_what_concerns_the_car_is_never_a_fault_of_the_station() -> None:
    assert not CATALOGUE[FaultCode.EV_COMMUNICATION_ERROR].faulted


def test_a_warning_of_the_station_blocks_nothing() -> None:
    warnings = {code for code, kind in CATALOGUE.items() if kind.scope is Scope.STATION and not kind.faulted}

    assert {FaultCode.WEAK_SIGNAL, FaultCode.READER_FAILURE, FaultCode.LOCAL_LIST_CONFLICT} <= warnings


def test_people_can_tell_the_lamp_codes_apart() -> None:
    blinks = [
        kind.lamp_blinks
        for kind in CATALOGUE.values()
        if kind.lamp_blinks and kind.code is not FaultCode.EV_COMMUNICATION_ERROR
    ]

    assert len(blinks) == len(set(blinks))


def test_the_worst_fault_is_one_that_puts_the_point_out_of_order() -> None:
    assert worst(frozenset()) is None
    both = worst(frozenset({FaultCode.WEAK_SIGNAL, FaultCode.GROUND_FAILURE}))
    assert both is not None
    assert both.code is FaultCode.GROUND_FAILURE


# --- commands travel as JSON

COMMANDS: tuple[Command, ...] = (
    commands.PresentTag(id_tag="04A2", connector_id=2),
    commands.StartSession(id_tag="04A2", connector_id=1, charging_profile={"stackLevel": 0}, authorize=True),
    commands.StopSession(transaction_id=-7, reason="Remote"),
    commands.UnlockConnector(connector_id=1),
    commands.SetAvailability(connector_id=0, operative=False),
    commands.Reset(hard=True, stop_sessions=False, reason="HardReset"),
    commands.FlashControllers(),
    commands.Reserve(reservation_id=3, connector_id=1, id_tag="04A2", expires_at="2026-11-20T12:00:00Z"),
    commands.CancelReservation(reservation_id=3),
    commands.PrepareUpdate(begin=True),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_a_command_survives_its_journey(command: Command) -> None:
    assert commands.decode(commands.encode(command)) == command


def test_no_command_is_missing_in_this_test() -> None:
    assert {type(command) for command in COMMANDS} == set(Command.__subclasses__())


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"name": "Explode", "data": {}},
        {"name": "UnlockConnector", "data": {}},
        {"name": "UnlockConnector", "data": {"connector_id": 1, "gently": True}},
        {"name": "Reset"},
    ],
)
def test_a_command_that_makes_no_sense_is_refused(raw: dict[str, object]) -> None:
    with pytest.raises(CommandUnknown):
        commands.decode(raw)


@pytest.mark.parametrize("status", Status)
def test_an_outcome_survives_its_journey(status: Status) -> None:
    outcome = Outcome(status=status, reason=Refusal.TAG_REFUSED, data={"because": "x"})

    assert Outcome.decode(outcome.encode()) == outcome
    assert outcome.succeeded == (status in {Status.ACCEPTED, Status.SCHEDULED, Status.UNLOCKED})


# The manuals' table: error, connector, errorCode, vendorErrorCode, status, red blinks.
MANUALS = [
    ("WeakSignal", "0", "WeakSignal", "", "Available", None),
    ("OverVoltageProtectionFailure", "0", "OtherError", "OverVoltageProtectionFailure", "Available", None),
    ("RegulatoryComplianceFailure", "0", "OtherError", "RegulatoryComplianceFailure", "Faulted", 7),
    ("ReaderFailure", "0", "ReaderFailure", "", "Available", None),
    ("UnderVoltage", "0", "UnderVoltage", "", "Faulted", None),
    ("EVSECommunicationError", "n", "OtherError", "EVSECommunicationError", "Faulted", 1),
    ("EVCommunicationError", "n", "EVCommunicationError", "", "Faulted", 1),
    ("PowerSwitchFailure", "n", "PowerSwitchFailure", "", "Faulted", 2),
    ("OverCurrentFailure", "n", "OverCurrentFailure", "", "Faulted", 3),
    ("GroundFailure", "n", "GroundFailure", "", "Faulted", 4),
    ("ConnectorLockFailure", "n", "ConnectorLockFailure", "", "Faulted", 5),
    ("PowerMeterFailure", "n", "PowerMeterFailure", "", "Faulted", 6),
]


@pytest.mark.parametrize(("error", "place", "code", "vendor", "status", "blinks"), MANUALS)
def test_every_error_of_the_manuals_behaves_as_they_describe_it(
    *, error: str, place: str, code: str, vendor: str, status: str, blinks: int | None
) -> None:
    kind = CATALOGUE[FaultCode(error)]

    assert (kind.scope is Scope.STATION) == (place == "0")
    assert (kind.ocpp_error_code, kind.vendor_error_code or "") == (code, vendor)
    # OCPP 1.6 section 4.9 forbids what the manuals show here; the lamp blinks all the same.
    warning = kind.code is FaultCode.EV_COMMUNICATION_ERROR
    assert kind.faulted == (status == "Faulted" and not warning)
    assert kind.lamp_blinks == blinks
