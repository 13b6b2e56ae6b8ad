"""Messages of the `ocpp` package and their JSON objects."""

import json
from dataclasses import fields, is_dataclass

import pytest
from ocpp.messages import get_validator
from ocpp.v16 import call
from ocpp.v16.datatypes import MeterValue, SampledValue
from ocpp.v16.enums import Action, UploadLogStatus

from ocpp_client.rpc.messages import arguments_of, message_of, payload_of


@pytest.mark.parametrize("action", list(Action))
def test_every_field_is_named_as_in_the_schema(action):
    known = get_validator(2, action, "1.6").schema.get("properties", {})

    message = getattr(call, action)(**{field.name: "x" for field in fields(getattr(call, action))})

    assert set(payload_of(message)) <= set(known)


def test_dataclasses_inside_are_written_and_empty_fields_left_out():
    message = call.MeterValues(
        connector_id=1, meter_value=[MeterValue(timestamp="now", sampled_value=[SampledValue(value="1")])]
    )

    assert json.loads(json.dumps(payload_of(message))) == {
        "connectorId": 1,
        "meterValue": [{"timestamp": "now", "sampledValue": [{"value": "1"}]}],
    }


def test_plain_objects_inside_stay_as_they_are():
    profile = {"chargingProfileId": 1, "some_thing": [1.5]}

    assert payload_of(call.SetChargingProfile(1, profile)) == {"connectorId": 1, "csChargingProfiles": profile}


def test_unknown_fields_of_a_request_are_left_out():
    payload = {"connectorId": 1, "type": "Operative", "self": 3, "at": 4, "customData": {}}

    assert arguments_of("ChangeAvailability", payload) == {"connector_id": 1, "type": "Operative"}


def test_the_schema_says_which_fields_a_message_must_have():
    message = message_of("LogStatusNotification", {"status": "Idle"})

    assert is_dataclass(message)
    assert message.status == UploadLogStatus.idle
    assert payload_of(message) == {"status": "Idle"}
