"""What was drawn in the last hour: a sample every ten seconds, for the plot of the load management."""

from dataclasses import dataclass, field
from datetime import datetime

from station.domain.snapshot import HardwareSnapshot
from station.domain.units import MilliAmpere

SAMPLE_EVERY_S = 10
MOST_SAMPLES = 360


@dataclass(frozen=True, kw_only=True)
class PowerSample:
    """The currents of one moment: `points` by the number of the charging point, in its own three phases.

    `cluster_ma` is the cluster's limit (None: no cluster), `stations` the highest phase current of each of its
    stations by its id, counted as if all its charging points loaded the same phase..
    """

    at: datetime
    mains_ma: MilliAmpere
    points: dict[str, tuple[MilliAmpere | None, MilliAmpere | None, MilliAmpere | None]]
    cluster_ma: MilliAmpere | None = None
    stations: dict[str, MilliAmpere] = field(default_factory=dict)


def sample_of(snapshot: HardwareSnapshot) -> PowerSample:
    """Return what is drawn now."""
    cluster = snapshot.cluster
    stations = cluster.stations if cluster is not None and cluster.is_told else ()
    return PowerSample(
        at=snapshot.at,
        mains_ma=snapshot.mains_ma,
        points={str(point.number): point.currents_ma for point in snapshot.points},
        cluster_ma=cluster.limit_ma if cluster is not None and cluster.enabled else None,
        stations={
            station.id: MilliAmpere(sum(point.flowing_ma for point in station.points))
            for station in stations
            if not station.lost and station.link_age_s is not None
        },
    )
