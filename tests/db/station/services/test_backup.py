"""Backup and restore: a replaced unit has the books and the signed records of the broken one, and none of its keys."""

import errno
import io
import json
import os
import sqlite3
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from station.paths import DataDirectory
from station.services import backup

AT = datetime(2026, 11, 22, 8, tzinfo=UTC)
DAMAGED = {"en": "is damaged or was not written", "de": "ist beschädigt oder wurde nicht"}
SECRETS = ("secret.key", "storage.key", "cluster.password", "certificates/web_own.key", "certificates/own-1.pem")


def make_station(root: Path, serial: str, *, sessions: int = 0, records: int = 0) -> DataDirectory:
    data = DataDirectory(root)
    data.create()
    for path, table, rows in (
        (data.database, "station_chargingsession", sessions),
        (data.signed_archive, "record", records),
    ):
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY)")
            connection.executescript(f"INSERT INTO {table} DEFAULT VALUES;" * rows)
        connection.close()
    data.identity.write_text(json.dumps({"serial": serial}))
    data.hardware.write_text('{"connectors": []}')
    for name in SECRETS:
        (data.root / name).write_text("-----BEGIN PRIVATE KEY-----")
    (data.certificates / "backend_ca.pem").write_text("-----BEGIN CERTIFICATE-----")
    return data


@pytest.fixture
def broken(tmp_path: Path) -> DataDirectory:
    return make_station(tmp_path / "broken", "100000001", sessions=3, records=2)


@pytest.fixture
def file(tmp_path: Path, broken: DataDirectory) -> Path:
    target = tmp_path / "station.backup"
    backup.write(broken, target, at=AT)
    return target


def test_no_key_is_in_a_backup_and_nobody_else_may_read_it(file: Path):
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        assert b"PRIVATE KEY" not in b"".join(archive.read(name) for name in names)

    assert file.stat().st_mode & 0o077 == 0
    assert names == {
        "manifest.json",
        "station.sqlite3",
        "signed_records.sqlite3",
        "identity.json",
        "hardware.json",
        "certificates/backend_ca.pem",
    }


def test_a_backup_takes_the_place_of_nothing(file: Path, broken: DataDirectory):
    with pytest.raises(FileExistsError):
        backup.write(broken, file, at=AT)


def test_a_new_unit_gets_everything_and_keeps_its_own_keys(file: Path, tmp_path: Path):
    unit = make_station(tmp_path / "unit", "100000002")
    (unit.root / "secret.key").write_text("the new unit's")

    contents, kept = backup.restore(file, unit, replace=False, keep_identity=False)

    assert (contents.sessions, contents.signed_records, contents.serial) == (3, 2, "100000001")
    assert json.loads(unit.identity.read_text())["serial"] == "100000001"
    assert (unit.root / "secret.key").read_text() == "the new unit's"
    assert kept
    assert json.loads((kept / "identity.json").read_text())["serial"] == "100000002"
    again = backup.write(unit, tmp_path / "again", at=AT)
    assert (again.sessions, again.signed_records) == (3, 2)


def test_a_unit_may_keep_its_own_serial_number(file: Path, tmp_path: Path):
    unit = make_station(tmp_path / "unit", "100000002")

    backup.restore(file, unit, replace=False, keep_identity=True)

    assert json.loads(unit.identity.read_text())["serial"] == "100000002"


def test_a_backup_of_a_unit_whose_identity_is_damaged_has_the_last_valid_one(tmp_path: Path):
    unit = make_station(tmp_path / "unit", "100000002")
    unit.identity_copy.write_bytes(unit.identity.read_bytes())
    unit.identity.write_text("{")

    contents = backup.write(unit, tmp_path / "backup", at=AT)

    assert contents.serial == "100000002"
    fresh = make_station(tmp_path / "fresh", "100000003")
    fresh.identity_copy.write_bytes(fresh.identity.read_bytes())
    backup.restore(tmp_path / "backup", fresh, replace=False, keep_identity=False)
    assert json.loads(fresh.identity.read_text())["serial"] == "100000002"
    # It would speak of the unit before.
    assert not fresh.identity_copy.exists()


