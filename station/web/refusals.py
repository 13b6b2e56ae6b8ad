"""The card refused last: whoever held it to the reader, or typed its number, waits for an explanation."""

from dataclasses import dataclass
from datetime import timedelta

from station.models import LogEntry
from station.ui import format as formats
from station.ui import words
from station.web.present import Present

# Long enough to be read by somebody who walks from the station to the screen.
SHOWN_S = 30


@dataclass(frozen=True, kw_only=True)
class RefusedCard:
    """Which card (its beginning), when, and why not."""

    card: str
    time: str
    reason: str


def latest(present: Present) -> RefusedCard | None:
    """Return the card refused last, while it is recent."""
    since = present.at - timedelta(seconds=SHOWN_S)
    refused = LogEntry.objects.filter(code="start.refused", at__gt=since, at__lte=present.at)
    entry = refused.order_by("-at", "-pk").first()
    if entry is None:
        return None
    because, reason = str(entry.data.get("because") or ""), str(entry.data.get("reason") or "")
    return RefusedCard(
        card=f"{entry.data.get('id_tag', '')}…",
        time=formats.time_of_day(entry.at, present.zone),
        reason=words.word(words.CARD_REFUSALS, because, unknown=words.word(words.REFUSALS, reason)),
    )
