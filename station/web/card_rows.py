"""The whitelist as the page Users shows it: the list with what is not saved laid over it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import pgettext, pgettext_lazy

from station.domain.authorization import (
    AuthorizationStatus,
)
from station.domain.snapshot import HardwareSnapshot
from station.ui import format as formats
from station.web import decisions
from whitelist import query
from whitelist.csv_file import Plan
from whitelist.csv_text import CardLine
from whitelist.draft import Draft, StagedCard
from whitelist.models import Card, Source
from whitelist.normalise import key_of, normalise_uid

# More rows of a preview nobody reads; the counts beside them are complete.
_MOST_SHOWN = 100
_INPUT_FORMAT = "%Y-%m-%dT%H:%M"


@dataclass(frozen=True, kw_only=True)
class CardRow:
    """One card. `change`: added, changed, deleted, restored or empty; `problem` says why it could not be saved."""

    key: str
    uid: str
    group: str
    expires: str
    expires_input: str
    is_expired: bool
    accepted: bool
    authorization: str
    tone: str
    is_of_backend: bool
    deleted: bool
    change: str
    change_word: str
    problem: str


@dataclass(frozen=True, kw_only=True)
class SeenCard:
    """A card that was held to the reader a moment ago."""

    uid: str
    age: str
    is_listed: bool


def rows(
    cards: Iterable[Card], draft: Draft, *, now: datetime, zone: ZoneInfo, problems: Mapping[str, str]
) -> list[CardRow]:
    """Return what of the draft is not among these cards, then the cards with their edits."""
    shown = list(cards)
    keys = {card.key for card in shown}
    apart = [key for key, wanted in draft.staged.items() if key not in keys and not wanted.deleted]
    elsewhere = {card.key: card for card in Card.objects.filter(key__in=apart)}

    def row(key: str, card: Card | None, wanted: StagedCard) -> CardRow:
        return _row(key, card, wanted, now=now, zone=zone, problem=problems.get(key, ""))

    return [
        *(row(key, None, wanted) for key, wanted in draft.added.items()),
        *(row(key, card, draft.staged[key]) for key, card in elsewhere.items()),
        *(row(card.key, card, draft.staged.get(card.key) or StagedCard.of(card)) for card in shown),
    ]


def _row(key: str, card: Card | None, wanted: StagedCard, *, now: datetime, zone: ZoneInfo, problem: str) -> CardRow:
    change = _change_of(card, wanted)
    is_expired = wanted.expires_at is not None and wanted.expires_at <= now
    accepted = wanted.authorization == AuthorizationStatus.ACCEPTED.value
    return CardRow(
        key=key,
        uid=wanted.uid,
        group=wanted.group,
        expires=formats.moment(wanted.expires_at, zone) if wanted.expires_at else "",
        expires_input=wanted.expires_at.astimezone(zone).strftime(_INPUT_FORMAT).zfill(16) if wanted.expires_at else "",
        is_expired=is_expired,
        accepted=accepted,
        authorization=_authorization(wanted.authorization),
        tone="off" if wanted.deleted else "fault" if not accepted else "waiting" if is_expired else "free",
        is_of_backend=card is not None and card.source == Source.BACKEND,
        deleted=wanted.deleted,
        change=change,
        change_word=str(_CHANGES[change]),
        problem=problem,
    )


_CHANGES: Mapping[str, "str | Promise"] = {
    "": "",
    "added": pgettext_lazy("change of a card", "new"),
    "changed": pgettext_lazy("change of a card", "changed"),
    "deleted": pgettext_lazy("change of a card", "deleted"),
    "restored": pgettext_lazy("change of a card", "restored"),
}


def _change_of(card: Card | None, wanted: StagedCard) -> str:
    if card is None:
        return "added"
    present = StagedCard.of(card)
    if wanted == present:
        return ""
    if wanted.deleted != present.deleted:
        return "deleted" if wanted.deleted else "restored"
    return "changed"


def _authorization(status: str) -> str:
    if status == AuthorizationStatus.ACCEPTED.value:
        return pgettext("card", "accepted")
    # The page knows two; a backend may have written Expired or Invalid, which refuse as well.
    return pgettext("card", "blocked")


def seen(hardware: HardwareSnapshot | None, *, now: datetime) -> list[SeenCard]:
    """Return the last cards at the readers, the newest first."""
    if hardware is None:
        return []
    keys = [key_of(each.id_tag) for each in hardware.seen_cards]
    listed = set(Card.objects.present().filter(key__in=keys).values_list("key", flat=True))
    return [
        SeenCard(
            uid=each.id_tag,
            age=_("%(time)s ago") % {"time": formats.wait(max(0, int((now - each.at).total_seconds())))},
            is_listed=key_of(each.id_tag) in listed,
        )
        for each in hardware.seen_cards
    ]


def trials(text: str, *, now: datetime) -> list[decisions.Cell]:
    """Return what becomes of a card at this moment, and what without the backend. Raises `CardRefused`."""
    asked = query.collect_query(normalise_uid(text), now)
    if decisions.decides_alone(asked):
        return [decisions.cell(_("The whitelist decides alone"), asked)]
    return [
        decisions.cell(_("With the backend"), replace(asked, online=True)),
        decisions.cell(_("Without the backend"), replace(asked, online=False)),
    ]


@dataclass(frozen=True, kw_only=True)
class PreviewRow:
    """One line of a preview: what happens to which card."""

    kind: str
    kind_word: str
    line: str
    uid: str
    before: str
    after: str


def preview_rows(plan: Plan, zone: ZoneInfo) -> tuple[list[PreviewRow], int]:
    """Return what an import would do, card by card, and how many more there are than are shown."""
    found = [
        *(_preview("deleted", "", card.uid, _values(card, zone), "") for card in plan.deleted),
        *(
            _preview("changed", str(after.line), after.uid, _values(before, zone), _values(after, zone))
            for before, after in plan.changed
        ),
        *(_preview("added", str(card.line), card.uid, "", _values(card, zone)) for card in plan.added),
    ]
    return found[:_MOST_SHOWN], max(0, len(found) - _MOST_SHOWN)


def _preview(kind: str, line: str, uid: str, before: str, after: str) -> PreviewRow:
    return PreviewRow(kind=kind, kind_word=str(_CHANGES[kind]), line=line, uid=uid, before=before, after=after)


def _values(card: Card | CardLine, zone: ZoneInfo) -> str:
    status = card.authorization.value if isinstance(card, CardLine) else card.authorization
    parts = [_authorization(status), card.group, formats.moment(card.expires_at, zone) if card.expires_at else ""]
    return " · ".join(part for part in parts if part)
