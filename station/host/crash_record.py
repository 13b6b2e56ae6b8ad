"""Where the history of crashes of the control loop is kept: a small file in `run`.

Never flushed: a power cut is no crash, and the next boot begins a new history anyway.
"""

import contextlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from station.domain.crash_guard import CRASHES, CrashCause, CrashHistory, began
from station.paths import DataDirectory

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def _boot_id() -> str:
    return _BOOT_ID.read_text().strip()


@dataclass
class CrashRecord:
    """The history as the present run of the control loop knows it."""

    data: DataDirectory
    crashes_allowed: int = CRASHES
    boot_id: Callable[[], str] = _boot_id
    history: CrashHistory = field(default_factory=CrashHistory, init=False)

    def begin(self, now_s: float) -> CrashHistory:
        """Note that a run begins, and return what it has to be."""
        self.history = began(self._read(), now_s, crashes_allowed=self.crashes_allowed)
        self._write()
        return self.history

    def note_cause(self, cause: CrashCause) -> None:
        """Note why this run is about to crash."""
        self.history = replace(self.history, cause=cause)
        self._write()

    def try_again(self, now_s: float) -> None:
        """Note that safe mode is over: the next run may control again."""
        self.history = replace(self.history, safe_until_s=now_s)
        self._write()

    def forget(self) -> None:
        """Note that this run has ended in order, or that everything is started by hand."""
        self._path.unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        return self.data.run / "control_loop.json"

    def _read(self) -> CrashHistory:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            stored = json.loads(self._path.read_text())
            if stored.pop("boot_id") == self.boot_id():
                cause = stored.pop("cause")
                crashes = tuple(float(moment) for moment in stored.pop("crashes"))
                return CrashHistory(crashes=crashes, cause=CrashCause(cause) if cause else None, **stored)
        return CrashHistory()

    def _write(self) -> None:
        draft = self._path.with_suffix(".new")
        # A full or read-only disk costs the history, not the control loop.
        with contextlib.suppress(OSError):
            draft.write_text(json.dumps({"boot_id": self.boot_id(), **asdict(self.history)}))
            draft.replace(self._path)
