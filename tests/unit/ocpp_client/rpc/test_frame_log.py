"""The message log holds no secret, however the frame is written or cut."""

import json
import logging

import pytest

from ocpp_client.rpc import frame_log, frames

SECRET = "k3y-that-nobody-sees"


@pytest.fixture
def lines(tmp_path):
    frame_log.write_to(tmp_path)
    yield (tmp_path / "ocpp.log").read_text
    for handler in frame_log.logger.handlers:
        handler.close()
    frame_log.logger.handlers[:] = [logging.NullHandler()]


@pytest.mark.parametrize("key", ["AuthorizationKey", "authorizationkey", "/cluster/key", "/WebUi/password/reset"])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_secret_key_is_logged_without_its_value(lines, key, swapped):
    payload = {"value": SECRET, "key": key} if swapped else {"key": key, "value": SECRET}
    text = json.dumps([2, "1", "ChangeConfiguration", payload])
    frame_log.received(text, frames.parse(text))
    assert SECRET not in lines()
    assert "ChangeConfiguration" in lines()


def test_passwords_in_addresses_and_cut_values_are_masked(lines):
    address = json.dumps([2, "1", "GetDiagnostics", {"location": f"ftp://user:{SECRET}@host/"}])
    frame_log.received(address, frames.parse(address))
    long = json.dumps([2, "1", "DataTransfer", {"vendorId": "v", "data": "x" * 3900, "password": SECRET * 50}])
    frame_log.sent(long)
    assert SECRET not in lines()


def test_a_line_break_forges_no_second_line(lines):
    frame_log.received("nonsense\n2026 > forged", None)
    assert len(lines().splitlines()) == 1


MISSPELT = ["Authorization_Key", "authKey", "/WebUi/passwort/reset", "/webui/pwd", "AuthorizationKey\0"]


@pytest.mark.parametrize("key", MISSPELT)
def test_a_misspelt_key_of_a_secret_hides_its_value_as_well(lines, key):
    text = json.dumps([2, "1", "ChangeConfiguration", {"key": key, "value": SECRET}])
    frame_log.received(text, frames.parse(text))
    assert SECRET not in lines()


def test_a_secret_inside_of_a_data_transfer_is_hidden(lines):
    data = json.dumps({"key": "/WebUi/password/reset", "value": SECRET})
    text = json.dumps([2, "1", "DataTransfer", {"vendorId": "v", "data": data}])
    frame_log.received(text, frames.parse(text))
    assert SECRET not in lines()
    assert "DataTransfer" in lines()


def test_an_ordinary_key_is_shown_with_its_value(lines):
    text = json.dumps([2, "1", "ChangeConfiguration", {"key": "authorizationCacheEnabled", "value": "false"}])
    frame_log.received(text, frames.parse(text))
    assert '"false"' in lines()
