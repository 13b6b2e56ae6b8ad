"""What a service of the station may do: the directives of its unit, and systemd's own judgement of them."""

import os
import re
import shutil
import subprocess

import pytest

from station.domain.crash_guard import CRASHES
from station.host import boot_memory, factory_file
from station.paths import INSTALLED, DataDirectory
from station.processes.child import ENERGY_IS_ON, RESTART_SIGNAL
from tests.units import DEPLOY, PROCESSES, SERVICES, Unit

# What is only in test images is not looked at.
UNITS = sorted(
    [*DEPLOY.glob("*.service"), *DEPLOY.glob("vendor/*.service"), *DEPLOY.glob("image/root/**/*.service")],
    key=lambda path: path.name,
)
# systemd counts what a service could do, from 0 to 10.
MOST_EXPOSURE = 2.0
# A person signs in there with a password: login is root, and changes to that person.
MORE_EXPOSURE = {"station-vendor-local.service": 3.2}
EVERY_SERVICE = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateMounts": "yes",
    "PrivateIPC": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectControlGroups": "yes",
    "ProtectHostname": "yes",
    "ProtectProc": "invisible",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "SystemCallArchitectures": "native",
    "KeyringMode": "private",
    "RemoveIPC": "yes",
    "UMask": "0077",
    "User": "station",
    "StateDirectoryMode": "0700",
    "MemorySwapMax": "0",
}
# Tries a service again that has ended too often.
AGAIN = "station-again@.service"
# Lets every start of the target be a fresh try.
FRESH = "station-fresh.service"
# How long each may be silent before systemd replaces it.
SILENCE = {"hardware": "5s", "ocpp": "30s", "redis": "6s", "web": "30s", "worker": "2min"}
# Known only to a systemd newer than that of Debian 12, which ignores them without a word to anybody.
TOO_NEW = {"RestartSteps", "RestartMaxDelaySec", "RestartMode", "MemoryZSwapMax", "ImportCredential", "OpenFile"}

# The one right beyond those of everybody that a process has, and what for.
RIGHTS = {
    "firewall": "CAP_NET_ADMIN",  # no process of the product has it
    "hardware": "CAP_NET_BIND_SERVICE",  # Modbus TCP, port 502
    "ocpp": "CAP_SYS_TIME",  # the backend's time, while no time service keeps the clock
    "prepare": "CAP_NET_BIND_SERVICE",  # port 80, in the place of web while the disk is full
    "web": "CAP_NET_BIND_SERVICE",  # ports 80 and 443
}

# What the two ways in for the vendor have in common with every service.
EVERY_ACCESS = {
    key: value
    for key, value in EVERY_SERVICE.items()
    # Each has a home directory and looks at the processes; they store nothing for the station.
    if key not in {"ProtectHome", "ProtectProc", "User", "StateDirectoryMode"}
}

FAMILIES = {"firewall": {"AF_NETLINK"}, "prepare": {"AF_NETLINK"}}


def test_every_unit_is_looked_at():
    assert {path.name for path in DEPLOY.glob("*.service")} == {
        *(f"station-{service}.service" for service in SERVICES),
        AGAIN,
        FRESH,
    }


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_may_do_nothing_that_it_does_not_need(service):
    unit = Unit.read(service)

    assert {key: unit.one(key) for key in EVERY_SERVICE} == EVERY_SERVICE
    assert unit.all("SystemCallFilter")[:2] == ["@system-service", "~@privileged @resources"]
    assert unit.one("CapabilityBoundingSet") == RIGHTS.get(service, "")
    assert unit.one("AmbientCapabilities") == RIGHTS.get(service, "")
    assert {"AF_UNIX", "AF_INET", "AF_INET6"} >= set(unit.one("RestrictAddressFamilies").split()) - FAMILIES.get(
        service, set()
    )
    # Nothing outside the data directory (StateDirectory) is opened for writing.
    assert not unit.all("ReadWritePaths")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_cannot_take_all_memory_or_all_processes(service):
    unit = Unit.read(service)

    assert re.fullmatch(r"\d+M", unit.one("MemoryMax"))
    assert 0 < int(unit.one("TasksMax")) <= 64


@pytest.mark.parametrize("service", sorted(set(SERVICES) - {"hardware", "prepare"}))
def test_only_the_hardware_process_and_who_withdraws_energy_before_it_see_devices(service):
    unit = Unit.read(service)

    assert unit.one("PrivateDevices") == "yes"
    assert not unit.all("SupplementaryGroups")


