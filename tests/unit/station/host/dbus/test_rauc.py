"""Updates over RAUC, on a private bus against a stand-in written from de.pengutronix.rauc.Installer.xml."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Annotated, Any

import pytest
from dbus_fast.annotations import DBusDict, DBusInt32, DBusSignature, DBusStr
from dbus_fast.constants import PropertyAccess
from dbus_fast.errors import DBusError
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal
from dbus_fast.signature import Variant

from station.domain.firmware import ImageRefused
from station.host.dbus import rauc
from station.host.dbus.rauc import RaucUpdates
from station.host.ports import InstallationResult, UpdatePort
from tests.system_bus import SystemBus, needs_system_bus

pytestmark = needs_system_bus
SERVICE = "de.pengutronix.rauc"
BUNDLE = Path("/var/lib/station/files/jobs/1/image")
WRITING = "Installation error: Failed updating slot rootfs.1"
STEPS = ((0, "Installing"), (20, "Determining slot states"), (60, "Copying image"), (100, "Installing done."))


class Rauc(ServiceInterface):
    """The service of a computer with two slots; `plan` says how the next installation goes."""

    def __init__(self) -> None:
        super().__init__(f"{SERVICE}.Installer")
        self.operation, self.last_error, self.progress = "idle", "", [0, "", 0]
        self.booted, self.primary = "rootfs.0", "rootfs.0"
        self.versions = {"rootfs.0": "1.0.0", "rootfs.1": ""}
        self.bundle = {"compatible": "station-board-1", "version": "1.1.0"}
        self.refusal, self.mark_refusal, self.is_old = "", "", False
        self.failure = f"{WRITING}: No space left on device"
        self.has_primary = True
        self.plan = "succeed"
        self.installed: list[str] = []
        self.marks: list[tuple[str, str]] = []
        self.begun = threading.Event()

    @dbus_method()
    def Info(self, bundle: DBusStr) -> Annotated[list[object], DBusSignature("ss")]:
        if self.refusal:
            raise DBusError("org.gtk.GDBus.UnmappedGError.Quark._r_bundle", self.refusal)
        return [self.bundle["compatible"], self.bundle["version"]]

    @dbus_method()
    def InspectBundle(self, source: DBusStr, args: DBusDict) -> DBusDict:
        if self.is_old:
            raise DBusError("org.freedesktop.DBus.Error.UnknownMethod", "No such method “InspectBundle”")
        if self.refusal:
            raise DBusError("org.gtk.GDBus.UnmappedGError.Quark._r_bundle", self.refusal)
        inner = {name: Variant("s", value) for name, value in self.bundle.items()}
        return {"update": Variant("a{sv}", inner)}

    @dbus_method()
    async def InstallBundle(self, source: DBusStr, args: DBusDict) -> None:
        if self.operation != "idle":
            raise DBusError("org.gtk.GDBus.UnmappedGError.Quark", "Already processing a different method")
        self.installed.append(source)
        self.operation, self.last_error = "installing", ""
        self.begun.set()
        if self.plan == "before the reply":
            self.finish()
        elif self.plan != "hang":
            self.work = asyncio.get_running_loop().create_task(self.install())

    async def install(self) -> None:
        for percent, message in STEPS:
            self.progress = [percent, message, 1]
            self.emit_properties_changed({"Progress": self.progress})
            await asyncio.sleep(0)
        self.finish()

    def finish(self) -> None:
        self.operation = "idle"
        if self.plan == "fail":
            self.last_error = self.failure
            self.Completed(1)
            return
        self.primary, self.versions["rootfs.1"] = "rootfs.1", self.bundle["version"]
        self.Completed(0)

    @dbus_method()
    def Mark(self, state: DBusStr, slot: DBusStr) -> Annotated[list[object], DBusSignature("ss")]:
        if self.mark_refusal:
            raise DBusError("org.gtk.GDBus.UnmappedGError.Quark", self.mark_refusal)
        self.marks.append((state, slot))
        other = {"rootfs.0": "rootfs.1", "rootfs.1": "rootfs.0"}[self.booted]
        name = other if slot == "other" else self.booted
        if state == "active":
            self.primary = name
        return [name, "marked"]

    @dbus_method()
    def GetPrimary(self) -> DBusStr:
        if not self.has_primary:
            raise DBusError("org.gtk.GDBus.UnmappedGError.Quark", "No bootable slot found in ORDER 'B A'")
        return self.primary

    @dbus_method()
    def GetSlotStatus(self) -> Annotated[list[object], DBusSignature("a(sa{sv})")]:
        slots: list[object] = [
            [
                name,
                {
                    "bootname": Variant("s", name[-1]),
                    "state": Variant("s", "booted" if name == self.booted else "inactive"),
                }
                | ({"bundle.version": Variant("s", version)} if version else {}),
            ]
            for name, version in self.versions.items()
        ]
        return [*slots, ["appfs.0", {"state": Variant("s", "inactive")}]]

    @dbus_signal()
    def Completed(self, result: int) -> DBusInt32:
        return result

    @dbus_property(access=PropertyAccess.READ)
    def Operation(self) -> DBusStr:
        return self.operation

    @dbus_property(access=PropertyAccess.READ)
    def LastError(self) -> DBusStr:
        return self.last_error

    @dbus_property(access=PropertyAccess.READ)
    def Compatible(self) -> DBusStr:
        return "station-board-1"

    @dbus_property(access=PropertyAccess.READ)
    def Progress(self) -> Annotated[list[object], DBusSignature("(isi)")]:
        return self.progress


class Computer:
    """A real station's adapter, and the reboot of its computer."""

    def __init__(self, directory: Path) -> None:
        self.boots, self.directory, self.bootname = 1, directory, ""
        self.updates: UpdatePort = RaucUpdates(
            state=directory / "rauc.json", boot_id=lambda: f"boot {self.boots}", bootname=lambda: self.bootname
        )

    def install(self, ticket: str = "one") -> list[int]:
        told: list[int] = []

        def note(percent: int) -> None:
            # Django's database refuses to be used where an event loop runs.
            with pytest.raises(RuntimeError, match="no running event loop"):
                asyncio.get_running_loop()
            told.append(percent)

        self.updates.install(BUNDLE, ticket=ticket, needs_signature=True, progress=note)
        return told

    def refused(self) -> ImageRefused:
        with pytest.raises(ImageRefused) as refused:
            self.install()
        return refused.value


