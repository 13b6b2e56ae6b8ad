"""What a station is given where it is made: identity, factory password, description of its hardware.

It comes as a JSON object, from a file beside the boot loader or from a person at the serial console, and is taken once.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from django.conf import settings
from django.contrib.auth.hashers import check_password

from station import private_files
from station.domain.configuration import ROWS, InvalidValue, Storage
from station.services import identity

_SERIAL, _PASSWORD = "serial", "factoryPassword"
_PREFIX = "/identity/"
_ROWS = {row.name.removeprefix(_PREFIX): row for row in ROWS if row.storage is Storage.IDENTITY}
_MASTER_KEY, _HARDWARE = "masterKey", "hardware"
_NAMES = (*_ROWS, _MASTER_KEY, _HARDWARE)
_EXAMPLE = '{"serial": "100012345", "factoryPassword": "K7WQ2MZ9PXAB"}'


class ProvisioningRefused(Exception):
    """What was given cannot be taken; the message says what to do and never holds a password."""


@dataclass(frozen=True, kw_only=True)
class Provision:
    """What was given, checked; `values` are configuration keys in normal form."""

    values: Mapping[str, str] = field(repr=False)
    master_key: str = field(default="", repr=False)
    hardware: object = None

    @property
    def serial(self) -> str:
        return self.values[_PREFIX + _SERIAL]

    @property
    def password(self) -> str:
        return self.values[_PREFIX + _PASSWORD]


def parse(text: str) -> Provision:
    """Read the JSON object. Raises ProvisioningRefused with every mistake in it."""
    try:
        # Editors of Windows begin a file with a byte order mark.
        content = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        # The place only: the message of some errors repeats the text, in which the password stands.
        place = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else "the text"
        raise ProvisioningRefused(f"It is no JSON ({place}). Write for instance {_EXAMPLE}") from None
    if not isinstance(content, dict):
        raise ProvisioningRefused(f"It holds no JSON object. Write for instance {_EXAMPLE}")
    mistakes = [f"“{name}” is unknown; known are {', '.join(_NAMES)}." for name in content if name not in _NAMES]
    mistakes += [
        f"“{name}” is missing. Write for instance {_EXAMPLE}"
        for name in (_SERIAL, _PASSWORD)
        if content.get(name) is None or content[name] == ""
    ]
    values: dict[str, str] = {}
    for name, row in _ROWS.items():
        given = content.get(name)
        if given is None or given == "":
            continue
        try:
            values[row.name] = row.parse(_as_text(given))
        except (InvalidValue, TypeError):
            mistakes.append(f"“{name}” is not allowed: {row.allowed}.")
    master_key = content.get(_MASTER_KEY, "")
    if not isinstance(master_key, str) or not identity.is_master_key(master_key):
        mistakes.append(f"“{_MASTER_KEY}” is no card number of 4 to 10 bytes in hex, for instance 04A1B2C3D4E5F6.")
    if mistakes:
        raise ProvisioningRefused("\n".join(mistakes))
    return Provision(values=values, master_key=master_key, hardware=content.get(_HARDWARE))


def take(given: Provision, *, check_hardware: Callable[[object], object]) -> bool:
    """Write the identity and the description of the hardware; return False where the station has both already.

    Raises ProvisioningRefused for another station's identity, and what `check_hardware` raises.
    """
    present = identity.load()
    if present.serial:
        if present.serial != given.serial:
            raise ProvisioningRefused(
                f"This station has the serial number {present.serial} already, and what was given is for "
                f"{given.serial}. A station keeps its identity; to make another one of this computer, write a fresh "
                "image to its disk."
            )
        if not check_password(given.password, present.factory_password_hash):
            raise ProvisioningRefused(
                f"The station {present.serial} has another factory password already, and keeps it. To change it, use "
                "“manage.py config set /identity/factoryPassword -”."
            )
        return False
    if given.hardware is not None:
        check_hardware(given.hardware)
        text = json.dumps(given.hardware, indent=2, ensure_ascii=False)
        private_files.write(settings.DATA.hardware, f"{text}\n".encode())
    # The identity last: with it the station is provisioned.
    made = identity.with_values(present, given.values)
    identity.save(replace(made, master_key=given.master_key or made.master_key))
    return True


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _value in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ProvisioningRefused(f"“{double}” is named twice. Leave one of them out.")
    return content


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise TypeError
