import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.paths import DataDirectory
from station.processes.plan import Address, AddressIsMalformed, Plan, add_arguments, plan_from, set_environment
from station.processes.preparation import AddressIsTaken, check_addresses


def parsed(*flags: str) -> dict[str, object]:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_arguments(parser)
    return vars(parser.parse_args(flags))


def planned(tmp_path, *flags: str) -> Plan:
    return plan_from(parsed(*flags), DataDirectory(tmp_path).root)


@given(host=st.sampled_from(["127.0.0.1", "localhost", "::1", "0.0.0.0"]), port=st.integers(0, 65_535))
def test_an_address_survives_being_written_and_read(host: str, port: int) -> None:
    assert Address.parse(str(Address(host, port))) == Address(host, port)


@pytest.mark.parametrize("text", ["", "8080", ":8080", "host:", "host:99999", "host:-1", "host:8o80", "host:٣"])
def test_a_malformed_address_is_refused(text: str) -> None:
    with pytest.raises(AddressIsMalformed):
        Address.parse(text)


def test_the_control_api_implies_simulation(tmp_path) -> None:
    assert planned(tmp_path, "--no-https", "--http", "127.0.0.1:0", "--sim-control", "127.0.0.1:0").simulate


@pytest.mark.parametrize("flag", ["--sim-control", "--demo-backend", "--display"])
def test_what_must_stay_local_cannot_be_opened_to_the_network(flag: str) -> None:
    with pytest.raises(argparse.ArgumentError, match="reached from outside"):
        parsed(flag, "0.0.0.0:9000")


def test_https_is_on_unless_it_is_switched_off(tmp_path) -> None:
    assert planned(tmp_path, "--http", "127.0.0.1:0").https is not None
    assert planned(tmp_path, "--http", "127.0.0.1:0", "--no-https").https is None


def test_port_zero_becomes_a_free_port(tmp_path) -> None:
    plan = planned(tmp_path, "--http", "127.0.0.1:0", "--no-https")

    assert plan.http.port > 0
    assert plan.http.occupied_by_another() is None


@pytest.mark.parametrize("address", ["203.0.113.7:18791", "203.0.113.7:0"])
def test_an_address_of_another_computer_is_refused_in_words(tmp_path, address: str) -> None:
    with pytest.raises(AddressIsTaken, match=rf"--http {address} cannot be opened: .*another address"):
        check_addresses(planned(tmp_path, "--http", address))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["runstation"], {"STATION_HTTPS": "1"}),
        (["runstation", "--no-https", "--simulate"], {"STATION_HTTPS": "0", "STATION_SIMULATE": "1"}),
        (["runstation", "--sim-control=127.0.0.1:1"], {"STATION_HTTPS": "1", "STATION_SIMULATE": "1"}),
        (["runprocess", "ocpp"], {}),
        (["config", "list", "--simulate"], {}),
    ],
)
def test_flags_become_settings_before_django_reads_them(arguments: list[str], expected: dict[str, str]) -> None:
    environment: dict[str, str] = {}

    set_environment(arguments, environment)

    assert environment == expected
