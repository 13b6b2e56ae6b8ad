"""Normal form of id tags, and the key under which they are stored."""

import re
import unicodedata
from collections.abc import Mapping

from station.domain.id_tags import MAX_ID_TAG_LENGTH

# Readers, stickers and spreadsheets write 04:A2:B3, 04-A2-B3 or 04 A2 B3 for the card that the reader calls 04A2B3.
_SEPARATORS = re.compile(r"[ :.-]")
_HEX_BYTES = re.compile(r"(?:[0-9A-Fa-f]{2})+")


class CardRefused(Exception):
    """Something that cannot stand in the whitelist: a code of `whitelist.words` with its data."""

    def __init__(self, code: str, **data: object) -> None:
        super().__init__(code, data)
        self.code = code
        self.data: Mapping[str, object] = data


def key_of(id_tag: str) -> str:
    """Return what two writings of one id tag have in common: upper and lower case are the same (OCPP 1.6, 7.28)."""
    return id_tag.strip().casefold()


def normalise_uid(text: str) -> str:
    """Bring a card number that a person wrote into the form readers deliver. Raises `CardRefused`.

    Separators fall away only where whole bytes in hex remain; any other printable text is kept as it is.
    """
    trimmed = text.strip()
    bare = _SEPARATORS.sub("", trimmed)
    uid = bare if _HEX_BYTES.fullmatch(bare) else trimmed
    if not uid:
        raise CardRefused("uid_empty")
    _check_text(uid, "uid")
    return uid


def normalise_group(text: str) -> str:
    """Check a group (parentIdTag) that a person wrote; empty is no group. Raises `CardRefused`."""
    group = text.strip()
    _check_text(group, "group")
    return group


def check_backend_tag(text: str, field: str = "uid") -> str:
    """Trim an id tag of the backend, which is otherwise kept as it came. Raises `CardRefused`."""
    tag = text.strip()
    if not tag:
        raise CardRefused("uid_empty")
    # A few letters outside ASCII grow when their case is folded; the key has to fit as well.
    _check_length(key_of(tag), field)
    _check_length(tag, field)
    if _has_control_characters(tag):
        raise CardRefused(f"{field}_control_character")
    return tag


def _check_text(text: str, field: str) -> None:
    if _has_control_characters(text):
        raise CardRefused(f"{field}_control_character")
    if not text.isascii():
        raise CardRefused(f"{field}_not_ascii")
    _check_length(text, field)


def _check_length(text: str, field: str) -> None:
    if len(text) > MAX_ID_TAG_LENGTH:
        raise CardRefused(f"{field}_too_long", length=len(text), limit=MAX_ID_TAG_LENGTH)


def _has_control_characters(text: str) -> bool:
    if text.isprintable():
        return False
    # Blanks other than the ordinary one do not count as printable, but do no harm.
    return any(unicodedata.category(sign).startswith("C") or sign in "\u2028\u2029" for sign in text)