@pytest.mark.parametrize("own", [{"sessions": 1}, {"records": 1}])
def test_records_of_the_unit_are_replaced_only_on_demand_and_never_lost(
    file: Path, tmp_path: Path, own: dict[str, int]
):
    unit = make_station(tmp_path / "unit", "100000002", **own)
    with pytest.raises(backup.StationHoldsRecords):
        backup.restore(file, unit, replace=False, keep_identity=False)
    assert json.loads(unit.identity.read_text())["serial"] == "100000002"

    _, kept = backup.restore(file, unit, replace=True, keep_identity=False)

    assert kept
    assert (kept / "signed_records.sqlite3").exists()
    assert (kept / "station.sqlite3").exists()


@pytest.mark.parametrize("harm", ["text", "cut", "changed", "foreign", "later", "traversal"])
def test_what_is_no_sound_backup_changes_nothing(file: Path, tmp_path: Path, harm: str):
    unit = make_station(tmp_path / "unit", "100000002")
    harmful = tmp_path / "harmful"
    _harm(file, harmful, harm)

    with pytest.raises(backup.BackupRefused):
        backup.restore(harmful, unit, replace=True, keep_identity=False)

    assert json.loads(unit.identity.read_text())["serial"] == "100000002"
    assert not list(unit.root.glob("before_restore*"))
    assert not (tmp_path / "escaped").exists()


def _harm(source: Path, target: Path, harm: str) -> None:
    if harm == "text":
        target.write_text("no backup")
        return
    if harm == "cut":
        target.write_bytes(source.read_bytes()[:-400])
        return
    with zipfile.ZipFile(source) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(contents["manifest.json"])
    match harm:
        case "changed":
            contents["identity.json"] = b'{"serial": "900000009"}'
        case "foreign":
            contents["secret.key"] = b"mine"
            manifest["files"]["secret.key"] = "0"
        case "later":
            manifest["format"] = 2
        case _:
            contents["../../escaped"] = b"mine"
            manifest["files"]["../../escaped"] = "0"
    contents["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def test_a_unit_with_a_damaged_database_is_restored_only_when_told_to(file: Path, tmp_path: Path):
    unit = make_station(tmp_path / "unit", "100000002")
    unit.database.write_bytes(b"no database" * 500)

    with pytest.raises(backup.StationHoldsRecords):
        backup.restore(file, unit, replace=False, keep_identity=False)
    _, kept = backup.restore(file, unit, replace=True, keep_identity=False)

    assert kept is not None
    assert (kept / "station.sqlite3").read_bytes().startswith(b"no database")


def test_copies_of_another_version_do_not_stay_beside_a_restored_database(file: Path, tmp_path: Path):
    unit = make_station(tmp_path / "unit", "100000002")
    unit.database_before.write_bytes(b"before")
    unit.database_changing.write_bytes(b"1 2 3")
    unit.database_later.write_bytes(b"later")

    _, kept = backup.restore(file, unit, replace=False, keep_identity=False)

    assert kept is not None
    assert not unit.database_before.exists()
    assert not unit.database_changing.exists()
    assert not unit.database_later.exists()
    assert (kept / unit.database_before.name).read_bytes() == b"before"


def test_what_is_restored_is_on_the_disk_before_it_has_its_name(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    unit = make_station(tmp_path / "unit", "100000002")
    flushed, flush = set(), os.fsync

    def note(descriptor: int) -> None:
        flushed.add(os.fstat(descriptor).st_ino)
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    backup.restore(file, unit, replace=False, keep_identity=False)

    assert {unit.database.stat().st_ino, unit.signed_archive.stat().st_ino, unit.identity.stat().st_ino} <= flushed


def test_half_a_backup_is_not_left_behind(tmp_path: Path, broken: DataDirectory, monkeypatch: pytest.MonkeyPatch):
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(zipfile.ZipFile, "write", full)
    with pytest.raises(OSError, match="No space"):
        backup.write(broken, tmp_path / "second.backup", at=AT)

    assert not (tmp_path / "second.backup").exists()


def test_a_backup_of_a_damaged_database_is_refused_in_words(tmp_path: Path, broken: DataDirectory, settings: Any):
    settings.DATA = broken
    broken.database.write_bytes(b"no database" * 500)

    with pytest.raises(CommandError, match="cannot be read"):
        call_command("backup", str(tmp_path / "second.backup"))


def restored(file: Path, data: DataDirectory, settings: Any, *options: str) -> str:
    settings.DATA = data
    said = io.StringIO()
    call_command("restore", str(file), *options, stdout=said)
    return said.getvalue()


def test_a_unit_that_becomes_another_station_says_so(file: Path, tmp_path: Path, settings: Any):
    fresh = make_station(tmp_path / "fresh", "100000002")

    said = restored(file, fresh, settings, "--lang", "de")

    assert "war die Station 100000002 und ist jetzt die Station 100000001" in said


def refused(file: Path, data: DataDirectory, settings: Any, *options: str) -> CommandError:
    with pytest.raises(CommandError) as refusal:
        restored(file, data, settings, *options)
    return refusal.value


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("encrypted", DAMAGED),
        ("torn", DAMAGED),
        ("later", {"en": "a later software (9.9)", "de": "eine neuere Software (9.9)"}),
        ("strange", DAMAGED),
    ],
)
def test_a_file_that_is_refused_ends_with_its_own_code_and_a_sentence(
    file: Path, tmp_path: Path, settings: Any, harm: str, words: dict[str, str]
):
    fresh = make_station(tmp_path / "fresh", "100000002")
    spoil(file, harm)

    for language, said in words.items():
        refusal = refused(file, fresh, settings, "--lang", language)
        assert refusal.returncode == 65
        assert said in str(refusal)
    assert json.loads(fresh.identity.read_text())["serial"] == "100000002"


