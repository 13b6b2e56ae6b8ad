"""What a station is given where it is made: identity, factory password, description of its hardware.

It comes as a JSON object, from a file beside the boot loader or from a person at the serial console. The identity is
taken once; the description of the hardware is replaced as often as somebody gives it who knows the factory password.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import check_password

from station import clock, private_files
from station.domain.configuration import ROWS, InvalidValue, Storage
from station.domain.configuration.checks import refuse_weak_password
from station.services import identity
from station.services.passwords import is_common_password

_SERIAL, _PASSWORD = "serial", "factoryPassword"
_PREFIX = "/identity/"
_ROWS = {row.name.removeprefix(_PREFIX): row for row in ROWS if row.storage is Storage.IDENTITY}
_MASTER_KEY, _HARDWARE = "masterKey", "hardware"
_NAMES = (*_ROWS, _MASTER_KEY, _HARDWARE)
_VALUE = "value"
# What whoever writes the file has to see of a name that they have mistyped.
_SHOWN_CHARACTERS = 30


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One reason why nothing was taken; never holds a password. `station.ui.provisioning_words` has the sentences."""

    code: str
    data: Mapping[str, str | int] = field(default_factory=dict)


class ProvisioningRefused(Exception):
    """What was given cannot be taken; `mistakes` says why."""

    def __init__(self, *mistakes: Mistake) -> None:
        super().__init__(", ".join(mistake.code for mistake in mistakes))
        self.mistakes = mistakes


class _NoWholeNumber(Exception):
    """A number with a fraction or an exponent."""