def test_the_hardware_process_has_serial_ports_and_neighbours_but_no_internet():
    unit = Unit.read("hardware")

    assert unit.one("DevicePolicy") == "closed"
    assert {value.split()[0] for value in unit.all("DeviceAllow")} == {
        *("char-ttyS", "char-ttyUSB", "char-ttyACM", "char-ttyAMA", "char-ttymxc", "char-ttySC"),
        "char-gpiochip",
    }
    assert unit.one("IPAddressDeny") == "any"
    assert "0.0.0.0/0" not in unit.one("IPAddressAllow")
    # Multicast DNS, nothing else that is sent to many.
    assert [word for word in unit.one("IPAddressAllow").split() if word.startswith("224.") or word == "multicast"] == [
        "224.0.0.251"
    ]


@pytest.mark.parametrize(
    "key",
    ["DeviceAllow", "DevicePolicy", "SupplementaryGroups", "PrivateDevices", "IPAddressDeny", "IPAddressAllow"],
)
def test_a_preparation_that_fails_reaches_the_boards_to_withdraw_energy(key):
    assert Unit.read("prepare").all(key) == Unit.read("hardware").all(key)


def test_a_preparation_that_is_killed_is_followed_by_a_withdrawal_and_answers_where_the_pages_are():
    prepare = Unit.read("prepare")

    assert (prepare.one("TimeoutStartSec"), prepare.one("TimeoutStopSec")) == ("10min", "5s")
    assert "runprocess withdraw" in prepare.one("ExecStopPost")
    http = re.compile(r"--http (\S+)").search
    assert http(prepare.one("ExecStart"))[1] == http(Unit.read("web").one("ExecStart"))[1]


def test_redis_has_no_network():
    unit = Unit.read("redis")

    assert unit.one("PrivateNetwork") == "yes"
    assert unit.one("RestrictAddressFamilies") == "AF_UNIX"


@pytest.mark.parametrize("access", ["vendor-local", "vendor-remote"])
def test_the_vendors_session_stays_in_its_unit_and_ends_with_it_at_once(access):
    unit = Unit.read(access, DEPLOY / "vendor")

    assert {key: unit.one(key) for key in EVERY_ACCESS} == EVERY_ACCESS
    # logind would put a session elsewhere, and starts a user's programs beside all units for whoever asks.
    assert unit.all("InaccessiblePaths") == ["-/run/dbus"]
    # A program may ignore every other signal than SIGKILL.
    assert unit.one("KillMode") == "mixed"
    assert unit.one("TimeoutStopSec") == "5s"
    assert (unit.one("MemoryMax"), unit.one("TasksMax")) == ("256M", "64")


