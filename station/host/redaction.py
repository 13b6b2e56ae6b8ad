"""Keeping secrets and card numbers out of what leaves the station, whatever form they take."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from station.host.logs import MASK, mask_secrets

# Shorter values (a PIN) are masked only where they stand alone: elsewhere they would mask parts of other numbers.
_SAFE_LENGTH = 8
_SHORTEST = 3
# A piece of base64 this long does not appear by accident.
_SHORTEST_PIECE = 6
_SHOWN = 4
_TAG = re.compile(r'("(?:\w*id_?tag|uid)"\s*:\s*")([^"\\]{5,40})(")', re.IGNORECASE)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)")
_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?!.*-----END)")
_KEY_ENDS = re.compile(r"-----END [A-Z ]*PRIVATE KEY-----")


def _pieces(secret: bytes) -> Iterator[str]:
    """Yield what is visible of a secret in the base64 of a longer text, for each of the three alignments."""
    for offset in range(3):
        text = base64.b64encode(bytes(offset) + secret).decode()
        piece = text[-(-offset * 8 // 6) : (offset + len(secret)) * 8 // 6]
        if len(piece) >= _SHORTEST_PIECE:
            yield piece
            yield piece.replace("+", "-").replace("/", "_")
    whole = base64.b64encode(secret).decode()
    if len(whole) > _SHORTEST_PIECE:
        yield whole
        yield base64.urlsafe_b64encode(secret).decode()


def _decoded(secret: str) -> bytes | None:
    """Return the bytes of a secret that is written in hex, as an AuthorizationKey often is."""
    try:
        raw = binascii.unhexlify(secret)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) >= _SAFE_LENGTH else None


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield secret.encode("unicode_escape").decode()
    yield secret.replace("\\", "\\\\").replace('"', '\\"')
    for encoded in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield encoded
        yield re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), encoded)
    yield from _encoded(secret.encode())
    if raw := _decoded(secret):
        yield from _encoded(raw)


def _encoded(raw: bytes) -> Iterator[str]:
    yield raw.hex()
    yield raw.hex().upper()
    yield raw.hex(":")
    yield raw.hex(":").upper()
    yield raw.hex(" ")
    yield from _pieces(raw)


class Redaction:
    """Masks known secrets in every usual form, unknown ones behind their names, and shortens card numbers."""

    def __init__(self, secrets: Iterable[str]) -> None:
        patterns: dict[str, None] = {}
        for secret in secrets:
            for form in _forms(secret):
                if len(form) >= _SAFE_LENGTH:
                    patterns[re.escape(form)] = None
                elif len(form) >= _SHORTEST:
                    patterns[rf"(?<![^\W_]){re.escape(form)}(?![^\W_])"] = None
        longest_first = sorted(patterns, key=len, reverse=True)
        self._secrets = re.compile("|".join(longest_first)) if longest_first else None
        self._inside_key = False

    def line(self, text: str) -> str:
        """Return a line without secrets. Lines come in order: a private key may span several."""
        if self._inside_key:
            self._inside_key = not _KEY_ENDS.search(text)
            return MASK + "\n"
        self._inside_key = bool(_KEY_BEGINS.search(text))
        text = _PRIVATE_KEY.sub(MASK, text)
        if self._secrets is not None:
            text = self._secrets.sub(MASK, text)
        return _TAG.sub(_shortened, mask_secrets(text))


def _shortened(match: re.Match[str]) -> str:
    # The same card keeps the same substitute, so that it can be traced through the log.
    name = hashlib.sha256(match[2].encode()).hexdigest()[:6]
    return f"{match[1]}{match[2][:_SHOWN]}…{name}{match[3]}"