@dataclass(frozen=True, kw_only=True)
class Provision:
    """What was given, checked; `values` are configuration keys in normal form, `hardware` is judged when it is taken.

    `describes_hardware`: an entry `hardware` was there, whatever it holds. `weakness`: why no new station gets this
    password; one that was delivered with it keeps it.
    """

    values: Mapping[str, str] = field(repr=False)
    master_key: str = field(default="", repr=False)
    hardware: object = None
    describes_hardware: bool = False
    weakness: Mistake | None = None

    @property
    def serial(self) -> str:
        return self.values[_PREFIX + _SERIAL]

    @property
    def password(self) -> str:
        return self.values[_PREFIX + _PASSWORD]


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What has changed: the identity, hardware.json, and where the description before is kept; None: there was none."""

    identity: bool = False
    hardware: bool = False
    former_hardware: Path | None = None


def parse(text: str) -> Provision:
    """Read the JSON object. Raises ProvisioningRefused with every mistake in it; a weak password alone is none."""
    content = _read(text)
    mistakes = [
        Mistake(code="unknown", data={"name": shown(name), "known": ", ".join(_NAMES)})
        for name in content
        if name not in _NAMES
    ]
    mistakes += [
        Mistake(code="missing", data={"name": name})
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
        except InvalidValue as refusal:
            mistakes.append(Mistake(code=_VALUE, data={"name": name, "problem": refusal.code, **refusal.data}))
        except _NoWholeNumber:
            mistakes.append(Mistake(code=_VALUE, data={"name": name, "problem": "integer"}))
        except TypeError:
            mistakes.append(Mistake(code="type", data={"name": name}))
    if _SERIAL in content and values.get(_PREFIX + _SERIAL) == "":
        # Blanks alone.
        mistakes.append(Mistake(code="missing", data={"name": _SERIAL}))
    weakness = _weakness(values)
    master_key = content.get(_MASTER_KEY, "")
    if not isinstance(master_key, str) or not identity.is_master_key(master_key):
        mistakes.append(Mistake(code="master_key", data={"name": _MASTER_KEY}))
    if mistakes:
        raise ProvisioningRefused(*mistakes, *([weakness] if weakness else []))
    return Provision(
        values=values,
        master_key=master_key,
        hardware=content.get(_HARDWARE),
        describes_hardware=_HARDWARE in content,
        weakness=weakness,
    )


def _weakness(values: Mapping[str, str]) -> Mistake | None:
    try:
        if password := values.get(_PREFIX + _PASSWORD):
            refuse_weak_password(password, values.get(_PREFIX + _SERIAL, ""), is_common_password)
    except InvalidValue as refusal:
        return Mistake(code=_VALUE, data={"name": _PASSWORD, "problem": refusal.code, **refusal.data})
    return None


def _read(text: str) -> dict[str, Any]:
    try:
        # Editors of Windows begin a file with a byte order mark.
        content = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_without_doubles)
        # JSON can write half a character (\ud800), which no file, form or address can carry.
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ProvisioningRefused(Mistake(code="half_character")) from None
    except json.JSONDecodeError as error:
        # The place only: the message of some errors repeats the text, in which the password stands.
        place: dict[str, str | int] = {"line": error.lineno, "column": error.colno}
        raise ProvisioningRefused(Mistake(code="not_json_at", data=place)) from None
    except (ValueError, RecursionError):
        raise ProvisioningRefused(Mistake(code="not_json")) from None
    if not isinstance(content, dict):
        raise ProvisioningRefused(Mistake(code="no_object"))
    return content


def shown(text: str) -> str:
    """Return what somebody wrote as it may be printed anywhere: short, and without what a terminal would obey."""
    printable = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
    return printable if len(printable) <= _SHOWN_CHARACTERS else f"{printable[:_SHOWN_CHARACTERS]}…"


def take(given: Provision, *, check_hardware: Callable[[object], object]) -> Taken:
    """Write the identity, and the description of the hardware where one was given; return what has changed.

    A station that has its identity keeps it, and takes a description with its serial number and factory password only.
    Raises ProvisioningRefused for another station's identity or a weak password of a new one, and what
    `check_hardware` raises.
    """
    with identity.exclusive():
        return _take(given, check_hardware)


def _take(given: Provision, check_hardware: Callable[[object], object]) -> Taken:
    present = identity.read()
    if present.serial:
        if present.serial != given.serial:
            data = {"serial": present.serial, "given": given.serial}
            raise ProvisioningRefused(Mistake(code="other_serial", data=data))
        if not check_password(given.password, present.factory_password_hash):
            raise ProvisioningRefused(Mistake(code="other_password", data={"serial": present.serial}))
        return _describe_hardware(given, check_hardware)
    if given.weakness is not None:
        raise ProvisioningRefused(given.weakness)
    described = _describe_hardware(given, check_hardware)
    # The identity last: with it the station is provisioned.
    made = identity.with_values(present, given.values)
    identity.save(replace(made, master_key=given.master_key or made.master_key))
    return replace(described, identity=True)


def _describe_hardware(given: Provision, check_hardware: Callable[[object], object]) -> Taken:
    if not given.describes_hardware:
        return Taken()
    check_hardware(given.hardware)
    file = settings.DATA.hardware
    # A start torn behind the writing gives the same once more: the former description has to stay what it is.
    if _has_content(file, given.hardware):
        return Taken()
    text = json.dumps(given.hardware, indent=2, ensure_ascii=False)
    kept = private_files.write_keeping_former(file, f"{text}\n".encode())
    return Taken(hardware=True, former_hardware=kept)


def _has_content(file: Path, content: object) -> bool:
    try:
        present = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    # As text: for Python, 1 and true are equal.
    return json.dumps(present, sort_keys=True) == json.dumps(content, sort_keys=True)


def note_refusal(mistakes: Sequence[Mistake]) -> None:
    """Keep why the factory's file was refused, for the page: the file itself is destroyed (it holds a password)."""
    kept = {"boot": clock.boot_id(), "mistakes": [{"code": each.code, "data": dict(each.data)} for each in mistakes]}
    private_files.write(settings.DATA.provisioning_refused, json.dumps(kept).encode())


def refused_at_this_start() -> tuple[Mistake, ...]:
    """Return why the factory's file was refused at this start of the computer; empty when none was."""
    try:
        kept = json.loads(private_files.read(settings.DATA.provisioning_refused))
        if kept["boot"] != clock.boot_id():
            return ()
        return tuple(Mistake(code=each["code"], data=each["data"]) for each in kept["mistakes"])
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _value in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ProvisioningRefused(Mistake(code="twice", data={"name": shown(double)}))
    return content


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, float):
        raise _NoWholeNumber
    raise TypeError
