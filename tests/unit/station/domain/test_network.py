"""What an installer types as network settings, and what the station makes of it."""

import ipaddress
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.domain.network import (
    SHARED_DEFAULT,
    FamilySettings,
    Method,
    NetworkSettings,
    SettingsRefused,
    read,
    trimmed,
)

FIXED = {
    "ipv4-method": "manual",
    "ipv4-address": "192.168.30.50",
    "ipv4-netmask": "255.255.255.0",
    "ipv6-method": "auto",
}


def refused(**changes: str) -> dict[str, str]:
    fields = FIXED | {name.replace("_", "-"): value for name, value in changes.items()}
    with pytest.raises(SettingsRefused) as refusal:
        read(fields)
    return {each.field: each.code for each in refusal.value.problems}


def taken(**changes: str) -> NetworkSettings:
    return read(FIXED | {name.replace("_", "-"): value for name, value in changes.items()})


@pytest.mark.parametrize("netmask", ["255.255.255.0", "24", "/24", " 24 ", "255,255,255,0", "255.255.255.0,"])
def test_a_netmask_is_read_in_every_form_people_write(netmask: str) -> None:
    assert taken(ipv4_netmask=netmask).ipv4.interface == ipaddress.ip_interface("192.168.30.50/24")


def test_an_address_may_bring_its_netmask() -> None:
    assert taken(ipv4_address="192.168.30.50/25", ipv4_netmask="").ipv4.interface.network.prefixlen == 25
    assert refused(ipv4_address="192.168.30.50/25") == {"ipv4-netmask": "contradicts_address"}


def test_gateway_and_dns_may_be_empty() -> None:
    settings = taken()

    assert (settings.ipv4.gateway, settings.ipv4.dns) == (None, None)
    assert settings.fixed_addresses == ("192.168.30.50",)


@pytest.mark.parametrize("typed", [" 192.168.30.50", "192.168.30.50,", "\t192.168.30.50 ; ", "192,168,30,50"])
def test_blanks_and_commas_do_not_matter(typed: str) -> None:
    assert taken(ipv4_address=typed).ipv4.interface.ip == ipaddress.ip_address("192.168.30.50")


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("192.168.32.5", "service_network"),
        ("192.168.32.1", "service_network"),
        ("192.168.30.0", "network_address"),
        ("192.168.30.255", "broadcast_address"),
        ("224.0.0.5", "multicast"),
        ("127.0.0.1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "reserved"),
        ("255.255.255.255", "unspecified"),
        ("250.1.1.1", "reserved"),
        ("169.254.3.4", "link_local"),
        ("192.168.30", "no_address"),
        ("192.168.030.050", "no_address"),
        ("192.168.30.256", "no_address"),
        ("station", "no_address"),
        ("fd00::1", "other_family"),
        ("", "address_missing"),
    ],
)
def test_an_address_that_no_station_can_have_is_refused(address: str, code: str) -> None:
    assert refused(ipv4_address=address) == {"ipv4-address": code}


@pytest.mark.parametrize(
    ("netmask", "code"),
    [
        ("", "netmask_missing"),
        ("255.0.255.0", "no_netmask"),
        ("0.0.0.255", "no_netmask"),
        ("33", "prefix_out_of_range"),
        ("31", "prefix_out_of_range"),
        ("0", "prefix_out_of_range"),
        ("255.255.255.255", "prefix_out_of_range"),
        ("024", "no_netmask"),
        ("٢٤", "no_netmask"),
        ("C", "no_netmask"),
    ],
)
def test_a_netmask_that_is_none_is_refused(netmask: str, code: str) -> None:
    assert refused(ipv4_netmask=netmask) == {"ipv4-netmask": code}


@pytest.mark.parametrize(
    ("gateway", "code"),
    [
        ("192.168.31.1", "gateway_outside"),
        ("192.168.30.255", "gateway_outside"),
        ("192.168.30.50", "gateway_is_station"),
        ("192.168.32.1", "service_network"),
        ("router", "no_address"),
    ],
)
def test_a_gateway_that_cannot_be_reached_is_refused(gateway: str, code: str) -> None:
    assert refused(ipv4_gateway=gateway) == {"ipv4-gateway": code}


def test_a_gateway_that_is_never_used_is_named() -> None:
    assert refused(ipv4_gateway="192.168.30.1", never_default="true") == {"ipv4-gateway": "gateway_unused"}
    assert taken(never_default="true").never_default


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("fe80::1", "link_local"),
        ("fd00::1%eth0", "no_address"),
        ("::ffff:192.168.30.50", "no_address"),
        ("ff02::1", "multicast"),
        ("::1", "loopback"),
        ("::", "unspecified"),
        ("fd00:::1", "no_address"),
        ("fd00::12345", "no_address"),
        ("192.168.30.50", "other_family"),
    ],
)
def test_ipv6_nonsense_is_refused(address: str, code: str) -> None:
    assert refused(ipv6_method="manual", ipv6_address=address, ipv6_netmask="64") == {"ipv6-address": code}


def test_ipv6_takes_a_gateway_that_the_router_gave_itself() -> None:
    settings = taken(ipv6_method="manual", ipv6_address="FD00:30::50", ipv6_netmask="/64", ipv6_gateway="fe80::1")

    assert settings.ipv6 == FamilySettings(
        method=Method.MANUAL,
        interface=ipaddress.ip_interface("fd00:30::50/64"),
        gateway=ipaddress.ip_address("fe80::1"),
    )


def test_shared_has_a_network_of_its_own_which_is_never_that_of_the_service_port() -> None:
    shared = taken(ipv4_method="shared", ipv4_address="", ipv4_netmask="")
    assert shared.ipv4 == FamilySettings(method=Method.SHARED, interface=SHARED_DEFAULT)

    assert refused(ipv4_method="shared", ipv4_address="192.168.33.1", ipv4_netmask="16") == {
        "ipv4-address": "service_network"
    }
    assert refused(ipv6_method="shared") == {"ipv6-method": "unknown_method"}


def test_fields_that_a_method_does_not_have_are_left_alone() -> None:
    settings = taken(ipv4_method="auto", ipv4_address="nonsense", ipv4_gateway="more of it")

    assert settings.ipv4 == FamilySettings(method=Method.AUTO)


def test_all_that_is_wrong_is_said_at_once() -> None:
    assert set(refused(ipv4_netmask="x", ipv4_dns="y", ipv6_method="")) == {"ipv4-netmask", "ipv4-dns", "ipv6-method"}


@given(
    st.dictionaries(st.sampled_from([*FIXED, "ipv4-gateway", "ipv4-dns", "ipv6-address", "never-default"]), st.text())
)
def test_whatever_is_typed_is_taken_or_refused(typed: dict[str, str]) -> None:
    with suppress(SettingsRefused):
        settings = read(FIXED | typed)

        assert NetworkSettings.from_stored(settings.stored()) == settings


@given(st.text())
def test_trimming_twice_is_trimming_once(text: str) -> None:
    assert trimmed(trimmed(text)) == trimmed(text)
