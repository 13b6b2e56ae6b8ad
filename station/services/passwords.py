"""Password rules of the web interface: long, hard to guess, and nothing that others know of the station."""

import socket
from collections.abc import Iterator
from typing import Any

from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.auth.password_validation import CommonPasswordValidator
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

MAXIMUM_LENGTH = 128
# Who has stolen the hashes guesses some ten a second and core (Argon2id as below): a year on a thousand cores.
ENOUGH_GUESSES = 10**10
# The time of the judgement grows with the square of the length; what is strong up to here is strong.
_JUDGED_LENGTH = 72
# A label such as "1" or "A2" says nothing.
_SHORTEST_DATUM = 4
_MAKER = "technagon"
# Somebody who guesses at a charging station tries these first; the lists of the library are English.
_WORDS_OF_THE_TRADE = (
    "wallbox",
    "ladestation",
    "ladesaeule",
    "ladesäule",
    "ladepunkt",
    "elektroauto",
    "charging",
    "charger",
    "station",
    "ocpp",
    "strom",
    "passwort",
    "kennwort",
    "geheim",
    "hallo",
    "willkommen",
    "administrator",
    "qwertz",
    "qwertzuiop",
    "yxcvbnm",
    "1qay2wsx",
    "sommer",
    "winter",
    "herbst",
    "frühling",
)


class StationArgon2Hasher(Argon2PasswordHasher):
    """Argon2id with the memory of a small computer in mind (OWASP: 19 MiB, two passes, one lane)."""

    time_cost = 2
    memory_cost = 19_456
    parallelism = 1


class MaximumLengthValidator:
    """Refuses passwords so long that hashing them would be an attack."""

    def validate(self, password: str, user: Any = None) -> None:
        """Raise ValidationError for more than 128 characters."""
        if len(password) > MAXIMUM_LENGTH:
            raise ValidationError(
                _("This password is too long. It may have at most %(count)d characters."),
                code="password_too_long",
                params={"count": MAXIMUM_LENGTH},
            )

    def get_help_text(self) -> str:
        return _("Your password may have at most %(count)d characters.") % {"count": MAXIMUM_LENGTH}


class StrengthValidator:
    """Refuses passwords that are guessed within minutes: repetitions, sequences, walks over keys, common words."""

    def validate(self, password: str, user: Any = None) -> None:
        """Raise ValidationError with what makes the password weak, and what to do."""
        # Loaded when somebody chooses a password: its lists of common words take 14 MiB.
        from zxcvbn import zxcvbn

        verdict = zxcvbn(password[:_JUDGED_LENGTH], user_inputs=list(_WORDS_OF_THE_TRADE))
        if verdict["guesses"] < ENOUGH_GUESSES:
            longest = max(verdict["sequence"], key=lambda match: len(match["token"]), default={"pattern": ""})
            raise ValidationError(f"{_weakness(longest['pattern'])} {_advice()}", code="password_weak")

    def get_help_text(self) -> str:
        return _advice()


class StationDataValidator:
    """Refuses passwords that contain what is printed on the station, what it tells everybody, or the user's name."""

    def validate(self, password: str, user: Any = None) -> None:
        """Raise ValidationError naming what the password contains."""
        from station.services import identity

        compact = _compact(password)
        for name, datum in _known_to_others(user):
            known = _compact(datum)
            if len(known) >= _SHORTEST_DATUM and known in compact:
                raise ValidationError(
                    _("This password contains %(name)s, which others know or can read. Leave it out."),
                    code="password_known",
                    params={"name": name},
                )
        stored = identity.load()
        # On the sticker it may be in capitals; a hash cannot be looked into, so both ways are tried.
        if stored.has_factory_password and any(map(stored.accepts_first_password, {password, password.upper()})):
            raise ValidationError(
                _("This is the password of the sticker. Choose one of your own, or keep the sticker's as it is."),
                code="password_of_the_sticker",
            )

    def get_help_text(self) -> str:
        return _("Your password must not contain what is printed on the station.")


def is_common_password(password: str) -> bool:
    """Return whether it is one of the 20 000 commonest, in any case."""
    # Read when it is needed: a list that stayed would take memory in every process.
    return password.casefold() in CommonPasswordValidator().passwords


def _advice() -> str:
    return _("Take at least four words that have nothing to do with each other, or have a password manager make one.")


def _weakness(pattern: str) -> str:
    match pattern:
        case "repeat":
            return _("This password repeats itself and is guessed within minutes.")
        case "sequence" | "spatial":
            return _("This password follows the alphabet, the numbers or the keys of a keyboard.")
        case "dictionary" | "date":
            return _("This password is made of common words, names or dates.")
        case _:
            return _("This password is too easy to guess.")


def _known_to_others(user: Any) -> Iterator[tuple[str, str]]:
    from station.services import configuration, identity

    present, stored = configuration.snapshot(), identity.load()
    if user is not None:
        yield _("the user name"), user.get_username()
    yield _("the serial number"), stored.serial
    yield _("the maker's name"), stored.vendor
    yield _("the maker's name"), _MAKER
    yield _("the model"), stored.model
    yield _("the name of the computer"), socket.gethostname()
    yield _("the chargebox ID"), configuration.get("/ocpp/chargeBoxIdentity")
    for number in range(1, stored.connectors + 1):
        yield _("the EVSE ID of a charging point"), present[f"/hw/connectors/{number}/evseId"]
        yield _("the label of a charging point"), present[f"/hw/connectors/{number}/evseLabel"]


def _compact(text: str) -> str:
    """Leave letters and digits only, so that blanks, stars and capitals hide nothing."""
    return "".join(letter for letter in text.casefold() if letter.isalnum())
