"""Payloads against the schemas: what the schemas themselves let pass."""

from typing import Any

import pytest
from ocpp.exceptions import PropertyConstraintViolationError
from ocpp.messages import get_validator

from ocpp_client.rpc import schemas


def _profile(limit: float) -> dict[str, Any]:
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}]}
    return {
        "connectorId": 1,
        "csChargingProfiles": {
            "chargingProfileId": 1,
            "stackLevel": 0,
            "chargingProfilePurpose": "TxDefaultProfile",
            "chargingProfileKind": "Relative",
            "chargingSchedule": schedule,
        },
    }


@pytest.mark.parametrize("limit", [0, 6.1, 16.05 - 0.05, 32])
def test_a_limit_of_tenths_of_an_ampere_passes(limit: float) -> None:
    schemas.check_call("SetChargingProfile", _profile(limit), lenient=True)


@pytest.mark.parametrize(
    ("action", "payload"),
    [
        ("SetChargingProfile", _profile(1e300)),
        ("SetChargingProfile", _profile(10**30)),
        ("SendLocalList", {"listVersion": 2**63, "updateType": "Full"}),
        ("CancelReservation", {"reservationId": -(2**63) - 1}),
    ],
)
def test_a_number_nobody_can_store_is_refused_as_a_property_out_of_range(action: str, payload: dict[str, Any]) -> None:
    with pytest.raises(PropertyConstraintViolationError):
        schemas.check_call(action, payload, lenient=True)


def test_it_does_not_matter_who_has_asked_for_a_schema_before() -> None:
    get_validator(2, "SetChargingProfile", "1.6", parse_float=float)
    schemas._thorough.cache_clear()
    schemas._compiled.cache_clear()

    schemas.check_call("SetChargingProfile", _profile(6.1), lenient=True)
    with pytest.raises(PropertyConstraintViolationError):
        schemas.check_call("SetChargingProfile", _profile(6.123), lenient=True)
