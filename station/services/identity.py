"""The station's identity: what production wrote and what survives a factory reset."""

import json
import logging
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, TypeAlias

from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.utils import translation
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from typing_extensions import override

from station import private_files
from station.domain.configuration import ROWS, InvalidValue, Storage
from station.domain.configuration.keys import Parse
from station.domain.configuration.values import text
from station.paths import DataDirectory

# 32 symbols, none of which looks like another: twelve of them are 60 bits (reference/security.md section 2.1).
STICKER_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
STICKER_LENGTH = 12
# Stations made from this month on carry a factory password; until then the serial number was the first password.
FIRST_MONTH_WITH_STICKER = "2025-08"
# Production enters the UID of the master key card as its reader says it: 4 to 10 bytes in hex.
_MASTER_KEY = re.compile(r"(?:(?:[0-9A-Fa-f]{2}){4,10})?")
# NXP, whose cards most master keys are, begins each 7-byte UID with its ISO 7816-6 manufacturer code.
_NXP = "04"
# Shown instead of a value that exists but must not be disclosed.
MASK = "***"

_Stamp: TypeAlias = tuple[int, int, int] | None
_FIELDS: Mapping[str, str] = {
    "/identity/serial": "serial",
    "/identity/vendor": "vendor",
    "/identity/model": "model",
    "/identity/productionDate": "production_date",
    "/identity/connectors": "connectors",
    "/identity/socketLock": "socket_lock",
    "/identity/ratedCurrentA": "rated_current_a",
}
_ROWS = {row.name: row for row in ROWS if row.storage is Storage.IDENTITY}
# A station keeps the serial number of its sticker, also one that would not be given to a station any more.
_PARSERS: Mapping[str, Parse] = {"serial": text(0, 25, ascii_only=True)}
logger = logging.getLogger(__name__)


class IdentityFileBroken(Exception):
    """The provisioning file cannot be used; its text says why and what to do, in the language that is active then.

    `reason` is a source of gettext, filled with `data`.
    """

    def __init__(self, path: Path, reason: str, **data: str | int) -> None:
        super().__init__()
        self._path, self._reason, self._data = path, reason, data

    @override
    def __str__(self) -> str:
        return _(
            "The identity file %(path)s cannot be used: %(reason)s. Restore it from the production record, or move it "
            "away and set the /identity/… keys again with “manage.py config set”."
        ) % {"path": self._path, "reason": _(self._reason) % self._data}


class IdentityFileMissing(IdentityFileBroken):
    """The provisioning file of a station that had one is gone."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "")

    @override
    def __str__(self) -> str:
        return _("The identity file %(path)s is missing.") % {"path": self._path}


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What the provisioning file holds. The hash is the only trace of the factory password.

    `master_key` is the UID of the card that ships with the station; empty where none does.
    """

    serial: str = ""
    vendor: str = _ROWS["/identity/vendor"].default
    model: str = _ROWS["/identity/model"].default
    production_date: str = ""
    connectors: int = int(_ROWS["/identity/connectors"].default)
    socket_lock: bool = _ROWS["/identity/socketLock"].default == "true"
    rated_current_a: int = int(_ROWS["/identity/ratedCurrentA"].default)
    factory_password_hash: str = field(default="", repr=False)
    master_key: str = field(default="", repr=False)

    @property
    def has_factory_password(self) -> bool:
        """Whether there is a password on the sticker, so that the serial number is not accepted."""
        return bool(self.factory_password_hash)

    def accepts_first_password(self, password: str) -> bool:
        """Return whether this is the password of the first login: the sticker's, or the serial number where none is."""
        if self.has_factory_password:
            return check_password(password, self.factory_password_hash)
        if self.production_date >= FIRST_MONTH_WITH_STICKER or not self.serial:
            return False
        return constant_time_compare(password, self.serial)


def is_master_key(uid: str) -> bool:
    """Return whether this is the UID of a card in hex, or empty: a station without such a card."""
    return _MASTER_KEY.fullmatch(uid) is not None


class _Process:
    """What this process knows of identity files."""

    has_copy = False
    last_valid: ClassVar[dict[Path, Identity]] = {}
    # The damage of which it has told the log.
    told: ClassVar[dict[Path, _Stamp]] = {}


def outlive_damage() -> None:
    """Make this a process of the station: it goes on when the file is damaged later; one that begins then has a copy.

    Commands read the file itself.
    """
    _Process.has_copy = True
    # A fork knows what its parent has read at some time.
    _Process.last_valid.clear()


