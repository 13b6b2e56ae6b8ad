"""Who may charge as things are set: every kind of card in every situation, as the rules decide it."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from station.domain.authorization import (
    Authenticator,
    AuthorizationQuery,
    AuthorizationStatus,
    Entry,
    IdentificationMode,
    Verdict,
    decide,
)
from station.ui import words
from whitelist import query

TONES = {Verdict.ACCEPTED: "free", Verdict.REFUSED: "fault", Verdict.ASK_BACKEND: "waiting"}
_TAG = "CARD"
_EXPIRED_SINCE = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What becomes of a card in a situation, and why."""

    situation: str
    tone: str
    verdict: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """One kind of card."""

    card: str
    cells: tuple[Cell, ...]


def table(now: datetime) -> tuple[Row, ...]:
    """Return the table for the settings in force."""
    asked = query.collect_query(_TAG, now)
    accepted = Entry(status=AuthorizationStatus.ACCEPTED)
    cards = [
        (_("In the whitelist, accepted"), accepted, None),
        (_("In the whitelist, blocked"), replace(accepted, status=AuthorizationStatus.BLOCKED), None),
        (_("In the whitelist, expired"), replace(accepted, expires_at=now - _EXPIRED_SINCE), None),
        (_("Unknown here, accepted by the backend before"), None, accepted),
        (_("Unknown"), None, None),
    ]
    rows = [
        Row(card=name, cells=_cells(replace(asked, list_entry=listed, cache_entry=cached)))
        for name, listed, cached in cards
    ]
    if asked.mode is IdentificationMode.NONE:
        dummy = replace(asked, id_tag=asked.dummy_id, list_entry=None, cache_entry=None)
        rows.insert(0, Row(card=_("No card (%(id)s)") % {"id": asked.dummy_id}, cells=_cells(dummy)))
    return tuple(rows)


def _cells(asked: AuthorizationQuery) -> tuple[Cell, ...]:
    if decides_alone(asked):
        return (cell(_("The whitelist decides alone"), asked),)
    return (
        cell(_("Backend connected"), replace(asked, online=True, ever_accepted=True)),
        cell(_("Backend not reachable"), replace(asked, online=False, ever_accepted=True)),
        cell(_("Backend never reached so far"), replace(asked, online=False, ever_accepted=False)),
    )


def decides_alone(asked: AuthorizationQuery) -> bool:
    """Return whether the whitelist alone decides."""
    return not asked.backend_configured or asked.authenticator is Authenticator.WHITELIST


def cell(situation: str, asked: AuthorizationQuery) -> Cell:
    """Decide about a card in a situation."""
    decision = decide(asked)
    return Cell(
        situation=situation,
        tone=TONES[decision.verdict],
        verdict=words.word(words.VERDICTS, decision.verdict),
        reason=words.word(words.CARD_REASONS, decision.reason),
    )
