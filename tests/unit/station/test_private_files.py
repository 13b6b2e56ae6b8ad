"""Everything a start makes is the station's own business, and whole after a power cut."""

import itertools
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from station import private_files, secret_key
from station.host.web_certificate import Pair
from station.paths import DataDirectory, DataDirectoryRefused
from station.processes import certificate

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


class PowerCut(BaseException):
    """The current is gone between two system calls."""


@contextmanager
def power_cut_before_call(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Cut the power before the n-th call that changes the disk; what was not flushed by then is lost."""
    calls: list[str] = []
    unflushed: set[str] = set()

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def replacement(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            if len(calls) == number:
                for path in unflushed:
                    os.truncate(path, 0)
                raise PowerCut
            if name == "fsync":
                unflushed.discard(str(Path(f"/proc/self/fd/{args[0]}").readlink()))
            result = call(*args, **kwargs)
            if name == "mkstemp":
                unflushed.add(result[1])
            return result

        return replacement

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", counted("fsync", os.fsync))
        patched.setattr("os.replace", counted("replace", os.replace))
        patched.setattr("os.rename", counted("rename", os.rename))
        patched.setattr("tempfile.mkstemp", counted("mkstemp", tempfile.mkstemp))
        yield calls


def first_start(data: DataDirectory) -> None:
    secret_key.obtain(data.secret_key)
    certificate.ensure(data, identity="TE1", addresses=(), at=NOW)


def is_whole(data: DataDirectory) -> bool:
    return len(secret_key.obtain(data.secret_key)) >= 50 and Pair.of(data).is_usable()


def test_a_first_start_torn_at_any_step_is_mended_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in itertools.count(1):
        data = DataDirectory(tmp_path / str(number))
        data.create()
        with power_cut_before_call(number, monkeypatch) as calls, suppress(PowerCut):
            first_start(data)

        first_start(data)

        assert is_whole(data)
        kept = (data.secret_key.read_bytes(), Pair.of(data).certificate.read_bytes())
        first_start(data)
        assert kept == (data.secret_key.read_bytes(), Pair.of(data).certificate.read_bytes())
        if len(calls) < number:
            break
    # Three files of four calls each: no step was left out.
    assert number > 12


@pytest.mark.parametrize("name", ["secret.key", "certificates/web.key", "certificates/web.pem"])
@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"\xff\xfe garbage", b"-----BEGIN CERTIFICATE-----\n"])
def test_a_torn_file_is_set_aside_and_made_anew(name: str, content: bytes, data: DataDirectory) -> None:
    first_start(data)
    (data.root / name).write_bytes(content)

    first_start(data)

    assert is_whole(data)
    broken = [path for folder in (data.root, data.certificates) for path in private_files.files_set_aside(folder)]
    assert content in [path.read_bytes() for path in broken]


def test_a_key_that_is_not_the_certificates_is_mended(data: DataDirectory, tmp_path: Path) -> None:
    other = DataDirectory(tmp_path / "other")
    other.create()
    first_start(data)
    first_start(other)
    Pair.of(data).key.write_bytes(Pair.of(other).key.read_bytes())

    first_start(data)

    assert is_whole(data)
    assert private_files.files_set_aside(data.certificates)


def test_a_directory_that_stood_open_is_closed_with_everything_in_it(data: DataDirectory, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("not the station's")
    outside.chmod(0o644)
    first_start(data)
    (data.root / "station.sqlite3").write_text("")
    (data.logs / "web.log").write_text("")
    (data.logs / "link").symlink_to(outside)
    (data.logs / "folder").symlink_to(tmp_path, target_is_directory=True)
    for path in (data.root, *data.root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o666)

    data.create()

    open_to_others = [
        path for path in (data.root, *data.root.rglob("*")) if not path.is_symlink() and mode(path) & 0o077
    ]
    assert not open_to_others
    assert mode(outside) == 0o644
    assert mode(data.root) == 0o700


def test_a_directory_named_by_mistake_keeps_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("")
    (tmp_path / "letter.txt").chmod(0o644)

    DataDirectory(tmp_path).create()

    assert mode(tmp_path / "letter.txt") == 0o644


def test_a_directory_of_somebody_else_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 4711)

    with pytest.raises(DataDirectoryRefused, match=r"sudo -u .* chown -R"):
        DataDirectory(tmp_path).create()


def test_a_directory_that_only_somebody_else_can_make_is_not_handed_over_but_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "station"

    def refuse(path: Path, *_args: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)

    with pytest.raises(
        DataDirectoryRefused, match=rf"There is no data directory {missing}.* sudo install -d"
    ) as refused:
        DataDirectory(missing).create()
    assert "chown" not in str(refused.value)


def test_a_directory_of_all_users_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)

    with pytest.raises(DataDirectoryRefused, match="for all users"):
        DataDirectory(tmp_path).create()

    assert mode(tmp_path) == 0o1777


def test_a_link_that_leads_out_of_the_directory_is_refused(data: DataDirectory, tmp_path: Path) -> None:
    data.logs.rmdir()
    data.logs.symlink_to(tmp_path, target_is_directory=True)

    with pytest.raises(DataDirectoryRefused, match="is a link"):
        data.create()


def test_a_link_in_place_of_the_signing_key_is_not_followed(data: DataDirectory, tmp_path: Path) -> None:
    known = tmp_path / "known.key"
    known.write_text("k" * 64)
    data.secret_key.symlink_to(known)

    assert secret_key.obtain(data.secret_key) != "k" * 64
    assert known.read_text() == "k" * 64


def test_a_full_disk_at_the_first_start_is_explained(data: DataDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)

    with pytest.raises(DataDirectoryRefused, match=r"No space left on device.*--data-dir"):
        secret_key.obtain(data.secret_key)
    monkeypatch.undo()
    assert len(secret_key.obtain(data.secret_key)) >= 50
    assert [path.name for path in data.root.glob(".*")] == []


def test_what_a_killed_writer_has_left_is_removed_later(data: DataDirectory) -> None:
    old, young = data.root / ".secret.key.abc.new", data.root / ".secret.key.def.new"
    for path in (old, young):
        path.write_text("")
    os.utime(old, (NOW.timestamp() - 3600, NOW.timestamp() - 3600))
    os.utime(young, (NOW.timestamp(), NOW.timestamp()))

    private_files.remove_drafts(data.root, at=NOW)

    assert (old.exists(), young.exists()) == (False, True)
