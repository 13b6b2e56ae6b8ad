"""Which processes must say that they work, how often, and which of them is silent."""

from dataclasses import dataclass, field

from station.host.heartbeat import SharedHeartbeat, SharedHeartbeats

# How long each may be silent. A control loop that hangs leaves energy released, because the boards have no watchdog;
# the others only keep people waiting. Redis is asked by the supervisor; the worker may be busy with one job for hours.
SILENCE_S = {"hardware": 5.0, "ocpp": 30.0, "web": 30.0, "redis": 10.0}
# From the fork to the first beat: the start of a process, and Redis may let it wait.
START_S = 30.0
# Who looks again so much later than intended has not run: the group was stopped, or the machine hangs.
OWN_ABSENCE_S = 1.0


@dataclass
class HeartbeatWatch:
    """The heartbeats of this run's processes, judged at moments of the monotonic clock."""

    heartbeats: SharedHeartbeats = field(default_factory=lambda: SharedHeartbeats(list(SILENCE_S)))
    _started_s: dict[str, float] = field(default_factory=dict, init=False)
    _excused_s: float = field(default=0.0, init=False)
    _looked_s: float | None = field(default=None, init=False)
    _waits_s: float = field(default=0.0, init=False)

    def heartbeat_of(self, name: str) -> SharedHeartbeat | None:
        """Return what a process beats with; None for one that is not watched."""
        return self.heartbeats.of(name) if name in SILENCE_S else None

    def started(self, name: str, *, at_s: float) -> None:
        """Note that a process is about to be started."""
        if name in SILENCE_S:
            self.heartbeats.forget(name)
            self._started_s[name] = at_s

    def waits(self, patience_s: float) -> None:
        """Note how long the watch means to wait before it looks again."""
        self._waits_s = patience_s

    def looks(self, *, at_s: float) -> None:
        """Give everybody their whole time again when the watch itself has not run since it looked last.

        Counted from look to look: a group can be stopped between any two lines, not only in poll(2).
        """
        if self._looked_s is not None and at_s - self._looked_s - self._waits_s > OWN_ABSENCE_S:
            self._excused_s = at_s
        self._looked_s, self._waits_s = at_s, 0.0

    def deadline_s(self, name: str) -> float | None:
        """Return until when the next beat must have come; None for a process that is not watched."""
        if name not in self._started_s:
            return None
        last_s = self.heartbeats.last_s(name)
        if last_s is None:
            return max(self._started_s[name], self._excused_s) + START_S
        return max(last_s, self._excused_s) + SILENCE_S[name]
