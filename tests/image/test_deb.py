"""The Debian package on a Debian 12 machine: installed, upgraded and purged in a container that systemd has booted."""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.image import packages
from scripts.image.base import base_tree
from scripts.image.tree import DEPLOY, IMAGE
from scripts.pinned import ROOT
from tests.image.debian_machine import DebianMachine

CACHE = Path(os.environ.get("STATION_IMAGE_CACHE") or "/var/tmp/station-image")  # noqa: S108 - as in scripts/image
BUILD_S, BOOT_S, INSTALL_S, READY_S = 600.0, 60.0, 300.0, 120.0
DATA = "/var/lib/station"
# Debian's own: what the system notes about itself while time passes, and backups of its lists of users.
NOTED = re.compile(
    r"^/(tmp/|var/(tmp|log|cache|lib/(dpkg|apt|systemd|NetworkManager|redis))|etc/(passwd-|shadow-|group-|gshadow-|\.pwd\.lock)|root/)"
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("deb"), "1.0")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[DebianMachine]:
    lists = [(DEPLOY / "packages.txt").read_text(), (IMAGE / "packages.txt").read_text()]
    tree = base_tree(CACHE, packages.chosen(lists, "amd64"), "amd64")
    with DebianMachine(tree, tmp_path, boot_s=BOOT_S) as started:
        yield started


def build(output: Path, version: str) -> Path:
    subprocess.run(
        [ROOT / "scripts" / "build-deb", "--version", version, "--output", output], check=True, timeout=BUILD_S
    )
    return output / f"station_{version}_amd64.deb"


def later(package: Path, folder: Path) -> Path:
    """Return the same package as a later version."""
    tree, copy = folder / "tree", folder / "station_1.1_amd64.deb"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(control.read_text().replace("Version: 1.0\n", "Version: 1.1\n"))
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, copy], check=True)
    return copy


def install(machine: DebianMachine, package: Path) -> str:
    machine.bring(package)
    return machine.run("dpkg", "--install", f"/root/{package.name}", timeout_s=INSTALL_S)


def health(machine: DebianMachine) -> dict[str, object]:
    """Return what the page says about the station, once it answers."""
    ask = (
        "import urllib.request as u, urllib.error as e\n"
        "try: print(u.urlopen('http://127.0.0.1/healthz', timeout=5).read().decode())\n"
        "except e.HTTPError as answer: print(answer.read().decode())"
    )
    deadline = time.monotonic() + READY_S
    while True:
        try:
            answer: dict[str, object] = json.loads(machine.run("/usr/bin/python3", "-c", ask))
        except (subprocess.CalledProcessError, ValueError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return answer


def files(machine: DebianMachine) -> set[str]:
    return {name for name in machine.run("find", "/", "-xdev").splitlines() if not NOTED.match(name)}


def units_of(machine: DebianMachine, state: str) -> set[str]:
    lines = machine.run(
        "systemctl", "list-units", f"--state={state}", "--plain", "--no-legend", "station*"
    ).splitlines()
    return {line.split()[0] for line in lines}


def test_a_package_installs_without_a_question_keeps_everything_and_leaves_no_trace(
    machine: DebianMachine, package: Path, tmp_path: Path
):
    before, networks = files(machine), machine.run("nft", "list", "ruleset")
    enabled = machine.run("systemctl", "list-unit-files", "--state=enabled,masked", "--no-legend", "--plain")

    told = install(machine, package)

    # Green, and the page answers with an honest reason: nobody has described the hardware yet.
    reasons = json.dumps(health(machine))
    assert '"ready": false' in reasons
    assert "hardware" in reasons
    assert {"station.target", "station-web.service", "station-ocpp.service"} <= units_of(machine, "active")
    assert units_of(machine, "failed") == set()
    assert "station.target" in machine.run("systemctl", "list-unit-files", "--state=enabled", "--no-legend", "--plain")
    # Nobody's network or terminal is taken over.
    assert machine.run("nft", "list", "ruleset") == networks
    now_enabled = machine.run("systemctl", "list-unit-files", "--state=enabled,masked", "--no-legend", "--plain")
    assert {line.split()[0] for line in now_enabled.splitlines()} - {
        line.split()[0] for line in enabled.splitlines()
    } == {"station.target"}
    assert [name for name in files(machine) - before if name.startswith("/etc/NetworkManager")] == []
    # The password is in a file of the station's, not in what was printed.
    password = machine.run("cat", f"{DATA}/factory_password.txt").strip()
    assert password
    assert password not in told
    assert password not in machine.run("journalctl", "--no-pager")
    serial = machine.run("stationctl", "config", "get", "/identity/serial").strip()

    machine.run("sh", "-c", "echo '# mine' >>/etc/station/station.env")
    install(machine, later(package, tmp_path))

    health(machine)
    assert machine.run("stationctl", "config", "get", "/identity/serial").strip() == serial
    assert machine.run("tail", "-n1", "/etc/station/station.env") == "# mine\n"
    assert units_of(machine, "failed") == set()

    kept = machine.run("dpkg", "--purge", "station", timeout_s=INSTALL_S)

    assert DATA in kept
    assert machine.run("stat", "--format=%U", f"{DATA}/station.sqlite3") == "station\n"
    left = {name for name in files(machine) - before if not name.startswith(DATA)}
    assert left == set()
    assert units_of(machine, "active") | units_of(machine, "failed") == set()

    install(machine, package)
    assert machine.run("stationctl", "config", "get", "/identity/serial").strip() == serial
    machine.run("sh", "-c", "echo 'station station/remove-data boolean true' | debconf-set-selections")
    machine.run("dpkg", "--purge", "station", timeout_s=INSTALL_S)

    assert files(machine) ^ before == set()
    assert "station" not in machine.run("cut", "-d:", "-f1", "/etc/passwd", "/etc/group").split()
