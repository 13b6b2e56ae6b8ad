"""What the station has answered lately, so that a repeated call gets its answer again and has no second effect."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

# A backend repeats a call it holds for lost within its own time-out.
KEPT_S = 120.0
# Counted in bytes: most answers take a hundred, a CALLERROR or a list of certificates may take some thousand.
MAX_BYTES = 1024 * 1024
# What an entry costs beside its text.
_ENTRY_BYTES = 512


def fingerprint(text: str | bytes) -> tuple[bytes, int]:
    """Return what tells a frame from others, and how many bytes it takes.

    The digest stands for the call: the list of cards in a SendLocalList must not be kept for the sake of a comparison.
    """
    content = text.encode() if isinstance(text, str) else text
    return hashlib.blake2b(content, digest_size=16).digest(), len(content)


@dataclass(frozen=True, kw_only=True)
class _Answered:
    digest: bytes
    text: str
    at_s: float

    @property
    def size(self) -> int:
        return len(self.text) + _ENTRY_BYTES


class AnsweredCalls:
    """Answers by message id; the oldest are forgotten when all together take more than `MAX_BYTES`."""

    def __init__(self) -> None:
        self._answers: OrderedDict[str, _Answered] = OrderedDict()
        self._size = 0

    @property
    def size(self) -> int:
        """The bytes that are held."""
        return self._size

    def find(self, message_id: str, digest: bytes, at_s: float) -> str | None:
        """Return the answer to the same call under the same id; None where it is new, or too long ago."""
        known = self._answers.get(message_id)
        if known is None or known.digest != digest or at_s - known.at_s >= KEPT_S:
            return None
        return known.text

    def remember(self, message_id: str, digest: bytes, text: str, at_s: float) -> None:
        """Keep an answer, in the place of an earlier one under this id."""
        self._forget(message_id)
        answered = _Answered(digest=digest, text=text, at_s=at_s)
        self._answers[message_id] = answered
        self._size += answered.size
        while self._size > MAX_BYTES:
            self._forget(next(iter(self._answers)))

    def clear(self) -> None:
        """Forget everything."""
        self._answers.clear()
        self._size = 0

    def _forget(self, message_id: str) -> None:
        gone = self._answers.pop(message_id, None)
        if gone is not None:
            self._size -= gone.size
