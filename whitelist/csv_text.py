"""The text of the file user-export.csv: parsing and rendering, without files or database."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from station.domain.authorization import AuthorizationStatus
from station.ui.spreadsheet import guard, unguard
from whitelist.normalise import CardRefused, key_of, normalise_group, normalise_uid

HEADER = ("UID", "GID", "Expiry", "Authorization")
MAX_BYTES = 1_000_000
_DELIMITERS = (",", ";")
_AUTHORIZATIONS = {"accepted": AuthorizationStatus.ACCEPTED, "blocked": AuthorizationStatus.BLOCKED}
_ALL_DIGITS = re.compile(r"\d+")
# More than anybody mends before trying again.
MOST_MISTAKES = 50
# What a spreadsheet makes of a long card number with an E in it, or with digits only: the card number is lost.
_SCIENTIFIC = re.compile(r"\d+(?:[.,]\d+)?E\+\d+", re.IGNORECASE)
_ISO_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?")
_GERMAN_MOMENT = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?: (\d{1,2}):(\d\d)(?::(\d\d))?)?")


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """What is wrong in a line of the file: a code of `whitelist.words` and its data."""

    line: int
    code: str
    data: Mapping[str, object]


class FileRefused(Exception):
    """The file cannot be taken, so nothing of it was: the first mistake, and at most `MOST_MISTAKES` in all."""

    def __init__(self, line: int, code: str, **data: object) -> None:
        super().__init__(line, code, data)
        self.mistakes: tuple[Mistake, ...] = (Mistake(line=line, code=code, data=data),)

    @classmethod
    def of(cls, mistakes: Sequence[Mistake]) -> "FileRefused":
        """Refuse a file for several mistakes."""
        refused = cls(mistakes[0].line, mistakes[0].code, **mistakes[0].data)
        refused.mistakes = tuple(mistakes[:MOST_MISTAKES])
        return refused

    @property
    def line(self) -> int:
        """The line of the first mistake."""
        return self.mistakes[0].line

    @property
    def code(self) -> str:
        """What the first mistake is."""
        return self.mistakes[0].code

    @property
    def data(self) -> Mapping[str, object]:
        """The data of the first mistake."""
        return self.mistakes[0].data


@dataclass(frozen=True, kw_only=True)
class CardLine:
    """One card of the file; `authorization` is Accepted or Blocked."""

    line: int
    uid: str
    group: str
    expires_at: datetime | None
    authorization: AuthorizationStatus

    @property
    def key(self) -> str:
        """The key under which the whitelist stores the card."""
        return key_of(self.uid)


@dataclass(frozen=True, kw_only=True)
class CardFile:
    """A file without mistakes; `processed` counts its lines, the header included."""

    cards: tuple[CardLine, ...]

    @property
    def processed(self) -> int:
        """How many lines were worked on."""
        return len(self.cards) + 1


def parse(content: bytes, known: Mapping[str, tuple[str, str]] | None = None) -> CardFile:
    """Read a file. Raises `FileRefused` with the mistakes of its lines.

    `known` has UID and group of the cards listed already, by key: their writing goes before the rules for new ones,
    because a backend may use any text.
    """
    text = _decode(content)
    rows = _rows(text, _find_delimiter(text))
    next(rows)
    cards: dict[str, CardLine] = {}
    mistakes: list[Mistake] = []
    try:
        for line, cells in rows:
            try:
                card = _read_card(line, cells, known or {})
            except FileRefused as refused:
                mistakes += refused.mistakes
                continue
            if card.key in cards:
                twice = {"uid": card.uid, "first": cards[card.key].line}
                mistakes.append(Mistake(line=line, code="uid_twice", data=twice))
            cards.setdefault(card.key, card)
    except FileRefused as refused:
        # Behind a quotation mark without a partner nothing can be told apart.
        mistakes += refused.mistakes
    if mistakes:
        raise FileRefused.of(mistakes)
    return CardFile(cards=tuple(cards.values()))


def listed_with_zeros(uid: str, known: Iterable[str]) -> str | None:
    """Return the one listed card number that differs from this one by leading zeros only.

    Spreadsheet programs take a card number of digits for a number and strip its zeros.
    """
    if not _ALL_DIGITS.fullmatch(uid):
        return None
    found = [other for other in known if other != uid and _ALL_DIGITS.fullmatch(other) and int(other) == int(uid)]
    longer = [other for other in found if len(other) > len(uid)]
    return longer[0] if len(longer) == 1 else None


def render(cards: Iterable[tuple[str, str, datetime | None, str]]) -> bytes:
    """Write UID, group, expiry and authorization of cards as a file that `parse` reads back to the same."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(HEADER)
    for uid, group, expires_at, authorization in cards:
        writer.writerow([guard(uid), guard(group), write_expiry(expires_at), write_authorization(authorization)])
    return stream.getvalue().encode()


