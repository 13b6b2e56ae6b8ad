"""The last hour of load management as a plot: the limit, the sum, and each charging point or station."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from station.domain.power_history import MOST_SAMPLES, SAMPLE_EVERY_S, PowerSample
from station.domain.snapshot import called
from station.services import power_history
from station.ui import charts
from station.ui import format as formats
from station.web import supply
from station.web.present import Present

_SPAN = timedelta(seconds=MOST_SAMPLES * SAMPLE_EVERY_S)
# A sample is missing when the next one is so much later.
_GAP_S = 3 * SAMPLE_EVERY_S
_WIDTH, _HEIGHT = 640, 180
# More curves nobody tells apart; the table has them all.
_MOST_CURVES = 8
_MA_PER_A = 1_000
_LIMIT = "limit"


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A curve with its line of the table; `kind` is limit, sum or the place in the row of colours."""

    kind: str
    name: str
    path: str
    latest: str
    mean: str
    highest: str


@dataclass(frozen=True, kw_only=True)
class PowerPlot:
    """What a template draws. Without a sample there is no plot yet."""

    id: str
    title: str
    curves: tuple[Curve, ...]
    across: tuple[tuple[float, str], ...]
    upwards: tuple[tuple[float, str], ...]
    has_samples: bool
    left_out: int


def plots(now: Present) -> tuple[PowerPlot, ...]:
    """Return the plot of the cluster, where there is one, and that of this station."""
    begin = now.at - _SPAN
    samples = [each for each in power_history.samples() if begin <= each.at <= now.at]
    known = now.hardware.cluster if now.hardware else None
    wiring = supply.rotations()
    of_station = _plot(
        "plot-station",
        _("This station"),
        samples,
        now,
        limits=[each.mains_ma for each in samples],
        totals=[max(each or 0 for each in supply.sums_ma(_numbered(sample), wiring)) for sample in samples],
        parts={str(number): _("Charging point %(number)s") % {"number": number} for number in now.connector_numbers},
        drawn=[
            {part: max(each or 0 for each in currents) for part, currents in each.points.items()} for each in samples
        ],
    )
    if known is None or not known.stations:
        return (of_station,)
    of_cluster = _plot(
        "plot-cluster",
        _("All stations of the cluster"),
        samples,
        now,
        limits=[each.cluster_ma for each in samples],
        totals=[sum(each.stations.values()) if each.stations else None for each in samples],
        parts={station.id: called(station.id, station.name) for station in known.stations},
        drawn=[each.stations for each in samples],
    )
    return (of_cluster, of_station)


def _numbered(sample: PowerSample) -> Iterable[tuple[int, Sequence[int | None]]]:
    return ((int(number), currents) for number, currents in sample.points.items())


def _plot(
    plot_id: str,
    title: str,
    samples: Sequence[PowerSample],
    now: Present,
    *,
    limits: Sequence[int | None],
    totals: Sequence[int | None],
    parts: Mapping[str, str],
    drawn: Sequence[Mapping[str, int]],
) -> PowerPlot:
    rows: list[tuple[str, str, Sequence[int | None]]] = [
        (_LIMIT, _("Limit per phase"), limits),
        ("sum", _("Sum"), totals),
    ]
    rows += [(str(index), name, [each.get(part) for each in drawn]) for index, (part, name) in enumerate(parts.items())]
    shown = rows[: 2 + _MOST_CURVES]
    begin = now.at - _SPAN
    moments = _moments(samples, begin)
    made = charts.lines(
        [_curve(values, moments) for _kind, _name, values in shown],
        span_s=_SPAN.total_seconds(),
        width=_WIDTH,
        height=_HEIGHT,
    )
    paths = [*made.paths, *("" for _each in rows[len(shown) :])]
    return PowerPlot(
        id=plot_id,
        title=title,
        curves=tuple(_row(kind, name, values, path) for (kind, name, values), path in zip(rows, paths, strict=True)),
        across=tuple(
            (tick.at, formats.time_of_day(begin + timedelta(seconds=tick.value), now.zone)) for tick in made.across
        ),
        upwards=tuple((tick.at, f"{tick.value:g}") for tick in made.upwards),
        has_samples=bool(samples),
        left_out=len(rows) - len(shown),
    )


def _moments(samples: Sequence[PowerSample], begin: datetime) -> list[tuple[float, float | None]]:
    """Return when the samples were taken, in seconds since the begin, and beside it where a gap before it began."""
    moments: list[tuple[float, float | None]] = []
    before_s: float | None = None
    for sample in samples:
        at_s = (sample.at - begin).total_seconds()
        moments.append((at_s, before_s if before_s is not None and at_s - before_s > _GAP_S else None))
        before_s = at_s
    return moments


def _curve(
    values: Sequence[int | None], moments: Sequence[tuple[float, float | None]]
) -> list[tuple[float, float | None]]:
    curve: list[tuple[float, float | None]] = []
    for (at_s, gap_s), value in zip(moments, values, strict=True):
        if gap_s is not None:
            curve.append((gap_s, None))
        curve.append((at_s, None if value is None else value / _MA_PER_A))
    return curve


def _row(kind: str, name: str, values: Sequence[int | None], path: str) -> Curve:
    # Of a limit it matters what it is now; its mean and its highest value say nothing of what was drawn.
    known = [value for value in values if value is not None] if kind != _LIMIT else []
    return Curve(
        kind=kind,
        name=name,
        path=path,
        latest=formats.ampere(values[-1] if values else None),
        mean=formats.ampere(round(sum(known) / len(known)) if known else None),
        highest=formats.ampere(max(known, default=None)),
    )
