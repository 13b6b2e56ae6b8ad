"""One boot of the test image in a virtual machine: it charges, its network is on trial, and nothing else listens."""

import re
import shlex
import time
from ipaddress import IPv4Address, IPv4Interface

import pytest

from tests.image.bench import BY_DHCP, FIXED, PATIENCE_S, ROUTER, SERIAL, SHARED, UPLINK, Bench
from tests.station import wait_until

# station.domain.network.TRIAL_S and the seconds until the change begins.
TRIAL_S = 62
# What may listen at an address that can be reached (deploy/station.nft decides who reaches it).
WEB = {80, 443}
TEST_ONLY = {8601}
# An address of the site that nobody has, for a laptop that knocks.
LAPTOP = IPv4Address("192.168.30.99")
# The station at its service port, and whoever sits there.
OWN = "192.168.32.1"
USB_CARDS = (
    "for card in /sys/class/net/*; do case $(readlink $card/device/driver) in *cdc_*) basename $card;; esac; done"
)
ASK_HEALTH = f"""
import ssl, urllib.request
unknown = ssl._create_unverified_context()
with urllib.request.urlopen("https://{OWN}/healthz", timeout=60, context=unknown) as answer:
    print(answer.status, answer.read().decode())
"""


def test_the_station_is_ready_to_charge_and_shows_its_log_in_page(bench: Bench) -> None:
    status, page = bench.person.ask("GET", "/login")

    assert bench.health()[0] == 200
    assert status == 200
    assert SERIAL in page
    assert bench.person.ask("GET", "/")[0] == 302


def test_no_unit_has_failed(bench: Bench) -> None:
    assert bench.machine.run("systemctl --failed --no-legend --plain") == ""


def test_the_factorys_file_is_gone_and_its_password_in_no_journal(bench: Bench) -> None:
    bench.machine.run("test -d /efi/grub && test ! -e /efi/station-provision.json")

    assert bench.machine.run("journalctl --no-pager | grep -c TESTPASSW0RD || true").strip() == "0"


def test_the_root_file_system_cannot_be_written(bench: Bench) -> None:
    status, _ = bench.machine.try_run("touch /opt/station/written || touch /usr/written")

    assert status != 0


def test_a_session_is_booked_at_the_backend_with_the_energy_of_the_meter(bench: Bench) -> None:
    bench.connect_to_backend()
    before_wh = bench.connector(2)["energy_wh"]

    begun = bench.begin_session(2)
    wait_until(lambda: bench.connector(2)["energy_wh"] > before_wh + 20, timeout_s=PATIENCE_S, what="20 Wh")
    bench.sim("/connectors/2/unplug")

    ended = bench.backend.wait_for("StopTransaction", timeout=PATIENCE_S).payload
    after_wh = bench.connector(2)["energy_wh"]
    assert begun["meterStart"] == pytest.approx(before_wh, abs=1)
    assert ended["meterStop"] == pytest.approx(after_wh, abs=1)
    assert ended["reason"] == "EVDisconnected"
    assert bench.backend.books.open_transactions() == []
    assert bench.backend.books.irregularities == []
    assert bench.backend.schema_errors == []


def test_network_settings_that_nobody_confirms_are_taken_back_after_a_minute(bench: Bench) -> None:
    bench.person.sign_in()
    begun_s = time.monotonic()
    fixed = {"ipv4_method": "manual", "ipv4_address": FIXED, "ipv4_netmask": "24", "ipv4_gateway": ROUTER}

    bench.person.change_network(**fixed)
    bench.address = FIXED
    bench.person.wait_reached(timeout_s=TRIAL_S)
    assert FIXED not in bench.machine.run("cat /etc/NetworkManager/system-connections/* 2>/dev/null || true")

    bench.address = BY_DHCP
    bench.person.wait_reached()
    assert time.monotonic() - begun_s > TRIAL_S - 5
    assert FIXED not in bench.machine.run("ip -4 address show eth0")


