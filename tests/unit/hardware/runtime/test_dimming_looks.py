"""A station whose dimming is switched off looks seldom whether it stood still, which is no standing still."""

from types import SimpleNamespace
from typing import Any

import pytest

from hardware.runtime.dimming import LOOK_DISABLED_S, Dimming
from station import clock
from station.domain.dimming import SILENT_AFTER_S


def test_a_silent_contact_is_not_believed_longer_because_nobody_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    now = SimpleNamespace(s=100.0)
    monkeypatch.setattr(clock, "monotonic_s", lambda: now.s)
    nobody: Any = SimpleNamespace()
    dimming = Dimming({}, nobody, nobody, nobody, has_input=True)
    for _ in range(3):
        now.s += 0.5
        dimming.read(closed=True)

    for _ in range(int(SILENT_AFTER_S / LOOK_DISABLED_S) + 2):
        now.s += LOOK_DISABLED_S
        dimming.is_active(now.s)

    assert dimming.snapshot().closed is None
