"""The steps to the backend as pages draw them."""

from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from station.domain.backend_ladder import Observation, Registered, Rung, Step, Verdict, ladder
from station.ui import format as formats
from station.ui import ladder_words
from station.web.present import Present

_ICONS = {
    Verdict.GOOD: "check-circle",
    Verdict.WARNING: "exclamation-triangle",
    Verdict.BAD: "x-circle",
    Verdict.NOT_REACHED: "minus-circle",
    Verdict.NOT_NEEDED: "minus-circle",
}
# A look at the way shows these; the rest is known of the connection that stands.
_LOOKED_AT = frozenset({Step.ADDRESS, Step.NAME, Step.TCP, Step.TLS})


@dataclass(frozen=True, kw_only=True)
class RungView:
    """One step in words."""

    step: Step
    verdict: Verdict
    icon: str
    name: str
    state: str
    measured: tuple[str, ...]
    sentence: str


@dataclass(frozen=True, kw_only=True)
class LadderView:
    """All steps of one attempt, and when it was."""

    rungs: tuple[RungView, ...]
    at: str

    @property
    def is_bad(self) -> bool:
        """Whether a step fails."""
        return any(rung.verdict is Verdict.BAD for rung in self.rungs)


def of_connection(present: Present) -> LadderView | None:
    """Return the steps of the attempt that stands or was the last; None while nobody knows."""
    backend = present.backend
    if backend is None or backend.attempt is None:
        return None
    climbed = ladder(backend.attempt, backend.registered, now=present.at)
    rungs = [_rung(rung, backend.attempt, backend.registered, present) for rung in climbed]
    checked = backend.checked
    at = backend.attempt.at
    if checked is not None and backend.connected and checked.at > at:
        at = checked.at
        fresh = ladder(checked, backend.registered, now=present.at)
        rungs[: len(_LOOKED_AT)] = [_rung(rung, checked, None, present) for rung in fresh if rung.step in _LOOKED_AT]
    return LadderView(rungs=tuple(rungs), at=formats.moment(at, present.zone))


def of_trial(tried: Observation, *, now: datetime, zone: ZoneInfo) -> LadderView:
    """Return the steps of a trial."""
    return LadderView(
        rungs=tuple(_view(rung, tried, None, now, zone) for rung in ladder(tried, None, now=now)),
        at=formats.moment(tried.at, zone),
    )


def last_failure(present: Present) -> str:
    """Say when the last attempt failed and why; empty where none has, or where the ladder shows that very one."""
    backend = present.backend
    if backend is None or backend.failed is None or backend.failed.ended_at is None:
        return ""
    failed = backend.failed
    if backend.attempt is not None and replace(failed, ended_at=None) == replace(backend.attempt, ended_at=None):
        return ""
    broken = next((each for each in ladder(failed, None, now=present.at) if each.verdict is Verdict.BAD), None)
    if broken is None:
        return ""
    return _("Last failure %(moment)s – %(step)s: %(sentence)s") % {
        "moment": formats.moment(failed.ended_at, present.zone),
        "step": ladder_words.step(broken.step),
        "sentence": ladder_words.sentence(broken, failed),
    }


def _rung(rung: Rung, seen: Observation, registered: Registered | None, present: Present) -> RungView:
    return _view(rung, seen, registered, present.at, present.zone)


def _view(rung: Rung, seen: Observation, registered: Registered | None, now: datetime, zone: ZoneInfo) -> RungView:
    return RungView(
        step=rung.step,
        verdict=rung.verdict,
        icon=_ICONS[rung.verdict],
        name=ladder_words.step(rung.step),
        state=ladder_words.verdict(rung.verdict),
        measured=ladder_words.measured(rung, seen, registered, now=now, zone=zone),
        sentence=ladder_words.sentence(rung, seen),
    )
