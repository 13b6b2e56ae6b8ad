"""A disk that is full or read-only at the first start: a sentence with the way out instead of a traceback."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.station import Station, free_port

pytestmark = pytest.mark.process


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a small disk, where that is allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("only root may mount a disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def started(station: Station) -> subprocess.CompletedProcess[str]:
    return station.manage(
        "runstation", "--data-dir", str(station.data), "--simulate", "--no-https", "--http", f"127.0.0.1:{free_port()}"
    )


@pytest.mark.parametrize("size", ["4k", "64k", "256k"])
def test_a_disk_that_is_full_at_the_first_start_is_named_and_a_larger_one_goes_on(disk: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)
    station = Station(data=disk / "station")

    done = started(station)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(station.data) in done.stderr
    assert "Make room there" in done.stderr

    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
    prepared = station.manage("runprocess", "prepare", "--data-dir", str(station.data))
    assert prepared.returncode == 0, prepared.stderr


def test_a_disk_that_can_only_be_read_is_named(disk: Path) -> None:
    station = Station(data=disk / "station")
    station.config_set({"CpoName": "X"})
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)

    done = started(station)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert os.strerror(30) in done.stderr


def test_an_identity_that_nobody_could_make_again_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    station = Station(data=tmp_path / "station")
    station.config_set({"CpoName": "X"})
    (station.data / "identity.json").write_bytes(b"garbage" * 1000)

    done = started(station)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "estore" in done.stderr
    assert (station.data / "identity.json").read_bytes() == b"garbage" * 1000
