"""The leader beside the member of one station: hears reports, answers with grants, and forgets all but its list."""

import random
from collections.abc import Callable

from station.domain.allocation import Budget
from station.domain.cluster.leader import Leader, ReportRefused
from station.domain.cluster.messages import Grant, MessageIsMalformed, Report
from tests.reliability.cluster.network import Message
from tests.reliability.cluster.stations import Run, Station
from tests.reliability.cluster.timeline import Timeline

DECIDE_S = 1.0


class Master:
    """Leads for as long as its station's process runs."""

    def __init__(
        self,
        station: Station,
        timeline: Timeline,
        dice: random.Random,
        *,
        make_leader: Callable[[Station, str | None], Leader],
        budget: Callable[[], Budget],
        send: Callable[[str, Grant], None],
    ) -> None:
        self.station = station
        self.leader: Leader | None = None
        self.malformed = 0
        self.refused = 0
        self.decisions = 0
        self._timeline = timeline
        self._dice = dice
        self._make_leader = make_leader
        self._budget = budget
        self._send = send
        self._run: Run | None = None
        self._soon = False
        # A station keeps the epoch of its last start, like the list of members.
        self._epochs: dict[str, str] = {}
        self._demands: dict[str, object] = {}

    def start(self) -> None:
        """Begin to lead with the run of the station that has just begun."""
        assert self.station.run is not None
        self._run = self.station.run
        name = self.station.plan.name
        self.leader = self._make_leader(self.station, self._epochs.get(name))
        self._epochs[name] = self.leader.epoch
        self._soon = False
        self._demands = {}
        self._tick()

    def end(self) -> None:
        """Forget everything: the process is gone."""
        self._run, self.leader = None, None

    def receive(self, message: Message) -> None:
        """Take a report that has come over the network."""
        if self._run is not None:
            self._guard(lambda: self._hear(message))()

    def budget_changed(self) -> None:
        """Decide soon: the limit has changed."""
        self._decide_soon()

    def _hear(self, message: Message) -> None:
        assert self.leader is not None
        try:
            report = Report.decode(message) if isinstance(message, bytes) else message
            assert isinstance(report, Report)
            self.leader.hear(report, self.station.clock.now_s)
        except MessageIsMalformed:
            self.malformed += 1
            return
        except ReportRefused:
            self.refused += 1
            return
        asks = [(point.active, point.limit, point.held) for point in report.points]
        if self._demands.get(report.station) != asks:
            self._demands[report.station] = asks
            self._decide_soon()

    def _guard(self, act: Callable[[], None]) -> Callable[[], None]:
        """Do this act only while this start of the leader lasts; its station may go on without it."""
        assert self._run is not None
        leader = self.leader
        return self._run.guard(lambda: act() if self.leader is leader else None)

    def _decide_soon(self) -> None:
        if self._run is not None and not self._soon:
            self._soon = True
            self._timeline.after(self._dice.uniform(0.01, 0.05), self._guard(self._decide))

    def _tick(self) -> None:
        self._decide()
        self._timeline.after(DECIDE_S * self._dice.uniform(0.98, 1.02), self._guard(self._tick))

    def _decide(self) -> None:
        self._soon = False
        assert self.leader is not None
        grants = self.leader.decide(self.station.clock.now_s, self._budget())
        self.decisions += 1
        for station, grant in grants.items():
            self._send(station, grant)
