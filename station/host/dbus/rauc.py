"""Updates of a real station over RAUC: it checks the bundle's signature, writes the other slot and switches to it.

The result of an installation comes as a signal, maybe before the call that ordered it returns, so the station listens
first. What it must know after the reboot stands in a file: which slot is written and switched to, for which ticket, in
which run of the computer, and whether it was seen to work. The file is there before the slot is touched, because the
power may go at any moment. A new slot stays on trial with the boot loader until `confirm`; `station-slot` (deploy)
reads the same file, so that new software that cannot judge itself is given up, too.
"""

import asyncio
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from station import private_files
from station.domain.firmware import ImageRefused
from station.host.dbus.bundles import why_refused
from station.host.dbus.bus import (
    Bus,
    CallIsRefused,
    NoAnswer,
    ServiceAbsent,
    ServiceRefused,
    Signals,
    plain,
    run,
)
from station.host.ports import InstallationResult, Slot
from station.host.release import distribution_version

_SERVICE, _PATH = "de.pengutronix.rauc", "/"
_INSTALLER = f"{_SERVICE}.Installer"
_CHANGED = "org.freedesktop.DBus.Properties.PropertiesChanged"
_COMPLETED = f"{_INSTALLER}.Completed"
# A bundle is hashed when it is inspected, and written to slow flash when it is installed.
_INSPECTION_S = 300.0
_INSTALLATION_S = 3600.0
# How long nothing may be heard until somebody looks whether RAUC is still there and at work.
_SILENCE_S = 5.0
_LAST_SIGNAL_S = 1.0
# RAUC has words for people only; these stand in its source and mean what our codes mean.
_REFUSALS = (
    # The signature covers the hashes; a changed block is found by dm-verity when it is read: the first when the bundle
    # is opened, those that describe its files when it is mounted, all others when they are written to the slot.
    ("check read from", "contents_wrong"),
    ("failed to run mount", "contents_wrong"),
    ("error reading", "contents_wrong"),
    # A kernel without the device mapper, no free loop device: the file is right.
    ("failed mounting bundle", "install_failed"),
    ("certificate revoked", "certificate_revoked"),
    ("certificate has expired", "certificate_expired"),
    ("signature", "signature_wrong"),
    ("verif", "signature_wrong"),
    ("certificate", "signature_wrong"),
    ("compatible", "other_hardware"),
    ("space", "no_room"),
    ("bundle", "container_unreadable"),
)
_SLOT = "rauc.slot="
_INFO_ERROR = "rauc info error"
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Installed:
    """The file `rauc.json`: the last installation.

    `boot_id`: the run of the computer in which it began; `written`: the slot is whole; `confirmed`: it
    was seen to work.
    """

    ticket: str = ""
    slot: str = ""
    bootname: str = ""
    boot_id: str = ""
    version: str = ""
    written: bool = False
    confirmed: bool = False


def bootname() -> str:
    """Return which slot the boot loader says that it has started; empty: it says nothing."""
    try:
        words = Path("/proc/cmdline").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return ""
    return next((word.removeprefix(_SLOT) for word in words if word.startswith(_SLOT)), "")