def load() -> Identity:
    """Return the identity; a station that never had a file has the defaults. Raises `IdentityFileBroken`.

    When the file is damaged later, gone, or half written by an editor, a process goes on with what stood in it last:
    a mistake in it must not end a control loop.
    """
    path, present = settings.DATA.identity, stamp()
    try:
        found = _read_expected(path, present)
    except IdentityFileBroken as damage:
        before = _last_valid(path)
        if before is None:
            raise
        if path not in _Process.told or _Process.told[path] != present:
            _Process.told[path] = present
            with translation.override(None):
                logger.error("%s Until then the station goes on with the identity it had.", damage)  # noqa: TRY400 - a sentence
        return before
    _Process.told.pop(path, None)
    if present is not None and _Process.last_valid.get(path) != found:
        _Process.last_valid[path] = found
        if _Process.has_copy:
            _keep_copy(found)
    return found


def read() -> Identity:
    """Read what stands in the file, as a start and the factory do; the defaults without one.

    Raises `IdentityFileBroken`.
    """
    return _read(settings.DATA.identity, stamp())


def broken() -> IdentityFileBroken | None:
    """Return what is wrong with the file now, None where nothing is."""
    try:
        _read_expected(settings.DATA.identity, stamp())
    except IdentityFileBroken as damage:
        return damage
    return None


def valid_file(data: DataDirectory) -> Path:
    """Return where the identity of a station stands: in its file, or in the copy when that is damaged or gone."""
    for path in (data.identity, data.identity_copy):
        with suppress(IdentityFileBroken):
            if (present := _stamp_of(path)) is not None:
                _read(path, present)
                return path
    return data.identity


def _read_expected(path: Path, present: _Stamp) -> Identity:
    """Read a file that has to be there if it ever was since the start."""
    before = _last_valid(path)
    if present is None and before is not None:
        raise IdentityFileMissing(path)
    found = _read(path, present)
    if before is not None:
        _refuse_nameless(path, found, before)
    return found


def _refuse_nameless(path: Path, found: Identity, before: Identity) -> None:
    """Refuse a file that takes the serial number away: the station would go on under no name, or as a new one."""
    if before.serial and not found.serial:
        raise IdentityFileBroken(path, gettext_noop("it holds no serial number any more"))


def _last_valid(path: Path) -> Identity | None:
    if path not in _Process.last_valid and _Process.has_copy and (copy := _copy()):
        _Process.last_valid[path] = copy
    return _Process.last_valid.get(path)


def _copy() -> Identity | None:
    with suppress(IdentityFileBroken):
        if (kept := _stamp_of(settings.DATA.identity_copy)) is not None:
            return _read(settings.DATA.identity_copy, kept)
    return None


def _keep_copy(valid: Identity) -> None:
    """Keep what is valid, for processes that begin when the file no longer is."""
    copy = settings.DATA.identity_copy
    try:
        if _copy() != valid:
            private_files.write(copy, _as_file(valid))
    except OSError as error:
        # A full disk costs the copy, not the control loop; an older one would be another station's.
        logger.warning("The identity cannot be kept for processes that begin later: %s", error)
        with suppress(OSError):
            copy.unlink(missing_ok=True)


@lru_cache(maxsize=2)
def _read(path: Path, present: _Stamp) -> Identity:
    """Read a file once for each of its contents: every new snapshot of the configuration asks for it."""
    if present is None:
        return Identity()
    content = _content(path)
    password_hash = content.pop("factory_password_hash", "")
    if not isinstance(password_hash, str):
        raise IdentityFileBroken(path, gettext_noop("factory_password_hash is no text"))
    master_key = content.pop("master_key", "")
    if not isinstance(master_key, str) or not is_master_key(master_key):
        raise IdentityFileBroken(path, gettext_noop("master_key is no card number of 4 to 10 bytes in hex"))
    known = {name: key for key, name in _FIELDS.items()}
    values: dict[str, str] = {}
    for name, value in content.items():
        if name not in known:
            raise IdentityFileBroken(path, gettext_noop("it holds the unknown entry “%(name)s”"), name=name)
        if not isinstance(value, str | int):
            reason = gettext_noop("the entry “%(name)s” is neither text nor number nor truth value")
            raise IdentityFileBroken(path, reason, name=name)
        try:
            values[known[name]] = _PARSERS.get(name, _ROWS[known[name]].parse)(_as_text(value))
        except InvalidValue as refusal:
            reason = gettext_noop("the entry “%(name)s” is not allowed (%(code)s)")
            raise IdentityFileBroken(path, reason, name=name, code=refusal.code) from refusal
    return replace(with_values(Identity(), values), factory_password_hash=password_hash, master_key=master_key)


