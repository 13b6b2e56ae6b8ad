"""Faults without their bouncing: one counts when it has stood for a moment, and until it has been away for another.

A contact bounces, a pilot is invalid while a plug goes in, and a voltage at its threshold comes and goes: without this
the backend would hear of the same fault several times a second.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

Fault = TypeVar("Fault", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class SteadyFaults(Generic[Fault]):
    """What counts, and since when each fault is reported differently from that (monotonic seconds)."""

    raised_after_s: float
    cleared_after_s: float
    counting: frozenset[Fault] = frozenset()
    differs_since_s: dict[Fault, float] = field(default_factory=dict)

    def judge(self, reported: frozenset[Fault], *, at_s: float) -> "SteadyFaults[Fault]":
        """Take one reading; return what counts from now on."""
        differing = reported ^ self.counting
        since_s = {fault: self.differs_since_s.get(fault, at_s) for fault in differing}
        turned = frozenset(fault for fault in differing if at_s - since_s[fault] >= self._patience_s(fault))
        return replace(
            self,
            counting=self.counting ^ turned,
            differs_since_s={fault: since for fault, since in since_s.items() if fault not in turned},
        )

    def _patience_s(self, fault: Fault) -> float:
        return self.cleared_after_s if fault in self.counting else self.raised_after_s
