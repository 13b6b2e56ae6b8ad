"""What the station asks the cluster for, read from the present of its charging points."""

from collections.abc import Mapping

from hardware.runtime.limits import LimitLoop
from hardware.runtime.point import ChargingPoint
from station.domain.cluster.messages import PointReport
from station.domain.units import PAUSE, MilliAmpere


class Demands:
    """The demand of all charging points of this station."""

    def __init__(self, points: Mapping[int, ChargingPoint], limits: LimitLoop) -> None:
        self._points = points
        self._limits = limits

    @property
    def numbers(self) -> tuple[int, ...]:
        """The charging points of the station."""
        return tuple(self._points)

    def take(self, now_s: float) -> tuple[PointReport, ...]:
        """Return what is asked for now, and what the boards may hold at most."""
        requests = self._limits.requests()
        return tuple(
            PointReport(
                number=point.number,
                active=point.session is not None,
                limit=requests[point.number],
                held=self._held(point),
                flowing=point.flowing,
                phases=self._limits.framework.phases_of(point),
                waiting_s=max(now_s - point.session.began_s, 0.0) if point.session else 0.0,
            )
            for point in self._points.values()
        )

    def without_energy(self) -> tuple[PointReport, ...]:
        """Return that nothing is asked for any more, and what the boards have not given up."""
        return tuple(
            PointReport(
                number=point.number,
                active=False,
                limit=PAUSE,
                held=self._held(point),
                flowing=point.flowing,
                phases=self._limits.framework.phases_of(point),
            )
            for point in self._points.values()
        )

    def essence(self) -> object:
        """Return something that changes when there is news the others wait for: who charges, and what boards hold."""
        return tuple((point.session is not None, point.effective, self._held(point)) for point in self._points.values())

    def _held(self, point: ChargingPoint) -> MilliAmpere:
        """Return the most the board may hold: what it was told, and what it is about to be told.

        A board of which nothing is known may have released everything.
        """
        held = point.actuator.held
        if held is None:
            return self._limits.framework.rating
        return max(held.limit, point.actuator.limit) if point.actuator.enabled else held.limit