def spoil(file: Path, harm: str) -> None:
    content = file.read_bytes()
    if harm == "torn":
        # Within the packed bytes of a part: the list of files at the end is whole.
        middle = content.index(b"station.sqlite3") + 40
        file.write_bytes(content[:middle] + bytes(60) + content[middle + 60 :])
    elif harm == "encrypted":
        # Bit 0 of the flags, in the entry of each part and in the list at the end (APPNOTE.TXT, 4.4.4).
        for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            parts = content.split(mark)
            content = mark.join([parts[0], *(p[: place - 4] + b"\x01" + p[place - 3 :] for p in parts[1:])])
        file.write_bytes(content)
    else:
        manifest = {"format": 2, "release": "9.9"} if harm == "later" else {"format": "two", "release": []}
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("manifest.json", json.dumps(manifest))


def test_files_that_are_not_there_or_folders_are_told_with_their_names(
    tmp_path: Path, broken: DataDirectory, settings: Any
):
    settings.DATA = broken
    for command, place, words in (
        ("restore", tmp_path / "none", "gibt es nicht"),
        ("restore", tmp_path, "das ist ein Ordner"),
        ("backup", tmp_path / "none" / "file", "gibt es nicht"),
        ("backup", tmp_path, "die Datei gibt es schon"),
    ):
        with pytest.raises(CommandError, match=words) as refusal:
            call_command(command, str(place), "--lang", "de")
        assert str(place) in str(refusal.value)
        assert refusal.value.returncode == 1


def test_a_backup_is_not_written_to_a_terminal(broken: DataDirectory, settings: Any, monkeypatch: pytest.MonkeyPatch):
    settings.DATA = broken
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    with pytest.raises(CommandError, match="is no text"):
        call_command("backup", "-")