@pytest.fixture
def service(system_bus: SystemBus) -> Rauc:
    service = Rauc()
    system_bus.offer(SERVICE, {"/": [service]})
    return service


@pytest.fixture
def computer(tmp_path: Path, system_bus: SystemBus, monkeypatch: pytest.MonkeyPatch) -> Computer:
    monkeypatch.setattr(rauc, "distribution_version", lambda: "1.0.0")
    monkeypatch.setattr(rauc, "_SILENCE_S", 0.2)
    monkeypatch.setattr(rauc, "_LAST_SIGNAL_S", 0.2)
    return Computer(tmp_path)


def test_an_installation_tells_its_progress_and_switches_the_slot(service: Rauc, computer: Computer):
    assert computer.updates.unavailable() == ""
    assert computer.updates.check(BUNDLE, needs_signature=True) == "1.1.0"

    assert computer.install() == [percent for percent, _ in STEPS]

    assert service.installed == [str(BUNDLE)]
    running, other = computer.updates.slots()
    assert (running.version, running.is_running, running.starts_next) == ("1.0.0", True, False)
    assert (other.version, other.is_running, other.starts_next) == ("1.1.0", False, True)
    assert computer.updates.result("one") == InstallationResult.PENDING


def test_a_result_that_comes_before_the_reply_is_not_missed(service: Rauc, computer: Computer):
    service.plan = "before the reply"

    computer.install()

    assert computer.updates.result("one") == InstallationResult.PENDING


def test_the_same_ticket_is_installed_once(service: Rauc, computer: Computer):
    computer.install()
    computer.install()

    assert len(service.installed) == 1


def test_the_new_slot_runs_after_the_reboot_and_is_marked_good(service: Rauc, computer: Computer):
    computer.install()
    computer.boots, service.booted = 2, "rootfs.1"

    assert computer.updates.result("one") == InstallationResult.RUNNING
    assert computer.updates.result("another") == InstallationResult.NOT_RUNNING
    computer.updates.confirm()

    assert service.marks == [("good", "booted")]


def test_a_boot_loader_that_went_back_is_noticed(service: Rauc, computer: Computer):
    computer.install()
    computer.boots = 2

    assert computer.updates.result("one") == InstallationResult.NOT_RUNNING
    computer.updates.undo()

    assert service.marks == [("active", "booted")]
    assert service.primary == "rootfs.0"


