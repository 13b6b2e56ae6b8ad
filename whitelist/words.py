"""Words for what the whitelist refuses; the codes are raised by `normalise`, `editing` and `csv_text`."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

REFUSALS: Mapping[str, str | Promise] = {
    "uid_empty": _("A card number is needed."),
    "uid_too_long": _("The card number has %(length)s characters; at most %(limit)s are allowed."),
    "uid_control_character": _("The card number contains control characters."),
    "uid_not_ascii": _("The card number may contain only letters A–Z, digits and signs of the English keyboard."),
    "uid_taken": _("The card %(uid)s is already in the list."),
    "uid_twice": _("The card %(uid)s already stands in line %(first)s."),
    "uid_spoilt": _("A spreadsheet has turned the card number into %(uid)s. Format the column as text before editing."),
    "group_too_long": _("The GID has %(length)s characters; at most %(limit)s are allowed."),
    "group_control_character": _("The GID contains control characters."),
    "group_not_ascii": _("The GID may contain only letters A–Z, digits and signs of the English keyboard."),
    "authorization": _("The authorization must be one of: %(allowed)s."),
    "expiry": _("“%(text)s” is not an expiry like 2030-01-31T12:00:00."),
    "card_gone": _("This card is no longer in the list."),
    "list_full": _("The list is full."),
    "too_many_unsaved": _("Save first: %(limit)s unsaved changes are the most."),
    "file_too_large": _("The file is larger than %(limit)s bytes."),
    "file_not_text": _("The file is not text in UTF-8 or Windows-1252."),
    "file_header": _("The first line must be %(header)s."),
    "file_quotes": _("The quotation marks in this line do not match."),
    "file_columns": _("The line has %(count)s columns instead of %(expected)s."),
}


def describe(code: str, data: Mapping[str, object]) -> str:
    """Return a refusal in the language of the reader."""
    return str(REFUSALS[code]) % data


def describe_line(line: int, code: str, data: Mapping[str, object]) -> str:
    """Return why a file is refused and where its first mistake is."""
    return str(_("Line %(line)s: %(reason)s")) % {"line": line, "reason": describe(code, data)}
