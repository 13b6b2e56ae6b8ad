"""A backup of a station in one file, and putting it into another unit.

In it is what cannot be made again: books, settings, users and cards, the archive of signed meter data, identity and the
description of the hardware. Not in it is what makes a copy of a station dangerous: private keys, and the key that the
secrets of the database are encrypted with. Whoever restores enters the authorization key anew and orders a certificate.
"""

import hashlib
import json
import os
import re
import shutil
import sqlite3
import tempfile
import zipfile
import zlib
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.utils.translation import gettext_noop

from station import private_files
from station.host.release import RELEASE
from station.paths import DataDirectory
from station.services import identity

FORMAT = 1
_MANIFEST = "manifest.json"
_DATABASES = ("station.sqlite3", "signed_records.sqlite3")
_IDENTITY = "identity.json"
# Exactly these; whatever else a file brings is refused.
_FILES = re.compile(
    r"identity\.json|hardware\.json|logo_[a-z]+\.png|operators/[^/]+\.toml"
    r"|certificates/(backend_ca\.pem|known_hosts|revoked/[^/]+\.crl)"
)
_COMPANIONS = ("-wal", "-shm")
# Copies for the way back to another version (database_fitting): rows of this unit would be mixed with the backup's.
_OTHER_VERSIONS = (".before", ".changing", ".later")
_ASIDE = "before_restore"
_LARGEST_MANIFEST = 1_000_000
_CHUNK = 1 << 20
_NO_BACKUP = (KeyError, TypeError, ValueError, AttributeError, RuntimeError)


class BackupRefused(Exception):
    """The file is no backup of a station, damaged, or of a later kind; `template` with `data` says which."""

    def __init__(self, template: str, **data: str) -> None:
        super().__init__(template % data)
        self.template = template
        self.data = data


class StationHoldsRecords(Exception):
    """The unit has sessions or signed records of its own, or a damaged database, which the backup would replace."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a backup says of itself."""

    at: str
    release: str
    serial: str
    sessions: int
    signed_records: int


def write(data: DataDirectory, target: Path, *, at: datetime) -> Contents:
    """Write a backup; the station may be running. Raises FileExistsError, OSError or sqlite3.DatabaseError."""
    with tempfile.TemporaryDirectory(dir=data.files) as scratch:
        copies = Path(scratch)
        # The archive last: it may know more than the database, never less (signed_archive.check).
        for name in _DATABASES:
            if (data.root / name).exists():
                _copy_database(data.root / name, copies / name)
        contents = Contents(
            at=at.isoformat(),
            release=RELEASE,
            serial=serial_of(data),
            sessions=_count(copies / _DATABASES[0], "SELECT count(*) FROM station_chargingsession"),
            signed_records=_count(copies / _DATABASES[1], "SELECT count(*) FROM record"),
        )
        sources = {path.name: path for path in sorted(copies.iterdir())}
        sources |= {
            name: path
            for path in sorted(data.root.rglob("*"))
            if path.is_file() and not path.is_symlink() and _FILES.fullmatch(name := str(path.relative_to(data.root)))
        }
        if (valid := identity.valid_file(data)) != data.identity:
            sources[_IDENTITY] = valid
        manifest = {
            "format": FORMAT,
            **contents.__dict__,
            "files": {name: _digest(path) for name, path in sources.items()},
        }
        # Card numbers and hashes of passwords are in it: nobody else's to read, from the first byte on (umask).
        with target.open("xb") as file:
            try:
                with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                    archive.writestr(_MANIFEST, json.dumps(manifest, indent=2))
                    for name, path in sources.items():
                        archive.write(path, name)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                # Half a backup looks like one, and its name would be taken when somebody tries again.
                target.unlink()
                raise
    target.chmod(0o600)
    return contents


def restore(source: Path, data: DataDirectory, *, replace: bool, keep_identity: bool) -> tuple[Contents, Path | None]:
    """Put a backup in the place of what a stopped station has; return where that is kept.

    Everything is unpacked and checked before anything is moved. Interrupted in between it is done once more: what was
    there is in the folder named, the backup is where it was. Raises BackupRefused, StationHoldsRecords.
    """
    with tempfile.TemporaryDirectory(dir=data.files) as scratch:
        fresh = Path(scratch)
        contents, names = _unpack(source, fresh)
        if not replace and _holds_records(data):
            raise StationHoldsRecords(source)
        if keep_identity:
            names = [name for name in names if name != _IDENTITY]
        kept = _set_aside(data, keep_identity=keep_identity)
        if not keep_identity:
            # It would speak of the station that was here before.
            data.identity_copy.unlink(missing_ok=True)
        for name in names:
            place = data.root / name
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            (fresh / name).replace(place)
            private_files.flush_directory(place.parent)
    return contents, kept