@dataclass(frozen=True)
class RaucUpdates:
    """The system software of a real station."""

    state: Path
    boot_id: Callable[[], str]
    # RAUC is started when somebody asks, and right after a start of the computer it may not answer in time.
    bootname: Callable[[], str] = bootname
    # What RAUC judges bundles with (deploy/image/rauc/system.conf).
    keyring: Path = Path("/usr/share/station/maker.pem")

    def unavailable(self) -> str:
        try:
            run(lambda bus: bus.get(_SERVICE, _PATH, f"{_INSTALLER}.Operation"))
        except ServiceRefused as refusal:
            logger.info("no updates: %s", refusal)
            return "service_absent"
        return ""

    def version(self) -> str:
        # Asked for often, also where a loop runs; the system software names itself in its own file.
        return distribution_version()

    def slots(self) -> tuple[Slot, ...]:
        try:
            return run(_slots)
        except ServiceRefused as refusal:
            logger.info("the slots are not known: %s", refusal)
            return ()

    def largest_image(self, free: int) -> int:
        # RAUC writes into the slot right out of the bundle: the bundle, and as much again for everything else.
        return free // 2

    def check(self, image: Path, *, needs_signature: bool) -> str:
        try:
            compatible, version = run(lambda bus: _inspect(bus, image, self.keyring), timeout_s=_INSPECTION_S)
            wanted = run(lambda bus: bus.get(_SERVICE, _PATH, f"{_INSTALLER}.Compatible"))
        except ServiceRefused as refusal:
            raise _refused(refusal) from refusal
        if compatible != wanted:
            raise ImageRefused("other_hardware", compatible)
        return version

    def install(
        self,
        image: Path,
        *,
        ticket: str,
        needs_signature: bool,
        progress: Callable[[int], None],
    ) -> None:
        known = self._read()
        free = next((slot for slot in self.slots() if not slot.is_running), None)
        if known.ticket == ticket and (known.written or (free is not None and free.name != known.slot)):
            # Written; or the power went after the switch and before it was noted, and the new slot runs.
            return
        try:
            if free is None:
                raise ServiceAbsent(_SERVICE, "there is no second slot")
            version = run(lambda bus: _inspect(bus, image, self.keyring), timeout_s=_INSPECTION_S)[1]
            begun = _Installed(
                ticket=ticket, slot=free.name, bootname=free.bootname, boot_id=self.boot_id(), version=version
            )
            self._gave_up.unlink(missing_ok=True)
            self._write(begun)
            _tell_outside(lambda tell: run(lambda bus: _install(bus, image, tell), timeout_s=_INSTALLATION_S), progress)
        except ServiceRefused as refusal:
            raise _refused(refusal) from refusal
        self._write(replace(begun, written=True))

    def result(self, ticket: str) -> InstallationResult:
        installed = self._read()
        if installed.ticket != ticket:
            return InstallationResult.NOT_RUNNING
        if installed.boot_id == self.boot_id():
            return InstallationResult.PENDING if installed.written else InstallationResult.NOT_RUNNING
        match self._runs(installed):
            case None:
                # Nobody can say. The caller restarts the computer then, a few times at most, which is the best cure.
                return InstallationResult.PENDING
            case True:
                return InstallationResult.RUNNING
        return InstallationResult.NOT_RUNNING

    def gave_up(self) -> str:
        try:
            return private_files.read(self._gave_up).decode("ascii").strip()[:40]
        except (OSError, ValueError):
            return ""

    def lost(self) -> str:
        installed = self._read()
        if not installed.confirmed or self._runs(installed) is not False:
            return ""
        self._write(_Installed())
        return installed.version or installed.bootname

    def confirm(self) -> None:
        try:
            _mark("good", "booted")
        except ServiceRefused as refusal:
            raise _refused(refusal) from refusal
        self._write(replace(self._read(), written=True, confirmed=True))

    def undo(self) -> None:
        installed = self._read()
        if not installed.ticket:
            return
        runs = self._runs(installed)
        changes = [("bad", "booted"), ("active", "other")] if runs else [("active", "booted")]
        try:
            for state, slot in changes:
                _mark(state, slot)
        except ServiceRefused:
            # RAUC may still be at work, and switch when it has ended. The file stays, so that such a slot is on trial:
            # nobody calls it good, and the computer goes back by itself.
            logger.exception("RAUC has not switched back")
        else:
            # While it still runs the file stays, too: the computer's own time limit restarts it when nobody else can.
            if not runs:
                self._write(_Installed())

    @property
    def _gave_up(self) -> Path:
        """Where `station-slot` notes why it has given the new software up."""
        return self.state.with_name("gave_up")

    def _runs(self, installed: _Installed) -> bool | None:
        """Return whether the computer runs what was installed; None: nobody can say."""
        if started := self.bootname():
            return started == installed.bootname
        booted = next((slot.name for slot in self.slots() if slot.is_running), "")
        return booted == installed.slot if booted else None

    def _read(self) -> _Installed:
        try:
            return _Installed(**json.loads(private_files.read(self.state)))
        except (OSError, ValueError, TypeError):
            return _Installed()

    def _write(self, installed: _Installed) -> None:
        self.state.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        private_files.write(self.state, json.dumps(asdict(installed)).encode())


async def _slots(bus: Bus) -> tuple[Slot, ...]:
    """List the slots the computer can start from."""
    try:
        primary = await bus.call(_SERVICE, _PATH, f"{_INSTALLER}.GetPrimary")
    except CallIsRefused:
        # A slot on trial counts as none that could start.
        primary = ""
    found = plain(await bus.call(_SERVICE, _PATH, f"{_INSTALLER}.GetSlotStatus"))
    return tuple(
        Slot(
            name=str(name),
            version=str(status.get("bundle.version", "")),
            is_running=status.get("state") == "booted",
            starts_next=name == primary,
            bootname=str(status["bootname"]),
        )
        for name, status in found
        if status.get("bootname")
    )