def test_the_vendors_ssh_is_never_root():
    unit = Unit.read("vendor-remote", DEPLOY / "vendor")

    assert unit.one("User") == "vendor"
    assert unit.one("CapabilityBoundingSet") == unit.one("AmbientCapabilities") == "CAP_NET_BIND_SERVICE"
    assert unit.one("PrivateDevices") == "yes"
    assert unit.one("ProtectHome") == "read-only"
    assert unit.all("ReadWritePaths") == ["-/home/vendor"]
    # One more than every service may call: without it `ip` ends without a word.
    assert unit.all("SystemCallFilter") == ["@system-service", "~@privileged @resources", "capset"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this computer")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_finds_a_service_little_exposed(unit):
    verdict = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", verdict.stdout)
    if exposure is None:
        pytest.skip(f"this systemd cannot judge unit files: {verdict.stderr.strip()[-200:]}")

    assert float(exposure[1]) <= MORE_EXPOSURE.get(unit.name, MOST_EXPOSURE)


def of_the_factorys_file(key, *places):
    """Return a command of station-provision-file.service, with stand-ins for places of a station."""
    unit = (DEPLOY / "image/root/usr/lib/systemd/system/station-provision-file.service").read_text()
    (command,) = re.findall(rf"^{key}=\+?/bin/sh -c '(.*)'$", unit, re.MULTILINE)
    # systemd writes a dollar sign twice.
    command = command.replace("$$", "$")
    for place, stand_in in places:
        command = command.replace(place, str(stand_in))
    return ["/bin/sh", "-c", command]


@pytest.mark.parametrize(("ended_with", "stays"), [("0", False), ("65", False), ("1", True), ("KILL", True)])
@pytest.mark.parametrize("is_folder", [False, True])
def test_the_factorys_file_is_overwritten_when_it_was_taken_or_refused(tmp_path, is_folder, ended_with, stays):
    file = tmp_path / "station-provision.json"
    if is_folder:
        file = file / "a b" / "station-provision.json"
        file.parent.mkdir(parents=True)
    file.write_text('{"factoryPassword": "ZD5HM8RT3VNE"}')
    (tmp_path / "overwritten").hardlink_to(file)
    (tmp_path / "station-provision-file").touch()

    command = of_the_factorys_file("ExecStopPost", ("/efi", tmp_path), ("/run", tmp_path))
    subprocess.run(command, env={"EXIT_STATUS": ended_with, "PATH": "/usr/bin:/bin"}, check=True)

    assert ("ZD5HM8RT3VNE" in (tmp_path / "overwritten").read_text(errors="replace")) == stays
    assert (tmp_path / "station-provision.json").exists() == stays
    # A second start of the station in the same run of the computer looks for it no more.
    assert (tmp_path / "station-provision-file").exists() == stays


def test_what_root_writes_down_is_read_by_the_installed_station_alone(tmp_path):
    written = "".join(path.read_text() for path in DEPLOY.glob("image/root/usr/lib/**/*") if path.is_file())
    for note in (boot_memory.NOTE, factory_file.NOTE):
        assert str(DataDirectory(INSTALLED).notes_of_the_computer / note) in written
        assert DataDirectory(tmp_path).notes_of_the_computer == tmp_path / "run"
    assert f"STATION_DATA_DIR={INSTALLED} " in (DEPLOY / "station-prepare.service").read_text()


def test_a_file_of_the_factory_that_cannot_be_removed_is_noted_until_it_can(tmp_path):
    (tmp_path / "station-provision.json").write_text('{"factoryPassword": "ZD5HM8RT3VNE"}')
    (tmp_path / "station-provision-file").touch()
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "shred").write_text("#!/bin/sh\necho 'Read-only file system' >&2\nexit 1\n")
    (programs / "shred").chmod(0o755)
    command = of_the_factorys_file("ExecStopPost", ("/efi", tmp_path), ("/run", tmp_path))

    told = subprocess.run(
        command,
        env={"EXIT_STATUS": "0", "PATH": f"{programs}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "the next start tries again" in told.stdout
    assert (tmp_path / factory_file.NOTE).exists()
    assert (tmp_path / "station-provision-file").exists()

    subprocess.run(command, env={"EXIT_STATUS": "0", "PATH": "/usr/bin:/bin"}, check=True)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["programs"]


@pytest.mark.parametrize(("is_folder", "told"), [(False, "--at-start\ncontent"), (True, "--at-start --folder\n")])
def test_a_folder_in_the_place_of_the_factorys_file_reaches_the_command_as_what_it_is(tmp_path, is_folder, told):
    python, given = tmp_path / "python", tmp_path / "given"
    python.write_text('#!/bin/sh\nshift 2\necho "$*"\ncat\n')
    python.chmod(0o755)
    if is_folder:
        given.mkdir()
    else:
        given.write_text("content")
    command = of_the_factorys_file("ExecStart", ("/opt/station/.venv/bin/python", python))

    standard_input = os.open(given, os.O_RDONLY)
    try:
        done = subprocess.run(command, stdin=standard_input, capture_output=True, text=True, check=True)
    finally:
        os.close(standard_input)

    assert (done.stdout, done.stderr) == (told, "")


def test_whether_the_factory_has_left_a_file_is_no_question_of_a_mount_in_time():
    unit = (DEPLOY / "image/root/usr/lib/systemd/system/station-provision-file.service").read_text().splitlines()

    # Conditions are looked at by systemd itself, whose looking mounts nothing on demand.
    assert not any(line.startswith("Condition") and "/efi" in line for line in unit)
    assert {"After=station-boot-partition.service", "ConditionPathExists=/run/station-provision-file"} <= set(unit)


@pytest.mark.parametrize("service", ["slot", "prepare", "trial"])
def test_the_boot_loaders_memory_is_mended_before_anybody_uses_it(service):
    unit = (DEPLOY / "image/root/usr/lib/systemd/system/station-boot-partition.service").read_text()
    (before,) = re.findall(r"^Before=(.*)$", unit, re.MULTILINE)

    assert f"station-{service}.service" in before.split()


def test_software_on_trial_is_given_up_by_systemd_itself():
    text = (DEPLOY / "image/root/usr/lib/systemd/system/station-trial.service").read_text().splitlines()

    assert {"ExecCondition=/usr/lib/station/slot on-trial", "ExecStart=/usr/lib/station/slot give-up"} <= set(text)
    assert "OnFailure=reboot.target" in text
    # systemd 252 takes a run that was skipped for a success.
    assert not any(line.startswith(("OnSuccess=", "SuccessAction=")) for line in text)


def test_a_station_waits_for_no_keyboard_in_the_emergency_mode():
    text = (DEPLOY / "image/root/usr/lib/systemd/system/station-emergency.service").read_text().splitlines()

    assert {"WantedBy=emergency.target rescue.target", "FailureAction=reboot-force"} <= set(text)
    # Anything else would wait for sysinit.target, which has failed or conflicts with it.
    assert "DefaultDependencies=no" in text
    assert not any(line.startswith(("Requires", "RequiresMountsFor", "After", "PrivateTmp")) for line in text)


@pytest.mark.parametrize("process", PROCESSES)
def test_systemd_hears_when_a_process_serves_and_that_it_still_does(process):
    unit = Unit.read(process)

    assert unit.one("Type") == "notify"
    assert unit.one("WatchdogSec") == SILENCE[process]
    assert not unit.one("NotifyAccess")


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_that_cannot_live_is_started_ever_less_often_and_for_ever(process):
    unit = Unit.read(process)

    assert unit.one("Restart") == "always"
    assert (unit.one("StartLimitIntervalSec"), unit.one("StartLimitBurst")) == ("60s", "8")
    # More tries than crashes lead to safe mode, which is the better answer.
    assert int(unit.one("StartLimitBurst")) > CRASHES + 1
    assert unit.one("OnFailure") == AGAIN.replace("@", "@%N")


def test_a_start_of_the_target_forgets_what_has_ended_too_often_before_anything_starts():
    fresh = Unit.read("fresh")
    of_the_target = {f"station-{service}.service" for service in (*PROCESSES, "prepare")}

    assert set(fresh.one("Before").split()) == of_the_target
    assert set(fresh.one("ExecStart").removeprefix("/bin/systemctl reset-failed ").split()) == of_the_target
    # It has no limit of its own, and does its work again in every start.
    assert fresh.one("StartLimitIntervalSec") == "0"
    assert not fresh.one("RemainAfterExit")
    (wanted,) = re.findall(r"^Wants=(.*)$", (DEPLOY / "station.target").read_text(), re.MULTILINE)
    assert set(wanted.split()) == of_the_target - {"station-prepare.service"} | {FRESH}


@pytest.mark.parametrize("service", [*PROCESSES, "prepare"])
def test_a_stop_of_the_target_waits_for_every_service(service):
    unit = Unit.read(service)

    assert unit.one("PartOf") == "station.target"
    # What starts after it is stopped before it.
    assert "station.target" in unit.one("After").split()


@pytest.mark.parametrize("service", [*SERVICES, "fresh"])
def test_no_service_relies_on_what_debians_systemd_does_not_know(service):
    assert not TOO_NEW & {key for key, _ in Unit.read(service).directives}


def test_a_restart_that_leaves_energy_on_is_no_failure():
    unit = Unit.read("hardware")

    assert unit.one("RestartKillSignal") == RESTART_SIGNAL.name
    assert unit.one("SuccessExitStatus") == str(ENERGY_IS_ON)


@pytest.mark.parametrize("process", PROCESSES)
def test_no_process_waits_for_another_that_may_never_come(process):
    assert "station-redis.service" not in Unit.read(process).one("After").split()


def test_the_computers_own_watchdog_is_on():
    assert "RuntimeWatchdogSec=15s" in (DEPLOY / "50-station-watchdog.conf").read_text().splitlines()


def test_the_firewall_stands_before_any_network_and_is_loaded_again_when_the_product_opens_something():
    firewall = Unit.read("firewall")

    assert "network-pre.target" in firewall.one("Before").split()
    assert firewall.one("Wants") == "network-pre.target"
    assert firewall.one("WantedBy") == "sysinit.target"
    watched = (DEPLOY / "station-firewall.path").read_text()
    assert f"PathChanged={firewall.one('ExecStart').split()[-1]}" in watched


def test_a_firewall_that_could_not_be_loaded_is_tried_again_for_ever():
    firewall = Unit.read("firewall")

    assert (firewall.one("Restart"), firewall.one("RestartSec")) == ("on-failure", "5s")
    # A service that reaches its limit takes its path unit with it.
    assert firewall.one("StartLimitIntervalSec") == "0"
    assert firewall.one("RestartPreventExitStatus") == str(os.EX_CONFIG)
    assert firewall.one("TimeoutStartSec") == "120s"
