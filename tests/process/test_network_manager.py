"""The real NetworkManager of Debian, in network and mount namespaces of its own: it sees one cable and nothing else."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from station.domain.network import Method, NetworkSettings, read
from station.host.dbus.network_manager import NetworkManager
from station.host.ports import NetworkUnavailable, TrialIsOver
from tests.station import wait_until
from tests.system_bus import SystemBus

# Starting it, and its links, on a computer that is busy with other things.
PATIENCE_S = 60.0
LONG_S, SHORT_S = 3600, 2
CONFIGURATION = """[main]
plugins=keyfile
dhcp=internal
dns=none
systemd-resolved=false
auth-polkit=false
[keyfile]
unmanaged-devices=interface-name:site0
[logging]
backend=stderr
"""
# What it keeps on disk lies in memory here. A /sys that cannot be written tells it to do without udev.
START = """
mount --make-rprivate / && mount -t sysfs -o ro sysfs /sys || exit 9
for folder in /run/NetworkManager /var/lib/NetworkManager /etc/NetworkManager; do
    mkdir -p $folder && mount -t tmpfs tmpfs $folder || exit 9
done
ip link set lo up && ip link add eth0 type veth peer name site0 && ip link set site0 up || exit 9
exec NetworkManager --no-daemon --config "$1"
"""
FIXED = {
    "ipv4-method": "manual",
    "ipv4-address": "192.168.30.50",
    "ipv4-netmask": "24",
    "ipv4-gateway": "192.168.30.1",
    "ipv4-dns": "192.168.30.1",
    "ipv6-method": "manual",
    "ipv6-address": "fd00:30::50",
    "ipv6-netmask": "64",
}


def missing() -> str:
    if os.geteuid() != 0:
        return "namespaces need root"
    for tool in ("NetworkManager", "dbus-daemon", "ip", "unshare", "nsenter"):
        if shutil.which(tool) is None:
            return f"{tool} is not on this computer"
    probe = "mount --make-rprivate / && mount -t sysfs -o ro sysfs /sys && ip link add eth0 type veth peer name site0"
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c", probe], capture_output=True, text=True, check=False
    )
    return tried.stderr.strip()[-200:] if tried.returncode else ""


LACKING = missing()
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(bool(LACKING), reason=f"NetworkManager cannot be tried: {LACKING}"),
]


class Computer:
    """A NetworkManager in namespaces of its own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process, self.network = process, NetworkManager()

    def within(self, *command: str) -> str:
        inside = ["nsenter", f"--target={self.process.pid}", "--net", "--mount", *command]
        return subprocess.run(inside, capture_output=True, text=True, check=True).stdout

    def is_ready(self) -> bool:
        assert self.process.poll() is None, "NetworkManager has ended"
        try:
            return self.network.external().has_link
        except NetworkUnavailable:
            return False

    def wait_addresses(self, *wanted: str) -> None:
        wait_until(
            lambda: set(wanted) <= set(self.network.external().addresses),
            timeout_s=PATIENCE_S,
            what=f"{wanted} at eth0",
        )

    def saved(self) -> str:
        """Return what would still be there after a power cut."""
        return self.within("sh", "-c", "cat /etc/NetworkManager/system-connections/* 2>/dev/null || true")


@pytest.fixture
def computer(system_bus: SystemBus, tmp_path: Path) -> Iterator[Computer]:
    configuration = tmp_path / "nm.conf"
    configuration.write_text(CONFIGURATION)
    command = ["unshare", "--net", "--mount", "bash", "-c", START, "start", str(configuration)]
    with (tmp_path / "nm.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            computer = Computer(process)
            wait_until(computer.is_ready, timeout_s=PATIENCE_S, what="NetworkManager")
            yield computer
        finally:
            process.terminate()
            process.wait()


def test_a_fixed_address_is_in_force_at_once_and_on_disk_when_it_is_kept(computer: Computer) -> None:
    wanted = read(FIXED)

    trial = computer.network.prepare(wanted, taken_back_after_s=LONG_S)
    computer.network.activate()
    computer.wait_addresses("192.168.30.50/24", "fd00:30::50/64")
    assert "192.168.30.50" not in computer.saved()
    computer.network.keep(trial)

    found = computer.network.external()
    assert found.settings == wanted
    assert found.gateways == ("192.168.30.1",)
    assert found.dns == ("192.168.30.1",)
    assert "192.168.30.50" in computer.saved()
    assert "default via 192.168.30.1" in computer.within("ip", "route")


def test_what_nobody_keeps_is_taken_back_by_itself(computer: Computer) -> None:
    trial = computer.network.prepare(read(FIXED), taken_back_after_s=SHORT_S)
    computer.network.activate()

    wait_until(lambda: not computer.network.is_on_trial(trial), timeout_s=PATIENCE_S, what="the end of the trial")

    wait_until(
        lambda: "192.168.30.50/24" not in computer.network.external().addresses,
        timeout_s=PATIENCE_S,
        what="the old address",
    )
    assert computer.network.external().settings == NetworkSettings()
    with pytest.raises(TrialIsOver):
        computer.network.keep(trial)


def test_the_old_settings_are_back_at_once_when_somebody_wants_it(computer: Computer) -> None:
    trial = computer.network.prepare(read(FIXED), taken_back_after_s=LONG_S)
    computer.network.activate()
    computer.wait_addresses("192.168.30.50/24")

    computer.network.take_back(trial)

    assert computer.network.external().settings == NetworkSettings()


def test_never_as_default_gateway_leaves_no_default_route(computer: Computer) -> None:
    only_lan = FIXED | {"ipv4-gateway": "", "never-default": "true"}

    computer.network.keep(computer.network.prepare(read(only_lan), taken_back_after_s=LONG_S))
    computer.network.activate()
    computer.wait_addresses("192.168.30.50/24")

    assert computer.network.external().settings.never_default
    assert "default" not in computer.within("ip", "route")


@pytest.mark.skipif(shutil.which("dnsmasq") is None, reason="dnsmasq is not on this computer (package dnsmasq-base)")
def test_shared_gives_out_addresses(computer: Computer) -> None:
    trial = computer.network.prepare(read({"ipv4-method": "shared", "ipv6-method": "auto"}), taken_back_after_s=LONG_S)
    computer.network.activate()
    computer.wait_addresses("192.168.30.50/24")

    # Port 67 is the DHCP server's.
    wait_until(
        lambda: ":0043 " in computer.within("cat", "/proc/net/udp"), timeout_s=PATIENCE_S, what="the DHCP server"
    )
    computer.network.keep(trial)
    assert computer.network.external().settings.ipv4.method is Method.SHARED


def test_without_a_cable_settings_can_be_made_and_come_into_force_with_it(computer: Computer) -> None:
    computer.within("ip", "link", "set", "site0", "down")
    wait_until(lambda: not computer.network.external().has_link, timeout_s=PATIENCE_S, what="the loss of the link")

    trial = computer.network.prepare(read(FIXED), taken_back_after_s=LONG_S)
    computer.network.activate()
    computer.network.keep(trial)
    computer.within("ip", "link", "set", "site0", "up")

    computer.wait_addresses("192.168.30.50/24")


def test_without_a_cable_the_old_settings_can_be_restored(computer: Computer) -> None:
    computer.within("ip", "link", "set", "site0", "down")
    wait_until(lambda: not computer.network.external().has_link, timeout_s=PATIENCE_S, what="the loss of the link")
    computer.network.prepare(read(FIXED), taken_back_after_s=LONG_S)

    computer.network.restore(NetworkSettings())

    assert computer.network.external().settings == NetworkSettings()