def test_software_that_is_not_healthy_makes_way_for_the_one_before(service: Rauc, computer: Computer):
    computer.install()
    computer.boots, service.booted = 2, "rootfs.1"

    computer.updates.undo()

    assert service.marks == [("bad", "booted"), ("active", "other")]
    assert service.primary == "rootfs.0"
    # It still runs, and the computer's own time limit goes by this file.
    assert computer.updates.result("one") == InstallationResult.RUNNING
    state = json.loads((computer.directory / "rauc.json").read_text())
    assert (state["bootname"], state["confirmed"]) == ("1", False)

    computer.boots, service.booted = 3, "rootfs.0"

    assert computer.updates.result("one") == InstallationResult.NOT_RUNNING
    computer.updates.undo()
    assert json.loads((computer.directory / "rauc.json").read_text())["ticket"] == ""


def test_without_a_service_after_the_reboot_nothing_is_claimed(
    service: Rauc, computer: Computer, system_bus: SystemBus
):
    computer.install()
    computer.boots = 2
    system_bus.withdraw(SERVICE)

    assert computer.updates.result("one") == InstallationResult.PENDING


def test_a_failure_is_told_in_the_services_own_words(service: Rauc, computer: Computer):
    service.plan = "fail"

    refusal = computer.refused()

    assert refusal.code == "no_room"
    assert "No space left on device" in str(refusal)
    assert computer.updates.result("one") == InstallationResult.NOT_RUNNING


@pytest.mark.parametrize(
    ("said", "code"),
    [
        # The words of RAUC 1.8 and of its libraries, in the order in which an installation can meet them.
        ("Failed mounting bundle: Failed to open /dev/mapper/control: No such file or directory", "install_failed"),
        ("Failed mounting bundle: Check read from dm-verity device failed: Input/output error", "contents_wrong"),
        ("Failed mounting bundle: failed to run mount: Child process exited with code 32", "contents_wrong"),
        (f"{WRITING}: Failed splicing data: Error reading from file: Input/output error", "contents_wrong"),
        (f"{WRITING}: Failed splicing data: Error writing to file descriptor: Input/output error", "install_failed"),
    ],
)
def test_a_file_that_was_changed_is_told_apart_from_a_computer_that_cannot_install(
    service: Rauc, computer: Computer, said: str, code: str
):
    service.plan, service.failure = "fail", said

    assert computer.refused().code == code


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("Failed to check bundle signature: signature verification failed", "signature_wrong"),
        ("signature verification failed: Verify error: certificate revoked", "certificate_revoked"),
        ("signature verification failed: Verify error: certificate has expired", "certificate_expired"),
        ("Bundle is not a valid squashfs: too small", "container_unreadable"),
        ("Something new", "install_failed"),
    ],
)
def test_a_bundle_the_service_refuses_is_refused(service: Rauc, computer: Computer, said: str, code: str):
    service.refusal = said

    with pytest.raises(ImageRefused) as refused:
        computer.updates.check(BUNDLE, needs_signature=False)

    assert refused.value.code == code


def test_a_bundle_of_another_board_is_refused(service: Rauc, computer: Computer):
    service.bundle["compatible"] = "toaster"

    with pytest.raises(ImageRefused) as refused:
        computer.updates.check(BUNDLE, needs_signature=True)

    assert refused.value.code == "other_hardware"
    assert service.installed == []


def test_the_service_of_debian_12_is_asked_in_its_own_way(service: Rauc, computer: Computer):
    service.is_old = True

    assert computer.updates.check(BUNDLE, needs_signature=True) == "1.1.0"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"hsqs" + bytes(100) + (50).to_bytes(8, "big"), "signature_wrong"),
        (b"hsqs" + bytes(100) + (5_000).to_bytes(8, "big"), "container_unreadable"),
        (b"PK.." + bytes(100) + (50).to_bytes(8, "big"), "container_unreadable"),
        (b"", "container_unreadable"),
    ],
)
def test_the_one_refusal_of_debian_12_is_told_apart_by_the_file(
    service: Rauc, computer: Computer, tmp_path: Path, content: bytes, code: str
):
    service.is_old, service.refusal = True, "rauc info error"
    (tmp_path / "image").write_bytes(content)

    with pytest.raises(ImageRefused) as refused:
        computer.updates.check(tmp_path / "image", needs_signature=True)

    assert refused.value.code == code


def test_a_slot_on_trial_is_told_although_none_counts_as_one_that_could_start(service: Rauc, computer: Computer):
    computer.install()
    computer.boots, service.booted, service.has_primary = 2, "rootfs.1", False

    assert computer.updates.result("one") == InstallationResult.RUNNING