def write_authorization(authorization: str) -> str:
    """Name an AuthorizationStatus as the file does, which knows two: whatever is not accepted is blocked."""
    return "accepted" if authorization == AuthorizationStatus.ACCEPTED.value else "blocked"


def write_expiry(expires_at: datetime | None) -> str:
    """Write an expiry as the file does: UTC, without saying so, to the second."""
    return "" if expires_at is None else expires_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S").zfill(19)


def _decode(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise FileRefused(1, "file_too_large", limit=MAX_BYTES)
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise FileRefused(1, "file_not_text")


def _find_delimiter(text: str) -> str:
    """Return the delimiter; a header that is one cell, to be taken apart, counts only as a last resort."""
    for take_apart in (False, True):
        for delimiter in _DELIMITERS:
            with suppress(FileRefused):
                _, first = next(_rows(text, delimiter, take_apart=take_apart), (1, ()))
                if first == HEADER:
                    return delimiter
    raise FileRefused(1, "file_header", header=",".join(HEADER))


def _rows(text: str, delimiter: str, *, take_apart: bool = True) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Go through the lines that say something, each with its number."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise FileRefused(line, "file_quotes") from error
        cells = _without_empty_end(cells)
        if take_apart:
            cells = _unwrap(cells)
        if cells:
            yield line, tuple(cell.strip() for cell in cells)


def _without_empty_end(cells: list[str]) -> list[str]:
    while cells and not cells[-1].strip():
        cells.pop()
    return cells


def _unwrap(cells: list[str]) -> list[str]:
    """Take apart a line that a spreadsheet kept in its first column, and so wrote as one cell."""
    if len(cells) != 1:
        return cells
    for delimiter in _DELIMITERS:
        if delimiter in cells[0]:
            return next(csv.reader([cells[0]], delimiter=delimiter), cells)
    return cells


def _read_card(line: int, cells: tuple[str, ...], known: Mapping[str, tuple[str, str]]) -> CardLine:
    if len(cells) != len(HEADER):
        raise FileRefused(line, "file_columns", count=len(cells), expected=len(HEADER))
    uid, group, expiry, authorization = (unguard(cell) for cell in cells)
    try:
        uid = _read_uid(uid, known)
        _, known_group = known.get(key_of(uid), ("", ""))
        group = group if group == known_group else normalise_group(group)
    except CardRefused as refusal:
        raise FileRefused(line, refusal.code, **refusal.data) from refusal
    status = _AUTHORIZATIONS.get(authorization.lower())
    if status is None:
        raise FileRefused(line, "authorization", allowed=", ".join(_AUTHORIZATIONS))
    return CardLine(line=line, uid=uid, group=group, expires_at=_read_expiry(line, expiry), authorization=status)


def _read_uid(text: str, known: Mapping[str, tuple[str, str]]) -> str:
    if (key := key_of(text)) in known:
        return known[key][0]
    if _SCIENTIFIC.fullmatch(text):
        raise CardRefused("uid_spoilt", uid=text)
    uid = normalise_uid(text)
    return known[key_of(uid)][0] if key_of(uid) in known else uid


def _read_expiry(line: int, text: str) -> datetime | None:
    if not text:
        return None
    try:
        if _ISO_MOMENT.fullmatch(text):
            moment = datetime.fromisoformat(text)
        elif german := _GERMAN_MOMENT.fullmatch(text):
            day, month, year, hour, minute, second = (int(part or 0) for part in german.groups())
            moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        else:
            raise FileRefused(line, "expiry", text=text[:40])
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise FileRefused(line, "expiry", text=text[:40]) from error