def _unpack(source: Path, folder: Path) -> tuple[Contents, list[str]]:
    try:
        with zipfile.ZipFile(source) as archive:
            manifest = _manifest(archive)
            files: dict[str, str] = manifest["files"]
            for name, digest in files.items():
                if name not in _DATABASES and not _FILES.fullmatch(name):
                    raise BackupRefused(gettext_noop("it holds %(name)s, which belongs into no backup"), name=name)
                place = folder / name
                place.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as packed, place.open("wb") as file:
                    shutil.copyfileobj(packed, file, _CHUNK)
                    # On the disk before it gets its name: what it takes the place of has been moved away then.
                    file.flush()
                    os.fsync(file.fileno())
                if _digest(place) != digest:
                    raise BackupRefused(gettext_noop("%(name)s in it is damaged"), name=name)
            if _DATABASES[0] not in files:
                raise BackupRefused(gettext_noop("it holds no database"))
            return Contents(**{name: manifest[name] for name in Contents.__dataclass_fields__}), list(files)
    # Besides what is no zip file: parts that are encrypted, packed in another way or torn.
    except (*_NO_BACKUP, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise BackupRefused(gettext_noop("it is damaged or was not written by “manage.py backup”")) from error


def _manifest(archive: zipfile.ZipFile) -> dict[str, Any]:
    if archive.getinfo(_MANIFEST).file_size > _LARGEST_MANIFEST:
        raise BackupRefused(gettext_noop("its list of files is too long"))
    manifest = json.loads(archive.read(_MANIFEST))
    if int(manifest["format"]) > FORMAT:
        raise BackupRefused(
            gettext_noop("it was written by a later software (%(release)s): update this one first"),
            release=str(manifest["release"]),
        )
    return dict(manifest)


def _set_aside(data: DataDirectory, *, keep_identity: bool) -> Path | None:
    present = [
        path
        for path in sorted(data.root.rglob("*"))
        if path.is_file() and _is_replaced(str(path.relative_to(data.root)), keep_identity=keep_identity)
    ]
    if not present:
        return None
    number = 1
    while (folder := data.root / f"{_ASIDE}-{number}").exists():
        number += 1
    for path in present:
        place = folder / path.relative_to(data.root)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.replace(place)
    private_files.flush_directory(data.root)
    return folder


def _is_replaced(name: str, *, keep_identity: bool) -> bool:
    if name == _IDENTITY and keep_identity:
        return False
    databases = {f"{base}{suffix}" for base in _DATABASES for suffix in ("", *_COMPANIONS, *_OTHER_VERSIONS)}
    return name in databases or bool(_FILES.fullmatch(name))


def _holds_records(data: DataDirectory) -> bool:
    database, archive = (data.root / name for name in _DATABASES)
    try:
        sessions = _count(database, "SELECT count(*) FROM station_chargingsession")
        return bool(sessions or _count(archive, "SELECT count(*) FROM record"))
    except sqlite3.DatabaseError:
        # Damaged, and nobody can say what is in it.
        return True


def _copy_database(source: Path, target: Path) -> None:
    """Copy a database in one consistent state while others write to it."""
    with (
        closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as original,
        closing(sqlite3.connect(target)) as copy,
    ):
        original.backup(copy)
        # One file, without a log beside it.
        copy.execute("PRAGMA journal_mode=DELETE")


def _count(database: Path, question: str) -> int:
    if not database.exists():
        return 0
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            return int(connection.execute(question).fetchone()[0])
        except sqlite3.OperationalError:
            # There is no such table yet.
            return 0


def serial_of(data: DataDirectory) -> str:
    """Return the serial number of a station; empty where there is none."""
    try:
        return str(json.loads(identity.valid_file(data).read_text(encoding="utf-8"))["serial"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
