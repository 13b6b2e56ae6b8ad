"""Replacing the system software: two slots, one of which runs while the other is written."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from station import clock
from station.domain.firmware import ImageRefused, Manifest, Target, Version, check
from station.host import images
from station.host.dbus.rauc import RaucUpdates
from station.host.ports import InstallationResult, Slot, UpdatePort
from station.host.release import RELEASE
from station.paths import DataDirectory

PRODUCT = "station"
SIMULATED_HARDWARE = "simulated"
# What must stay free for the session records while software is written.
_SPARE_BYTES = 100_000_000
_SLOTS = ("a", "b")


@dataclass(frozen=True, kw_only=True)
class _Slot:
    """What a slot holds; no manifest: the software the station was made with, or an opaque image."""

    version: str = RELEASE
    ticket: str = ""
    manifest: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class _State:
    """The file `slots/state.json`. `switched_in` names the run of the computer in which `primary` was changed."""

    primary: str = "a"
    switched_in: str = ""
    floor: str = "0.0.0"
    slots: Mapping[str, _Slot] = field(default_factory=lambda: {"a": _Slot()})

    @classmethod
    def read(cls, path: Path) -> "_State":
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls()
        slots = {name: _Slot(**slot) for name, slot in raw.pop("slots").items()}
        return cls(slots=slots, **raw)

    def write(self, path: Path) -> None:
        draft = path.with_suffix(".new")
        content = {
            "primary": self.primary,
            "switched_in": self.switched_in,
            "floor": self.floor,
            "slots": {name: vars(slot) for name, slot in self.slots.items()},
        }
        with draft.open("w", encoding="utf-8") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        images.sync_directory(path.parent)


@dataclass(frozen=True, kw_only=True)
class SlotUpdates:
    """The simulated computer: unpacks into the slot that does not run, then switches.

    Its software is never executed, so it also takes, where no signature is wanted, an image whose origin nobody has
    signed; even a file that is no container (`opaque`).
    """

    root: Path
    key: images.UpdateKey
    boot_id: Callable[[], str]

    @property
    def _file(self) -> Path:
        return self.root / "state.json"

    def unavailable(self) -> str:
        return ""

    def version(self) -> str:
        state = _State.read(self._file)
        return state.slots[self._running(state)].version

    def slots(self) -> tuple[Slot, ...]:
        state = _State.read(self._file)
        running = self._running(state)
        return tuple(
            Slot(
                name=name,
                version=state.slots[name].version if name in state.slots else "",
                is_running=name == running,
                starts_next=name == state.primary,
            )
            for name in _SLOTS
        )

    def largest_image(self, free: int) -> int:
        # The image, what it unpacks to, and as much again for everything else.
        return free // 3

    def check(self, image: Path, *, needs_signature: bool) -> str:
        return self._read(image, _State.read(self._file), needs_signature=needs_signature)[0]

    def install(self, image: Path, *, ticket: str, needs_signature: bool, progress: Callable[[int], None]) -> None:
        state = _State.read(self._file)
        if state.slots[state.primary].ticket == ticket:
            return
        version, manifest = self._read(image, state, needs_signature=needs_signature)
        running = self._running(state)
        free = _other(running)
        # From here on nothing may start from the slot that is written.
        kept = {running: state.slots[running]}
        self._save(replace(state, primary=running, switched_in="", slots=kept))
        directory = self.root / free
        if manifest is None:
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(mode=0o700, parents=True)
            shutil.copyfile(image, directory / "image")
            raw = None
        else:
            images.unpack(image, manifest, directory, progress=progress)
            raw = _plain(manifest)
        slots = kept | {free: _Slot(version=version, ticket=ticket, manifest=raw)}
        self._save(replace(state, primary=free, switched_in=self.boot_id(), slots=slots))

    def result(self, ticket: str) -> InstallationResult:
        state = _State.read(self._file)
        primary = state.slots[state.primary]
        if primary.ticket != ticket:
            return InstallationResult.NOT_RUNNING
        if self._running(state) != state.primary:
            return InstallationResult.PENDING
        if primary.manifest is not None:
            manifest = Manifest.read(primary.manifest)
            try:
                images.check_unpacked(manifest, self.root / state.primary)
            except (ImageRefused, OSError):
                return InstallationResult.NOT_RUNNING
            # Only software that has run raises the floor: a failed update must leave the way back open.
            if Version(state.floor) < manifest.security_floor:
                self._save(replace(state, floor=str(manifest.security_floor)))
        return InstallationResult.RUNNING

    def gave_up(self) -> str:
        """Return nothing: this computer judges no software."""
        return ""

    def lost(self) -> str:
        """Return nothing: this computer keeps what it starts."""
        return ""

    def confirm(self) -> None:
        """Do nothing: this computer has no boot loader that would go back by itself."""

    def undo(self) -> None:
        state = _State.read(self._file)
        running = self._running(state)
        back = running if running != state.primary else _other(running)
        if back in state.slots:
            kept = {back: state.slots[back]}
            self._save(replace(state, primary=back, switched_in="", slots=kept))

    def _running(self, state: _State) -> str:
        has_restarted = state.switched_in != self.boot_id() or not state.switched_in
        return state.primary if has_restarted else _other(state.primary)

    def _save(self, state: _State) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        state.write(self._file)

    def _read(self, image: Path, state: _State, *, needs_signature: bool) -> tuple[str, Manifest | None]:
        if not needs_signature and not images.looks_like_image(image):
            if not image.stat().st_size:
                raise ImageRefused("container_unreadable", "the file is empty")
            return f"{RELEASE}+{images.digest(image)[:12]}", None
        manifest = images.verify(image, self.key, needs_signature=needs_signature)
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        room = max(0, shutil.disk_usage(self.root).free - _SPARE_BYTES)
        check(
            manifest,
            Target(product=PRODUCT, hardware=SIMULATED_HARDWARE, floor=Version(state.floor), room=room),
        )
        return str(manifest.version), manifest


def _other(slot: str) -> str:
    return _SLOTS[1 - _SLOTS.index(slot)]


def _plain(manifest: Manifest) -> dict[str, Any]:
    return {
        "product": manifest.product,
        "version": str(manifest.version),
        "hardware": list(manifest.hardware),
        "security_floor": str(manifest.security_floor),
        "files": [vars(one) for one in manifest.files],
    }


def simulated_boot_id(data: DataDirectory) -> str:
    """Name this run of the simulated computer: its hardware lives as long as the simulator's process."""
    try:
        return (data.run / "simulator.pid").read_text().strip()
    except OSError:
        return ""


def update_key(data: DataDirectory, *, is_simulated: bool) -> images.UpdateKey:
    """Read the maker's public key; on a simulated computer one of its own may stand in for it."""
    own = data.simulation / "update_key.pem"
    shipped = Path(__file__).with_name("update_key.pem")
    return images.UpdateKey((own if is_simulated and own.exists() else shipped).read_bytes())


@cache
def for_settings() -> UpdatePort:
    """Return the updates of the computer the settings name."""
    from django.conf import settings

    data: DataDirectory = settings.DATA
    root = data.files / "slots"
    if not settings.SIMULATE:
        return RaucUpdates(state=root / "rauc.json", boot_id=clock.boot_id)
    return SlotUpdates(
        root=root,
        key=update_key(data, is_simulated=True),
        boot_id=lambda: simulated_boot_id(data),
    )
