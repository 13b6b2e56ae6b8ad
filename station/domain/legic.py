"""Which bytes of a LEGIC card's number become the idTag: the keys AuthIdLegicPrime and AuthIdLegicAdvant.

The manuals call their values patterns and say no more. A pattern here is fixed text and placeholders, an empty one is
`{uid}`:

    {uid}       all bytes of the number, as hexadecimal digits
    {uid:r}     the same with the last byte first, as many other readers tell them
    {uid:2-4}   from the second byte to the fourth; {uid:4-2} the other way round

Data in the segments of a card cannot be asked for: no reader this station knows tells more than the number.
"""

import re
from enum import StrEnum

from station.domain.id_tags import MAX_ID_TAG_LENGTH

_PLACEHOLDER = re.compile(r"\{uid(?::(?:(?P<reversed>r)|(?P<first>[1-9][0-9]?)-(?P<last>[1-9][0-9]?)))?\}")
# What an idTag may be made of beside the number; braces would be placeholders that are not known.
_FIXED = re.compile(r"[A-Za-z0-9*|+/=:_.@-]*")
_WHOLE = "{uid}"


class LegicTechnology(StrEnum):
    """What a reader says of such a card (`Tag.technology`)."""

    PRIME = "legic-prime"
    ADVANT = "legic-advant"


PATTERN_KEYS = {LegicTechnology.PRIME: "AuthIdLegicPrime", LegicTechnology.ADVANT: "AuthIdLegicAdvant"}
# A number of a LEGIC prime card has four bytes, one of a LEGIC advant card seven or eight.
_PRIME_BYTES = 4


class PatternMalformed(ValueError):
    """The text is no pattern."""


class NumberUnfit(ValueError):
    """The card's number has not the bytes the pattern asks for, or the result cannot be an idTag."""


def technology_of(number: bytes) -> LegicTechnology:
    """Tell the two kinds of cards apart by the length of their numbers."""
    return LegicTechnology.PRIME if len(number) == _PRIME_BYTES else LegicTechnology.ADVANT


def check_pattern(pattern: str) -> None:
    """Refuse a text that is no pattern, or whose fixed text leaves no room for a byte; raises PatternMalformed."""
    fixed = _PLACEHOLDER.sub("", pattern)
    # Without a placeholder every card would be the same one.
    if pattern and (fixed == pattern or len(fixed) > MAX_ID_TAG_LENGTH - 2 or not _FIXED.fullmatch(fixed)):
        raise PatternMalformed(pattern)


def id_tag_of(pattern: str, uid: str) -> str:
    """Return the idTag of a card with this number in hexadecimal digits; raises NumberUnfit."""
    pairs = [uid[start : start + 2] for start in range(0, len(uid), 2)]

    def bytes_of(match: re.Match[str]) -> str:
        if match["reversed"]:
            return "".join(reversed(pairs))
        if match["first"] is None:
            return uid
        first, last = int(match["first"]), int(match["last"])
        if max(first, last) > len(pairs):
            raise NumberUnfit(uid)
        chosen = pairs[min(first, last) - 1 : max(first, last)]
        return "".join(chosen if first <= last else reversed(chosen))

    id_tag = _PLACEHOLDER.sub(bytes_of, pattern or _WHOLE)
    if not id_tag or len(id_tag) > MAX_ID_TAG_LENGTH:
        raise NumberUnfit(uid)
    return id_tag
