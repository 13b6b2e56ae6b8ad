"""Edits of the whitelist that are not saved yet: kept from page to page, shown over the list, made all together.

A draft belongs to one person. It names what a card shall be, not how it came to that, so that an edit and its opposite
leave nothing to save.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

from station.domain.authorization import AuthorizationStatus
from whitelist.editing import OFFERED, AddCard, Change, ChangeCard, DeleteCard, RestoreCard
from whitelist.models import Card
from whitelist.normalise import CardRefused, key_of, normalise_group, normalise_uid

# A list that is entered by hand; more come in a file.
MOST_STAGED = 200


@dataclass(frozen=True, kw_only=True)
class StagedCard:
    """What a card shall be. `expires_at` is an aware moment."""

    uid: str
    group: str = ""
    expires_at: datetime | None = None
    authorization: str = AuthorizationStatus.ACCEPTED.value
    deleted: bool = False

    @classmethod
    def of(cls, card: Card) -> Self:
        """Take a card as it is."""
        return cls(
            uid=card.uid,
            group=card.group,
            expires_at=card.expires_at,
            authorization=card.authorization,
            deleted=card.deleted_at is not None,
        )


@dataclass(kw_only=True)
class Draft:
    """What is not saved: `added` by key of the new card, `staged` by key of the card in the list."""

    added: dict[str, StagedCard]
    staged: dict[str, StagedCard]

    @classmethod
    def empty(cls) -> Self:
        """Return a draft with nothing in it."""
        return cls(added={}, staged={})

    @classmethod
    def read(cls, stored: Any) -> Self:
        """Read what `store` has written; anything else is an empty draft."""
        try:
            return cls(
                added={key: _read(each) for key, each in stored["added"].items()},
                staged={key: _read(each) for key, each in stored["staged"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return cls.empty()

    def store(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "added": {key: _write(each) for key, each in self.added.items()},
            "staged": {key: _write(each) for key, each in self.staged.items()},
        }

    def __len__(self) -> int:
        return len(self.added) + len(self.staged)

    # --- edits

    def add(self, wanted: StagedCard) -> None:
        """Enter a new card, or restore a deleted one of that number. Raises `CardRefused`."""
        uid = normalise_uid(wanted.uid)
        key = key_of(uid)
        present = Card.objects.filter(key=key).first()
        is_listed = present is not None and present.deleted_at is None
        if key in self.added or key in self.staged or is_listed:
            raise CardRefused("uid_taken", uid=uid)
        card = replace(wanted, uid=uid, group=normalise_group(wanted.group))
        if present is not None:
            self._stage(present, replace(card, uid=present.uid))
            return
        self._check_room()
        self.added[key] = card

    def edit(self, key: str, wanted: StagedCard) -> None:
        """Give a card other values. Raises `CardRefused`."""
        if key in self.added:
            del self.added[key]
            self.add(wanted)
            return
        present = self._find(key)
        group = wanted.group if wanted.group.strip() == present.group else normalise_group(wanted.group)
        uid = present.uid if wanted.uid.strip() == present.uid else normalise_uid(wanted.uid)
        other = key_of(uid)
        if other != key and (other in self.added or Card.objects.present().filter(key=other).exists()):
            raise CardRefused("uid_taken", uid=uid)
        self._stage(present, replace(wanted, uid=uid, group=group))

    def authorize(self, key: str, status: AuthorizationStatus) -> None:
        """Let a card charge, or block it. Raises `CardRefused`."""
        if status not in OFFERED:
            raise CardRefused("authorization", allowed="accepted, blocked")
        if key in self.added:
            self.added[key] = replace(self.added[key], authorization=status.value)
            return
        present = self._find(key)
        self._stage(present, replace(self._present(present), authorization=status.value))

    def delete(self, key: str) -> None:
        """Take a card out. Raises `CardRefused`."""
        if self.added.pop(key, None) is None:
            present = self._find(key)
            self._stage(present, replace(StagedCard.of(present), deleted=True))

    def restore(self, key: str) -> None:
        """Put a deleted card back. Raises `CardRefused`."""
        present = self._find(key)
        self._stage(present, replace(self._present(present), deleted=False))

    def undo(self, key: str) -> None:
        """Forget the edits of one card."""
        self.added.pop(key, None)
        self.staged.pop(key, None)

    def _find(self, key: str) -> Card:
        card = Card.objects.filter(key=key).first()
        if card is None:
            self.staged.pop(key, None)
            raise CardRefused("card_gone")
        return card

    def _present(self, card: Card) -> StagedCard:
        return self.staged.get(card.key) or StagedCard.of(card)

    def _stage(self, card: Card, wanted: StagedCard) -> None:
        if wanted == StagedCard.of(card):
            self.staged.pop(card.key, None)
            return
        if card.key not in self.staged:
            self._check_room()
        self.staged[card.key] = wanted

    def _check_room(self) -> None:
        if len(self) >= MOST_STAGED:
            raise CardRefused("too_many_unsaved", limit=MOST_STAGED)

    # --- saving

    def changes(self) -> list[tuple[str, Change]]:
        """Return the edits to make, each with the key of its card: what makes room comes first."""
        deletions, restorations, edits = [], [], []
        listed = Card.objects.in_bulk(list(self.staged), field_name="key")
        for key, wanted in self.staged.items():
            present = listed.get(key)
            if wanted.deleted:
                deletions.append((key, DeleteCard(key=key)))
                continue
            if present is not None and present.deleted_at is not None:
                restorations.append((key, RestoreCard(key=key)))
            if present is None or replace(StagedCard.of(present), deleted=False) != wanted:
                edits.append((key, _change(key, wanted)))
        additions = [(key, _addition(each)) for key, each in self.added.items()]
        return [*deletions, *restorations, *edits, *additions]


def _change(key: str, wanted: StagedCard) -> ChangeCard:
    return ChangeCard(
        key=key,
        uid=wanted.uid,
        group=wanted.group,
        expires_at=wanted.expires_at,
        authorization=AuthorizationStatus(wanted.authorization),
    )


def _addition(wanted: StagedCard) -> AddCard:
    return AddCard(
        uid=wanted.uid,
        group=wanted.group,
        expires_at=wanted.expires_at,
        authorization=AuthorizationStatus(wanted.authorization),
    )


def _write(card: StagedCard) -> dict[str, Any]:
    return {
        "uid": card.uid,
        "group": card.group,
        "expires_at": card.expires_at.isoformat() if card.expires_at else None,
        "authorization": card.authorization,
        "deleted": card.deleted,
    }


def _read(stored: Mapping[str, Any]) -> StagedCard:
    expires_at = stored["expires_at"]
    return StagedCard(
        uid=str(stored["uid"]),
        group=str(stored["group"]),
        expires_at=datetime.fromisoformat(expires_at) if expires_at else None,
        authorization=AuthorizationStatus(stored["authorization"]).value,
        deleted=bool(stored["deleted"]),
    )