@pytest.mark.parametrize(("bootname", "result"), [("1", "RUNNING"), ("0", "NOT_RUNNING")])
def test_which_slot_runs_is_known_while_the_service_does_not_answer(
    service: Rauc, computer: Computer, monkeypatch: pytest.MonkeyPatch, bootname: str, result: str
):
    computer.install()
    computer.boots, computer.bootname = 2, bootname
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere")

    assert computer.updates.result("one") == InstallationResult[result]


def test_power_lost_between_the_switch_and_its_note_does_not_overwrite_the_slot_that_works(
    service: Rauc, computer: Computer
):
    computer.install()
    state = json.loads((computer.directory / "rauc.json").read_text())
    (computer.directory / "rauc.json").write_text(json.dumps(state | {"written": False}))
    computer.boots, service.booted = 2, "rootfs.1"

    computer.install()

    assert len(service.installed) == 1
    assert computer.updates.result("one") == InstallationResult.RUNNING


def test_power_lost_while_the_slot_is_written_begins_it_again(service: Rauc, computer: Computer):
    computer.install()
    state = json.loads((computer.directory / "rauc.json").read_text())
    (computer.directory / "rauc.json").write_text(json.dumps(state | {"written": False}))
    computer.boots = 2

    computer.install()

    assert len(service.installed) == 2
    assert computer.updates.result("one") == InstallationResult.PENDING


def test_what_will_be_written_is_noted_before_the_slot_is_touched(service: Rauc, computer: Computer):
    service.plan = "fail"

    computer.refused()

    state = json.loads((computer.directory / "rauc.json").read_text())
    assert (state["slot"], state["bootname"], state["written"]) == ("rootfs.1", "1", False)


def test_software_that_cannot_be_marked_good_is_not_called_confirmed(service: Rauc, computer: Computer):
    computer.install()
    computer.boots, service.booted, service.mark_refusal = 2, "rootfs.1", "Failed to run grub-editenv"

    with pytest.raises(ImageRefused):
        computer.updates.confirm()

    assert not json.loads((computer.directory / "rauc.json").read_text())["confirmed"]


def test_a_slot_that_could_not_be_switched_back_stays_on_trial(service: Rauc, computer: Computer):
    computer.install()
    service.mark_refusal = "Already processing a different method"

    computer.updates.undo()

    state = json.loads((computer.directory / "rauc.json").read_text())
    assert (state["bootname"], state["confirmed"]) == ("1", False)


def test_a_version_that_was_kept_and_no_longer_starts_is_told_once(service: Rauc, computer: Computer):
    computer.install()
    computer.boots, service.booted = 2, "rootfs.1"
    computer.updates.confirm()
    assert computer.updates.lost() == ""

    computer.boots, service.booted = 3, "rootfs.0"

    assert computer.updates.lost() == "1.1.0"
    assert computer.updates.lost() == ""


def test_why_the_computer_gave_the_software_up_is_told_until_the_next_installation(service: Rauc, computer: Computer):
    (computer.directory / "gave_up").write_text("deadline\n")
    assert computer.updates.gave_up() == "deadline"

    computer.install()

    assert computer.updates.gave_up() == ""


def test_an_absent_service_is_said_and_refuses_everything(computer: Computer):
    assert computer.updates.unavailable() == "service_absent"
    assert computer.updates.slots() == ()
    assert computer.refused().code == "service_absent"


def test_a_service_that_dies_in_the_middle_ends_the_installation(
    service: Rauc, computer: Computer, system_bus: SystemBus
):
    service.plan = "hang"

    def die() -> None:
        assert service.begun.wait(60)
        system_bus.withdraw(SERVICE)

    death = threading.Thread(target=die)
    death.start()
    refusal = computer.refused()
    death.join()

    assert refusal.code == "service_absent"


def test_an_installation_an_earlier_process_has_left_is_waited_for(
    service: Rauc, computer: Computer, system_bus: SystemBus
):
    service.operation = "installing"

    async def end() -> None:
        await asyncio.sleep(0)
        service.finish()

    def finish_when_asked() -> None:
        # Whoever listens has asked for the operation first.
        assert asked.wait(60)
        system_bus.within(end)

    asked = threading.Event()
    original = rauc._completed

    async def completed(*arguments: Any) -> int:
        asked.set()
        return await original(*arguments)

    helper = threading.Thread(target=finish_when_asked)
    helper.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rauc, "_completed", completed)
        computer.install()
    helper.join()

    assert service.installed == [str(BUNDLE)]
    assert computer.updates.result("one") == InstallationResult.PENDING
