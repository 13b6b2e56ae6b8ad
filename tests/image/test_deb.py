"""The Debian package on a Debian 12 machine: installed, upgraded and purged in a container that systemd has booted."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.image import packages
from scripts.image.base import base_tree
from scripts.image.tree import DEPLOY, IMAGE
from scripts.pinned import ROOT
from tests.image import built
from tests.image.containers import Container
from tests.station import wait_until

# Two installations, an upgrade and two purges take minutes: too long for the short form.
pytestmark = pytest.mark.long

CACHE = Path(os.environ.get("STATION_IMAGE_CACHE") or "/var/tmp/station-image")  # noqa: S108 - as in scripts/image
BUILD_S, INSTALL_S, READY_S = 600.0, 300.0, 120.0
DATA = "/var/lib/station"
# Debian's own: what the system notes about itself while time passes, and backups of its lists of users.
NOTED = re.compile(
    r"^/(tmp/|var/(tmp|log|cache|lib/(dpkg|apt|systemd|NetworkManager|redis))|etc/(passwd-|shadow-|group-|gshadow-|\.pwd\.lock)|root/)"
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("deb"), "1.0")


@pytest.fixture
def machine() -> Iterator[Container]:
    lists = [(DEPLOY / "packages.txt").read_text(), (IMAGE / "packages.txt").read_text()]
    tree = base_tree(CACHE, packages.chosen(lists, "amd64"), "amd64")
    scratch = built.scratch_directory()
    with Container.boot(tree, scratch) as container:
        # What a boot leaves behind must not be taken for the package's; degraded is up, too.
        container.run("systemctl", "is-system-running", "--wait", check=False)
        yield container
    built.clear(scratch)


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


def install(machine: Container, package: Path, *, check: bool = True) -> str:
    shutil.copyfile(package, machine.root / "root" / package.name)
    return dpkg(machine, "--install", f"/root/{package.name}", check=check)


def dpkg(machine: Container, *arguments: str, check: bool = True) -> str:
    """Run dpkg with nobody at the terminal; return everything it says."""
    done = machine.run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", *arguments, timeout_s=INSTALL_S, check=check)
    return done.stdout + done.stderr


def wait_for_the_page(machine: Container) -> None:
    """Wait until the page answers, with an honest reason: nobody has described the hardware yet."""
    wait_until(lambda: "hardware_missing" in machine.reasons(), timeout_s=READY_S, what="the reason on the page")


def files(machine: Container) -> set[str]:
    return {name for name in machine.said("find", "/", "-xdev").splitlines() if not NOTED.match(name)}


def units_of(machine: Container, state: str) -> set[str]:
    lines = machine.said(
        "systemctl", "list-units", f"--state={state}", "--plain", "--no-legend", "station*"
    ).splitlines()
    return {line.split()[0] for line in lines}


def test_a_package_installs_without_a_question_keeps_everything_and_leaves_no_trace(
    machine: Container, package: Path, tmp_path: Path
):
    before, networks = files(machine), machine.said("nft", "list", "ruleset")
    enabled = machine.said("systemctl", "list-unit-files", "--state=enabled,masked", "--no-legend", "--plain")

    told = install(machine, package)

    wait_for_the_page(machine)
    assert {"station.target", "station-web.service", "station-ocpp.service"} <= units_of(machine, "active")
    assert units_of(machine, "failed") == set()
    assert "station.target" in machine.said("systemctl", "list-unit-files", "--state=enabled", "--no-legend", "--plain")
    # Nobody's network or terminal is taken over.
    assert machine.said("nft", "list", "ruleset") == networks
    now_enabled = machine.said("systemctl", "list-unit-files", "--state=enabled,masked", "--no-legend", "--plain")
    assert {line.split()[0] for line in now_enabled.splitlines()} - {
        line.split()[0] for line in enabled.splitlines()
    } == {"station.target"}
    assert [name for name in files(machine) - before if name.startswith("/etc/NetworkManager")] == []
    # The password is in a file of the station's, not in what was printed.
    password = machine.said("cat", f"{DATA}/factory_password.txt")
    assert password
    assert password not in told
    assert password not in machine.said("journalctl", "--no-pager")
    serial = machine.said("stationctl", "config", "get", "/identity/serial")
    assert "Befehle der Station" in machine.said("stationctl", "help", "--lang", "de")
    # What would empty the tables is a developer's.
    assert machine.run("stationctl", "flush", "--no-input", check=False).returncode == 2

    machine.said("sh", "-c", "echo '# mine' >>/etc/station/station.env")
    install(machine, later(package, tmp_path))

    wait_for_the_page(machine)
    assert machine.said("stationctl", "config", "get", "/identity/serial") == serial
    assert machine.said("tail", "-n1", "/etc/station/station.env") == "# mine"
    assert units_of(machine, "failed") == set()

    kept = dpkg(machine, "--purge", "station")

    assert DATA in kept
    assert machine.said("stat", "--format=%U", f"{DATA}/station.sqlite3") == "station"
    left = {name for name in files(machine) - before if not name.startswith(DATA)}
    assert left == set()
    assert units_of(machine, "active") | units_of(machine, "failed") == set()

    install(machine, package)
    assert machine.said("stationctl", "config", "get", "/identity/serial") == serial
    machine.said("sh", "-c", "echo 'station station/remove-data boolean true' | debconf-set-selections")
    dpkg(machine, "--purge", "station")

    assert files(machine) ^ before == set()
    assert "station" not in machine.said("cut", "-d:", "-f1", "/etc/passwd", "/etc/group").split()


def test_a_user_of_the_name_who_was_there_before_stays_theirs(machine: Container, package: Path) -> None:
    machine.said("useradd", "--create-home", "--shell", "/bin/bash", "station")

    refused = install(machine, package, check=False)

    assert "Rename the account" in refused
    assert not (machine.root / "opt/station").exists()
    machine.said("usermod", "--login", "stefan", "station")
    machine.said("groupmod", "--new-name", "stefan", "station")
    machine.said("useradd", "--system", "--home", "/srv/station", "--shell", "/usr/sbin/nologin", "station")
    before = machine.said("getent", "passwd", "station")

    install(machine, package)
    wait_for_the_page(machine)
    machine.said("sh", "-c", "echo 'station station/remove-data boolean true' | debconf-set-selections")
    dpkg(machine, "--purge", "station")

    assert machine.said("getent", "passwd", "station") == before
    assert not (machine.root / DATA.lstrip("/")).exists()
