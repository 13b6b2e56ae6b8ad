"""The identity file of a station that runs: damaged, edited by hand, or gone."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.utils import translation

from station import private_files
from station.paths import DataDirectory
from station.services import identity
from station.ui import words

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def station_process() -> Iterator[None]:
    """Make the test a process of the station."""
    identity.outlive_damage()
    yield
    identity._Process.has_copy = False


@pytest.mark.parametrize("damage", [b"{", None])
def test_a_process_of_the_station_that_begins_with_a_damaged_file_takes_the_last_valid_identity(
    data: DataDirectory, station_process: None, damage: bytes | None
) -> None:
    identity.ensure(at=AT)
    # By hand, while the station runs.
    data.identity.write_bytes(data.identity.read_bytes().replace(b'"rated_current_a": 32', b'"rated_current_a": 16'))
    before = identity.load()
    assert before.rated_current_a == 16
    _damage(data, damage)

    identity.outlive_damage()

    assert identity.load() == before
    said = words.identity_damaged(identity.broken(), is_missing=damage is None)
    assert ("its next start puts the file back" in said) == (damage is None)


def test_a_command_reads_the_file_itself(data: DataDirectory) -> None:
    identity.ensure(at=AT)
    data.identity.write_bytes(b"{")

    with pytest.raises(identity.IdentityFileBroken):
        identity.load()


@pytest.mark.parametrize("damage", [b"{", None])
def test_a_start_puts_a_deleted_identity_back_and_refuses_a_damaged_one(
    data: DataDirectory, damage: bytes | None
) -> None:
    identity.ensure(at=AT)
    before = identity.load()
    _damage(data, damage)

    if damage is None:
        identity.ensure(at=AT)
        assert identity.read() == before
    else:
        with pytest.raises(identity.IdentityFileBroken):
            identity.ensure(at=AT)
        assert data.identity.read_bytes() == damage


def test_the_copy_of_the_identity_is_private(data: DataDirectory) -> None:
    identity.ensure(at=AT)

    assert data.identity_copy.read_bytes() == data.identity.read_bytes()
    assert stat.S_IMODE(data.identity_copy.stat().st_mode) == 0o600


def test_a_copy_that_cannot_be_renewed_is_none(
    data: DataDirectory, station_process: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    identity.ensure(at=AT)
    data.identity.write_bytes(data.identity.read_bytes().replace(b'"connectors": 2', b'"connectors": 1'))
    monkeypatch.setattr(private_files, "write", _no_room)

    assert identity.load().connectors == 1

    assert not data.identity_copy.exists()
    assert "cannot be kept" in caplog.text


def test_the_damage_is_logged_once_each_time_and_in_english(
    data: DataDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    identity.ensure(at=AT)
    identity.load()
    right = data.identity.read_bytes()
    with translation.override("de"):
        for _ in range(2):
            data.identity.unlink()
            identity.load()
            identity.load()
            data.identity.write_bytes(right)
            identity.load()

    assert caplog.text.count("is missing. Until then") == 2


@pytest.mark.parametrize(
    ("put", "told"),
    [
        (lambda path: path.symlink_to(path), "symbolic links"),
        (lambda path: path.mkdir(), "no regular file"),
        (os.mkfifo, "no regular file"),
        (lambda path: path.write_text("[" * 200_000), "no JSON object"),
        (lambda path: path.write_text("{}"), "no serial number any more"),
        (lambda path: path.write_text('{"serial": ""}'), "no serial number any more"),
    ],
    ids=["loop", "directory", "pipe", "nested", "empty", "nameless"],
)
def test_whatever_takes_the_place_of_the_file_is_a_damage_and_refused_at_a_start(
    data: DataDirectory, station_process: None, put: Callable[[Path], None], told: str
) -> None:
    identity.ensure(at=AT)
    before = identity.load()
    data.identity.unlink()
    put(data.identity)

    assert identity.load() == before
    assert told in str(identity.broken())
    with pytest.raises(identity.IdentityFileBroken):
        identity.ensure(at=AT)


def _damage(data: DataDirectory, damage: bytes | None) -> None:
    if damage is None:
        data.identity.unlink()
    else:
        data.identity.write_bytes(damage)


def _no_room(path: Path, content: bytes) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_without_any_file_there_are_defaults_and_nothing_is_broken(data: DataDirectory) -> None:
    data.identity.unlink(missing_ok=True)

    assert identity.load().serial == ""
    assert identity.broken() is None
