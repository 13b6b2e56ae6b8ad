"""The field of the card reader: which tag lies in it, for how long, and what the reader was told to show."""

import re
from collections import deque
from dataclasses import dataclass, field

from hardware.protocols.twn4 import Led
from station.domain.id_tags import MAX_ID_TAG_LENGTH

# A swiped card stays in the field this long, and until the reader was asked once, but not longer than the second value.
HELD_S = 0.300
HELD_AT_MOST_S = 2.0
# The same card again is a swipe of its own only after readers have taken its absence for more than an unsteady hand;
# whoever listens to a reader measures that for each card, whatever other cards came in between.
SAME_CARD_AWAY_S = 0.700


NO_LED = Led(0)
# LEGIC prime: 4 bytes; LEGIC advant: 7 or 8 (fact sheet rfid.md).
_LEGIC_NUMBER = re.compile(r"(?:[0-9A-Fa-f]{2}){4}|(?:[0-9A-Fa-f]{2}){7,8}")


class TagUnusable(Exception):
    """The text cannot be the id of a tag."""

    def __init__(self, uid: str) -> None:
        super().__init__(
            f"a uid has 1 to {MAX_ID_TAG_LENGTH} printable ASCII characters, this one has {len(uid)}: {uid[:40]!r}"
        )


class LegicNumberMalformed(TagUnusable):
    """The text is no number of a LEGIC card."""

    def __init__(self, uid: str) -> None:
        Exception.__init__(self, f"a LEGIC card has a number of 4, 7 or 8 bytes in hexadecimal digits: {uid[:40]!r}")


@dataclass(kw_only=True)
class ReaderField:
    """Tags in the order they were swiped, and light and sound of the reader."""

    present: str | None = None
    waiting: deque[str] = field(default_factory=deque)
    since_s: float = 0.0
    left_at_s: dict[str, float] = field(default_factory=dict)
    legic: set[str] = field(default_factory=set)
    was_seen: bool = True
    leds: Led = NO_LED
    beeps: int = 0

    def swipe(self, uid: str, *, now_s: float, is_legic: bool = False) -> None:
        """Hold a tag before the reader, after those that are already there; raises TagUnusable."""
        if not 1 <= len(uid) <= MAX_ID_TAG_LENGTH or not uid.isascii() or not uid.isprintable():
            raise TagUnusable(uid)
        if is_legic and not _LEGIC_NUMBER.fullmatch(uid):
            raise LegicNumberMalformed(uid)
        (self.legic.add if is_legic else self.legic.discard)(uid)
        self.waiting.append(uid)
        self.advance(now_s=now_s)

    def advance(self, *, now_s: float) -> None:
        """Take the tag away when its time is over; the next one comes once the field was empty."""
        if self.present is not None:
            held_s = now_s - self.since_s
            if self.was_seen and (held_s >= HELD_S or self.waiting):
                self._take_away(self.present, was_seen=False, now_s=now_s)
            elif held_s >= HELD_AT_MOST_S:
                self._take_away(self.present, was_seen=True, now_s=now_s)
        elif self.waiting and self._may_follow(now_s=now_s):
            self.present, self.was_seen, self.since_s = self.waiting.popleft(), False, now_s

    def search(self, *, now_s: float) -> str | None:
        """Return the tag in the field, as the reader does when it is asked."""
        self.advance(now_s=now_s)
        self.was_seen = True
        return self.present

    def clear(self, *, now_s: float) -> None:
        """Take all tags away."""
        if self.present is not None:
            self._take_away(self.present, was_seen=True, now_s=now_s)
        self.waiting.clear()
        self.was_seen = True

    def _take_away(self, uid: str, *, was_seen: bool, now_s: float) -> None:
        self.present, self.was_seen, self.since_s = None, was_seen, now_s
        recent = {tag: left_s for tag, left_s in self.left_at_s.items() if now_s - left_s < SAME_CARD_AWAY_S}
        self.left_at_s = {**recent, uid: now_s}

    def _may_follow(self, *, now_s: float) -> bool:
        left_at_s = self.left_at_s.get(self.waiting[0])
        if left_at_s is not None and now_s - left_at_s < SAME_CARD_AWAY_S:
            return False
        # `was_seen` of an empty field: the reader has noticed that the previous tag is gone.
        return self.was_seen or now_s - self.since_s >= HELD_AT_MOST_S