def _content(path: Path) -> dict[str, object]:
    try:
        if path.exists() and not path.is_file():
            # Reading a pipe would wait for whoever writes to it.
            raise IdentityFileBroken(path, gettext_noop("it is no regular file"))
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise IdentityFileMissing(path) from error
    except json.JSONDecodeError as error:
        reason = gettext_noop("it is no JSON (line %(line)s, column %(column)s)")
        raise IdentityFileBroken(path, reason, line=error.lineno, column=error.colno) from error
    except UnicodeDecodeError as error:
        raise IdentityFileBroken(path, gettext_noop("it is not written in UTF-8")) from error
    except RecursionError as error:
        raise IdentityFileBroken(path, gettext_noop("it holds no JSON object")) from error
    except (ValueError, OSError) as error:
        raise IdentityFileBroken(path, "%(text)s", text=str(error)) from error
    if not isinstance(content, dict):
        raise IdentityFileBroken(path, gettext_noop("it holds no JSON object"))
    return content


def _as_text(value: str | int) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def stamp() -> _Stamp:
    """Return something that changes with the file; None while there is none."""
    return _stamp_of(settings.DATA.identity)


def _stamp_of(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError:
        # It is there, and reading it will tell what is wrong.
        return 0, 0, 0
    return status.st_ino, status.st_mtime_ns, status.st_size


def with_values(identity: Identity, values: Mapping[str, str]) -> Identity:
    """Return the identity with configuration keys in normal form put in; a factory password is hashed here."""
    converted: dict[str, str | int | bool] = {}
    for key, value in values.items():
        match key:
            case "/identity/factoryPassword":
                converted["factory_password_hash"] = make_password(value) if value else ""
            case "/identity/connectors" | "/identity/ratedCurrentA":
                converted[_FIELDS[key]] = int(value)
            case "/identity/socketLock":
                converted[_FIELDS[key]] = value == "true"
            case _:
                converted[_FIELDS[key]] = value
    return replace(identity, **converted)  # type: ignore[arg-type]


def as_values(identity: Identity) -> dict[str, str]:
    """Return the identity as configuration keys, the password as a mask."""
    values = {key: _as_text(getattr(identity, name)) for key, name in _FIELDS.items()}
    return values | {"/identity/factoryPassword": MASK if identity.has_factory_password else ""}


def save(identity: Identity) -> None:
    """Replace the file at once and for good: after a power cut it is either the old one or the new one."""
    private_files.write(settings.DATA.identity, _as_file(identity))


def _as_file(identity: Identity) -> bytes:
    return f"{json.dumps(asdict(identity), indent=2, ensure_ascii=False)}\n".encode()


@contextmanager
def exclusive() -> Iterator[None]:
    """Let nobody else change the identity between reading and writing it: a station keeps the first one it got."""
    # Not the root: who holds that for the key file may wait for the database, and a change of settings has it by now.
    with private_files.exclusive(settings.DATA.files):
        yield


def ensure(*, at: datetime) -> None:
    """Complete the identity on a first start. Raises `IdentityFileBroken`.

    A serial number that production gave is kept, and such a station gets a password only if its production date says
    that it has one. A file that has gone since the last start is put back.
    """
    with exclusive():
        copy = _copy()
        if copy is not None and stamp() is None:
            logger.warning("%s was missing: the identity of the last run is put back", settings.DATA.identity)
            save(copy)
        elif copy is not None:
            _refuse_nameless(settings.DATA.identity, read(), copy)
        _ensure(at)
        _keep_copy(read())


def _ensure(at: datetime) -> None:
    before = identity = read()
    if not identity.serial:
        identity = replace(
            identity,
            serial=f"1{secrets.randbelow(10**8):08d}",
            production_date=identity.production_date or f"{at:%Y-%m}",
            master_key=identity.master_key or _NXP + secrets.token_hex(6),
        )
    if not identity.has_factory_password and identity.production_date >= FIRST_MONTH_WITH_STICKER:
        password = "".join(secrets.choice(STICKER_ALPHABET) for _ in range(STICKER_LENGTH))
        # First the password, then its hash: a start torn in between makes another one, and none is ever unknown.
        private_files.write(settings.DATA.factory_password, f"{password}\n".encode())
        identity = replace(identity, factory_password_hash=make_password(password))
    if identity != before or stamp() is None:
        save(identity)


def untold_password() -> str | None:
    """Return the factory password that was made here, as long as nobody was told it."""
    try:
        password = private_files.read(settings.DATA.factory_password).decode().strip()
    except (OSError, UnicodeDecodeError):
        return None
    return password if check_password(password, load().factory_password_hash) else None


def forget_untold_password() -> None:
    """Delete the factory password in clear: somebody knows it now, or has a password of their own."""
    settings.DATA.factory_password.unlink(missing_ok=True)