def test_shared_mode_is_kept_when_it_is_confirmed_at_the_new_address(bench: Bench) -> None:
    ticket = bench.person.change_network(ipv4_method="shared", ipv4_address=SHARED, ipv4_netmask="24")
    bench.address = SHARED
    bench.person.wait_reached(timeout_s=TRIAL_S)
    link = f"/network/here/{ticket}"
    wait_until(lambda: bench.person.send(link, {}, form=link)[0] == 302, timeout_s=TRIAL_S, what="a confirmation")

    profile = bench.machine.run("cat /etc/NetworkManager/system-connections/*")
    assert re.search(r"method=shared", profile)
    assert SHARED in profile


def test_a_computer_gets_an_address_from_a_station_in_shared_mode_and_reaches_the_world_through_it(
    bench: Bench,
) -> None:
    with_router_s = 60.0
    lease = bench.laptop.ask_for_address(ignored={ROUTER}, timeout_s=with_router_s)

    assert lease is not None, bench.machine.run("journalctl -u NetworkManager --no-pager | tail -30")
    assert str(lease.server) == str(lease.router) == SHARED
    # The backend of this computer, by way of the station and its uplink.
    reached = bench.laptop.open_ports(
        IPv4Address(f"{UPLINK}.2"), lease.server_mac, [bench.backend.port], own=lease.address, wait_s=10
    )
    assert reached == {bench.backend.port}


def test_nothing_can_be_reached_but_the_web_interface(bench: Bench) -> None:
    station = IPv4Address(bench.address)
    mac = bench.laptop.mac_of(station, own=LAPTOP)
    assert mac is not None
    # DNS for the stations behind it belongs to shared mode.
    names = {53} if bench.address == SHARED else set()

    found = bench.laptop.open_ports(station, mac, [*range(1, 1025), 6379, 8000, 8080, 8600, 8601], own=LAPTOP)

    assert found == WEB | TEST_ONLY | names


def test_what_listens_at_all_is_known(bench: Bench) -> None:
    listening = bench.machine.run("ss --listening --tcp --no-header --numeric | awk '{print $4}'").split()
    open_to_all = {int(place.rpartition(":")[2]) for place in listening if not re.match(r"127\.|\[::1\]", place)}

    assert open_to_all <= WEB | TEST_ONLY | {53}


def test_a_laptop_at_the_service_port_gets_an_address_and_the_pages_and_no_way_to_the_world(bench: Bench) -> None:
    machine = bench.machine
    # A USB socket that can play a network card, with a cable back to this computer: the other end is the laptop's.
    machine.run("modprobe dummy_hcd && modprobe g_ether")
    wait_until(lambda: OWN in machine.run("ip -4 -o address show dev service0", check=False), timeout_s=PATIENCE_S)
    port = wait_until(lambda: machine.run(USB_CARDS).strip(), timeout_s=PATIENCE_S, what="the laptop's network card")

    def address() -> str:
        return machine.run(f"nmcli --get-values IP4.ADDRESS device show {port}", check=False).strip()

    given = wait_until(address, timeout_s=PATIENCE_S, what=f"a lease for {port}")
    way_out = machine.run(f"nmcli --get-values IP4.GATEWAY,IP4.DNS device show {port}").strip()
    machine.run(f"ip netns add laptop && ip link set {port} netns laptop && ip -n laptop link set {port} up")
    try:
        machine.run(f"ip -n laptop address add {given} dev {port}")
        said = machine.run(f"ip netns exec laptop /usr/bin/python3 -c {shlex.quote(ASK_HEALTH)}")
    finally:
        machine.run("ip netns delete laptop; modprobe --remove g_ether dummy_hcd")

    assert IPv4Interface(given) in IPv4Interface(f"{OWN}/24").network
    assert way_out == ""
    assert said.startswith("200 ")
