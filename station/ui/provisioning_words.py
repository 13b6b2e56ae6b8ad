"""Words for what the factory gave and the station cannot take; what to write instead stands in each."""

import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from station.ui import problems

_EXAMPLE = '{"serial": "100012345", "factoryPassword": "%s"}'
# Letters and digits that nobody takes for one another.
_PASSWORD_CHARACTERS, _PASSWORD_LENGTH = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ", 12
_EXAMPLES: Mapping[str, str] = {
    "serial": "100012345",
    "vendor": "Technagon GmbH",
    "model": "TE-AC22",
    "productionDate": "2026-11",
    "connectors": "2",
    "socketLock": "true",
    "ratedCurrentA": "32",
    "masterKey": "04A1B2C3D4E5F6",
}
MISTAKES: Mapping[str, "str | Promise"] = {
    "folder": _(
        "It is a folder, not a file. Copy the file itself: “mcopy -i /dev/sdX1 station-provision.json "
        "::station-provision.json”. It holds for instance %(file)s"
    ),
    "not_utf8": _("The file is not written in UTF-8. Save it as UTF-8, and write for instance %(file)s"),
    "not_json": _("It is no JSON. Write for instance %(file)s"),
    "not_json_at": _("It is no JSON (line %(line)s, column %(column)s). Write for instance %(file)s"),
    "no_object": _("It holds no JSON object. Write for instance %(file)s"),
    "half_character": _(
        "It holds half a character (\\ud800 to \\udfff), which cannot be stored. Write for instance %(file)s"
    ),
    "twice": _("“%(name)s” is named twice. Leave one of them out."),
    "unknown": _("“%(name)s” is unknown; known are %(known)s."),
    "missing": _("“%(name)s” is missing. Write for instance %(file)s"),
    "value": _("“%(name)s” is not allowed: %(reason)s Write for instance %(example)s"),
    "type": _("“%(name)s” is neither text nor number nor true or false. Write for instance %(example)s"),
    "master_key": _("“%(name)s” is no card number of 4 to 10 bytes in hex. Write for instance %(example)s"),
    "hardware": _("“hardware” cannot be used: %(where)s: %(text)s"),
    "other_serial": _(
        "This station has the serial number %(serial)s already, and what was given is for %(given)s. A station keeps "
        "its identity; to make another one of this computer, write a fresh image to its disk."
    ),
    "other_password": _(
        "The station %(serial)s has another factory password already, and keeps it. To change it, use “manage.py "
        "config set /identity/factoryPassword -”."
    ),
}
REFUSED_AT_THE_START = _(
    "The factory's file station-provision.json was refused at the start of the computer and overwritten, because it "
    "holds a password: %(reasons)s Correct it where it was written, and copy it to the EFI partition again."
)
REFUSED_AND_LEFT = _(
    "The factory's file station-provision.json was refused at the start of the computer: %(reasons)s It cannot be "
    "removed from the EFI partition, so that its password can be read from the disk. Every start of the computer tries "
    "it again. If this does not go away, the disk is failing: replace it. Correct the file where it was written, and "
    "copy it to the EFI partition again."
)
LEFT_BEHIND = _(
    "The factory's file station-provision.json cannot be removed from the EFI partition, so that its password can be "
    "read from the disk. Every start of the computer tries it again. If this does not go away, the disk is failing: "
    "replace it."
)


def say(code: str, data: Mapping[str, Any]) -> str:
    """Return one mistake in the reader's language."""
    # Another one each time: whoever takes the example has a good password.
    password = "".join(secrets.choice(_PASSWORD_CHARACTERS) for _ in range(_PASSWORD_LENGTH))
    examples = {**_EXAMPLES, "factoryPassword": password}
    told = {**data, "file": _EXAMPLE % password, "example": examples.get(str(data.get("name")), "")}
    if "problem" in data:
        told["reason"] = problems.say(str(data["problem"]), data)
    if code == "hardware":
        told["text"] = gettext(data["text"]) % data
    return str(MISTAKES[code]) % told


def say_all(mistakes: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """Return all mistakes, a line each."""
    return "\n".join(say(code, data) for code, data in mistakes)


def in_one_line(mistakes: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """Return all mistakes, one behind the other."""
    return " ".join(say(code, data) for code, data in mistakes)


def refused_at_the_start(mistakes: Iterable[tuple[str, Mapping[str, Any]]], *, is_left: bool) -> str:
    """Say that the factory's file was refused, why, what to do, and whether it was destroyed or is left on the disk."""
    return str(refusal(is_left=is_left)) % {"reasons": in_one_line(mistakes)}


def refusal(*, is_left: bool) -> "str | Promise":
    """Return the sentence around the reasons."""
    return REFUSED_AND_LEFT if is_left else REFUSED_AT_THE_START
