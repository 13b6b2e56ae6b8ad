"""Password rules of the web interface: long, not common, not derivable from anything printed on the station."""

from typing import Any

from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

MAXIMUM_LENGTH = 128


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


class StationNamesValidator:
    """Refuses passwords that contain what is printed on the housing or known to everybody."""

    def validate(self, password: str, user: Any = None) -> None:
        """Raise ValidationError when the password contains the serial number, the maker or the user name."""
        from station.services import identity

        known = {"technagon", "admin123", "password", "passwort"}
        serial = identity.load().serial
        if serial:
            known.add(serial.lower())
        lowered = password.lower()
        if any(name in lowered for name in known):
            raise ValidationError(
                _("This password contains something printed on the station or easy to guess. Choose another one."),
                code="password_guessable",
            )

    def get_help_text(self) -> str:
        return _("Your password must not contain the serial number or the maker's name.")
