"""What happens when the links of a cluster are lost, as a table and in words, from what the stations may draw now."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from station.domain.cluster.link_lost import LATEST_S, Outlook, Step, outlook
from station.domain.snapshot import called
from station.ui import cluster_words, words
from station.ui import format as formats
from station.web.present import Present

_PHASES = ("L1", "L2", "L3")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A charging point, or a sum, with its current after every step; `is_above`: more than the limit anywhere."""

    name: str
    is_master: bool
    values: tuple[str, ...]
    is_above: bool = False


@dataclass(frozen=True, kw_only=True)
class StepView:
    """A step: when at the latest, and what happens."""

    time: str
    title: str
    text: str


@dataclass(frozen=True, kw_only=True)
class LinkLost:
    """The whole answer; `highest` is the largest sum of all."""

    limit: str
    highest: str
    steps: tuple[StepView, ...]
    rows: tuple[Row, ...]
    sums: tuple[Row, ...]
    is_safe: bool


def of(now: Present) -> LinkLost | None:
    """Return the answer for the cluster as it is; None without one."""
    known = now.hardware.cluster if now.hardware else None
    if known is None or not known.is_told or known.limit_ma is None or not known.stations:
        return None
    found = outlook(known.stations, known.limit_ma)
    highest = max(max(each.sums) for each in found)
    return LinkLost(
        limit=formats.ampere(known.limit_ma),
        highest=formats.ampere(highest),
        steps=tuple(_step(each) for each in found),
        rows=tuple(
            Row(
                name=_("%(station)s, charging point %(number)s")
                % {"station": called(station.id, station.name), "number": point.number},
                is_master=station.role == "master",
                values=tuple(formats.ampere(each.limits[station.id][index]) for each in found),
            )
            for station in known.stations
            for index, point in enumerate(station.points)
        ),
        sums=tuple(
            Row(
                name=_("Sum on %(phase)s") % {"phase": name},
                is_master=False,
                values=tuple(formats.ampere(each.sums[index]) for each in found),
                is_above=any(each.sums[index] > known.limit_ma for each in found),
            )
            for index, name in enumerate(_PHASES)
        ),
        is_safe=highest <= known.limit_ma,
    )


def _step(each: Outlook) -> StepView:
    seconds = LATEST_S[each.step]
    return StepView(
        time=_("now")
        if each.step is Step.NOW
        else _("after %(seconds)d s at the latest") % {"seconds": round(seconds)},
        title=words.word(cluster_words.LINK_LOST_TITLES, each.step),
        text=words.word(cluster_words.LINK_LOST, each.step),
    )