async def _inspect(bus: Bus, image: Path, keyring: Path) -> tuple[str, str]:
    """Let RAUC check a bundle; return what it is compatible with, and its version."""
    arguments: list[object] = [str(image), {}]
    try:
        found = plain(
            await bus.call(_SERVICE, _PATH, f"{_INSTALLER}.InspectBundle", "sa{sv}", arguments, timeout_s=_INSPECTION_S)
        )
    except ServiceRefused as refusal:
        if not refusal.name.endswith(".UnknownMethod"):
            raise
        # RAUC 1.8 of Debian 12 has its predecessor only.
        return await _ask_for_info(bus, image, keyring)
    update: dict[str, Any] = found.get("update", {})
    return str(update.get("compatible", "")), str(update.get("version", ""))


async def _ask_for_info(bus: Bus, image: Path, keyring: Path) -> tuple[str, str]:
    try:
        compatible, version = await bus.call(
            _SERVICE, _PATH, f"{_INSTALLER}.Info", "s", [str(image)], timeout_s=_INSPECTION_S
        )
    except CallIsRefused as refusal:
        if not refusal.text.endswith(_INFO_ERROR):
            raise
        # It says no more than that.
        raise CallIsRefused(_SERVICE, why_refused(image, keyring), name=refusal.name) from refusal
    return str(compatible), str(version)


def _tell_outside(work: Callable[[Callable[[int], None]], None], progress: Callable[[int], None]) -> None:
    """Work in a thread and tell the progress in this one: who notes it in the database must not be in an event loop.

    A daemon: the end of the process waits for no installation.
    """
    told: SimpleQueue[int | Exception | None] = SimpleQueue()

    def body() -> None:
        try:
            work(told.put)
        except Exception as problem:  # noqa: BLE001 - whoever waits raises it
            told.put(problem)
        else:
            told.put(None)

    threading.Thread(target=body, name="installation", daemon=True).start()
    while (said := told.get()) is not None:
        if isinstance(said, Exception):
            raise said
        progress(said)


async def _install(bus: Bus, image: Path, progress: Callable[[int], None]) -> None:
    """Install; the next start uses the new slot. Raises ServiceRefused."""
    async with bus.signals(_SERVICE, _PATH) as signals:
        # A process of ours that died has left RAUC at work: its end is waited for, because there is one slot only.
        if await bus.get(_SERVICE, _PATH, f"{_INSTALLER}.Operation") != "idle":
            await _completed(bus, signals, progress)
        await bus.call(_SERVICE, _PATH, f"{_INSTALLER}.InstallBundle", "sa{sv}", [str(image), {}])
        if await _completed(bus, signals, progress) != 0:
            raise ServiceRefused(_SERVICE, str(await bus.get(_SERVICE, _PATH, f"{_INSTALLER}.LastError")))


async def _completed(bus: Bus, signals: Signals, progress: Callable[[int], None]) -> int:
    """Wait for the end of an installation and return its result; a service that has died tells nothing."""
    while True:
        try:
            async with asyncio.timeout(_SILENCE_S):
                name, values = await signals.next()
        except TimeoutError:
            if await bus.is_there(_SERVICE) and await _is_at_work(bus):
                continue
            try:
                # It may have ended between the two questions.
                async with asyncio.timeout(_LAST_SIGNAL_S):
                    name, values = await signals.next()
            except TimeoutError:
                raise ServiceAbsent(_SERVICE, "it has ended in the middle of the installation") from None
        if name == _COMPLETED:
            return int(values[0])
        if name == _CHANGED and "Progress" in values[1]:
            progress(int(values[1]["Progress"][0]))


async def _is_at_work(bus: Bus) -> bool:
    return bool(await bus.get(_SERVICE, _PATH, f"{_INSTALLER}.Operation") != "idle")


def _mark(state: str, slot: str) -> None:
    """Mark a slot. Raises ServiceRefused."""
    run(lambda bus: bus.call(_SERVICE, _PATH, f"{_INSTALLER}.Mark", "ss", [state, slot]))


def _refused(refusal: ServiceRefused) -> ImageRefused:
    if isinstance(refusal, ServiceAbsent | NoAnswer):
        return ImageRefused("service_absent", refusal.text)
    said = refusal.text.lower()
    code = next((code for word, code in _REFUSALS if word in said), "install_failed")
    return ImageRefused(code, refusal.text[:200])
