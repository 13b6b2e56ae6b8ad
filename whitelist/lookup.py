"""Asking the whitelist about one card."""

from station.domain.authorization import AuthorizationStatus, Entry, EntrySource
from whitelist.models import Card
from whitelist.normalise import key_of


def find(id_tag: str) -> Entry | None:
    """Return the entry of a card, None when it is not listed (or deleted)."""
    card = Card.objects.present().filter(key=key_of(id_tag)).first()
    if card is None:
        return None
    return Entry(
        status=AuthorizationStatus(card.authorization),
        expires_at=card.expires_at,
        parent_id_tag=card.group or None,
        source=EntrySource(card.source),
    )
