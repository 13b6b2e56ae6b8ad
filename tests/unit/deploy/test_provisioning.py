"""What the factory writes for a station: what is taken, what is refused and why."""

import json

import pytest

from station.services.provisioning import ProvisioningRefused, parse

PASSWORD = "ZD5HM8RT3VNE"
GOOD = {"serial": "100012345", "factoryPassword": PASSWORD}


def test_serial_and_password_are_enough():
    given = parse(json.dumps(GOOD))

    assert (given.serial, given.password, given.hardware) == ("100012345", PASSWORD, None)


def test_every_entry_becomes_a_configuration_key():
    given = parse(json.dumps(GOOD | {"connectors": 1, "socketLock": False, "masterKey": "04A1B2C3", "hardware": {}}))

    assert given.values["/identity/connectors"] == "1"
    assert given.values["/identity/socketLock"] == "false"
    assert (given.master_key, given.hardware) == ("04A1B2C3", {})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("[]", "no JSON object"),
        ('"100012345"', "no JSON object"),
        (json.dumps({"serial": "100012345"}), "“factoryPassword” is missing"),
        (json.dumps({"factoryPassword": PASSWORD}), "“serial” is missing"),
        (json.dumps(GOOD | {"serial": ""}), "“serial” is missing"),
        (json.dumps(GOOD | {"serial": "x" * 26}), "“serial” is not allowed: up to 25"),
        (json.dumps(GOOD | {"serial": ["1"]}), "“serial” is not allowed"),
        (json.dumps(GOOD | {"connectors": 3}), "“connectors” is not allowed: 1, 2"),
        (json.dumps(GOOD | {"connectors": {}}), "“connectors” is not allowed"),
        (json.dumps(GOOD | {"masterKey": "04"}), "“masterKey” is no card number"),
        (json.dumps(GOOD | {"masterKey": 4}), "“masterKey” is no card number"),
        (json.dumps(GOOD | {"sreial": "1"}), "“sreial” is unknown"),
        ('{"serial": "1", "serial": "2", "factoryPassword": "ZD5HM8RT3VNE"}', "“serial” is named twice"),
    ],
)
def test_a_mistake_is_refused_with_what_to_do(text, why):
    with pytest.raises(ProvisioningRefused) as refused:
        parse(text)

    assert why in str(refused.value)
    assert PASSWORD not in str(refused.value)


def test_a_password_that_is_too_short_is_refused_without_repeating_it():
    with pytest.raises(ProvisioningRefused) as refused:
        parse(json.dumps(GOOD | {"factoryPassword": "geheim"}))

    assert "8 to 128 characters" in str(refused.value)
    assert "geheim" not in str(refused.value)


def test_every_mistake_is_named_at_once():
    with pytest.raises(ProvisioningRefused) as refused:
        parse(json.dumps({"serial": "100012345", "connectors": 9, "other": 1}))

    assert all(name in str(refused.value) for name in ("factoryPassword", "connectors", "other"))
