"""Secrets at rest: encrypted in the database, with a key in a file that no backup and no archive takes along.

Whoever gets hold of the database alone, a copy of it or the memory chip's old pages, cannot read them. A lost key file
costs the secrets and nothing else: each counts as not set until it is entered again.
"""

import logging
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import DatabaseError, connection, transaction

from station import private_files
from station.domain.configuration import ROWS, Storage
from station.host.logs import mask_secrets
from station.models import ConfigurationValue, FileJob

# What the database holds begins with it; such a text cannot be decrypted unless this station has written it.
PREFIX = "encrypted:"
# What SQLite's user_version says of a database in which nothing of the earlier clear texts is left.
_CLEANED = 1

logger = logging.getLogger(__name__)
_SECRET_KEYS = frozenset(row.name for row in ROWS if not row.readable and row.storage is not Storage.IDENTITY)


class KeyFileUnusable(Exception):
    """The key file can be neither read nor made; nothing can be encrypted."""


def is_secret(key: str) -> bool:
    """Return whether a configuration key's value is stored encrypted."""
    return key in _SECRET_KEYS


def encrypt(clear: str) -> str:
    """Return what the database may hold of a secret. Raises KeyFileUnusable."""
    return PREFIX + _crypt(_keys() or _make_key()).encrypt(clear.encode()).decode()


def decrypt(stored: str) -> str | None:
    """Return a secret; None where its key is lost. What an earlier version stored in clear is returned as it is."""
    if not stored.startswith(PREFIX):
        return stored
    return _decrypt(_keys(), stored)


def decrypt_configuration(rows: Mapping[str, str]) -> dict[str, str]:
    """Return stored configuration values with secrets in clear, without those whose key is lost."""
    clear = {name: decrypt(value) if name in _SECRET_KEYS else value for name, value in rows.items()}
    return {name: value for name, value in clear.items() if value is not None}


def lost() -> list[str]:
    """Name the configuration keys whose value cannot be decrypted."""
    rows = ConfigurationValue.objects.filter(key__in=_SECRET_KEYS).order_by("key")
    return [row.key for row in rows if decrypt(row.value) is None]


def keys_in_clear() -> tuple[str, ...]:
    """Return what everything is encrypted with, for whoever has to keep it out of a text."""
    return tuple(key.decode() for key in _keys())


def rotate() -> int:
    """Encrypt everything with a new key and forget the old ones; return how many values there were.

    The new key is in the file before it is used, and the old ones leave it when nothing needs them any more: whatever
    interrupts this, no value is lost.
    """
    with private_files.exclusive(settings.DATA.root):
        earlier = _keys()
        fresh = Fernet.generate_key()
        _write_keys((fresh, *earlier))
        with transaction.atomic():
            count = sum(1 for _ in _encrypt_anew())
        _write_keys((fresh,))
    return count


def protect_earlier_values() -> None:
    """Encrypt what earlier versions have stored in clear, and erase what that has left in the database's files.

    Once per database; it is repeated at the next start when it is interrupted or the disk has no room for it.
    """
    if connection.vendor != "sqlite" or _pragma("user_version") >= _CLEANED:
        return
    try:
        with transaction.atomic():
            count = sum(1 for _ in _encrypt_clear_values())
        # Deleted rows and earlier versions of a page may still hold them: the file is written anew, and so is its log.
        with connection.cursor() as cursor:
            cursor.execute("VACUUM")
        _mask_addresses_in_logs()
        if _pragma("wal_checkpoint(TRUNCATE)") == 0:
            _pragma(f"user_version = {_CLEANED}")
    except (DatabaseError, KeyFileUnusable, OSError):
        logger.exception("Secrets of an earlier version stay readable in the database until the next start")
        return
    if count:
        logger.info("%s secrets of an earlier version are encrypted now", count)


def _encrypt_clear_values() -> Iterator[str]:
    for row in ConfigurationValue.objects.filter(key__in=_SECRET_KEYS).exclude(value__startswith=PREFIX):
        row.value = encrypt(row.value)
        row.save(update_fields=["value"])
        yield row.key
    from station.services.file_jobs import requests

    for job in FileJob.objects.filter(encrypted_request="", finished_at=None):
        job.encrypted_request, job.request = requests.protected(job.request)
        job.save(update_fields=["encrypted_request", "request"])
        yield str(job)


def _mask_addresses_in_logs() -> None:
    """Take out of kept logs what opened a place: earlier versions wrote the queries of signed addresses."""
    for path in settings.DATA.logs.glob("*.log*"):
        lines = path.read_bytes().decode(errors="surrogateescape").splitlines(keepends=True)
        # Only where there is an address: cars wait for the end of this.
        masked = [mask_secrets(line) if "?" in line and "://" in line.replace("\\", "") else line for line in lines]
        if masked != lines:
            private_files.write(path, "".join(masked).encode(errors="surrogateescape"))


def _encrypt_anew() -> Iterator[str]:
    columns: tuple[tuple[Any, str], ...] = (
        (ConfigurationValue.objects.filter(key__in=_SECRET_KEYS), "value"),
        (FileJob.objects.exclude(encrypted_request=""), "encrypted_request"),
    )
    for rows, column in columns:
        for row in rows:
            clear = decrypt(getattr(row, column))
            if clear is not None:
                setattr(row, column, encrypt(clear))
                row.save(update_fields=[column])
                yield str(row)


def _pragma(text: str) -> int:
    with connection.cursor() as cursor:
        row = cursor.execute(f"PRAGMA {text}").fetchone()
    return int(row[0]) if row else 0


def _keys() -> tuple[bytes, ...]:
    """Read the keys, the present one first; none where the file is lost or damaged."""
    try:
        lines = private_files.read(settings.DATA.storage_key).split()
        for line in lines:
            Fernet(line)
    except (OSError, ValueError):
        return ()
    return tuple(lines)


def _make_key() -> tuple[bytes, ...]:
    path = settings.DATA.storage_key
    try:
        with private_files.exclusive(path.parent):
            # Another process may have been faster.
            if present := _keys():
                return present
            if path.exists() or path.is_symlink():
                private_files.set_aside(path)
            return _write_keys((Fernet.generate_key(),))
    except OSError as problem:
        raise KeyFileUnusable(f"{path}: {problem.strerror or problem}") from problem


def _write_keys(keys: tuple[bytes, ...]) -> tuple[bytes, ...]:
    private_files.write(settings.DATA.storage_key, b"\n".join(keys) + b"\n")
    return keys


@lru_cache(maxsize=2)
def _crypt(keys: tuple[bytes, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


@lru_cache(maxsize=64)
def _decrypt(keys: tuple[bytes, ...], stored: str) -> str | None:
    """Decrypt each text once: every new snapshot of the configuration asks for the same ones."""
    if not keys:
        return None
    try:
        return _crypt(keys).decrypt(stored.removeprefix(PREFIX).encode()).decode()
    except (InvalidToken, ValueError):
        return None
