"""The disks themselves: what they keep and what they lose when the power goes."""

import random
import subprocess
from pathlib import Path

import pytest

from tests.image.disks import CachedDisk, Disk, TornDisk

MIB = 1 << 20
SIZE = 8 * MIB


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(SIZE))
    return path


def io(disk: Disk, *commands: str) -> str:
    """Have qemu's own client do something; it flushes when it closes the disk, unless it is told to abort."""
    asked = [part for command in commands for part in ("-c", command)]
    done = subprocess.run(
        ["stdbuf", "-o0", "qemu-io", "--format=raw", "--cache=writeback", *asked, disk.url],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def disks(image: Path, tmp_path: Path) -> list[Disk]:
    return [CachedDisk(image, tmp_path), TornDisk(image, tmp_path, random.Random(1))]


@pytest.mark.parametrize("number", [0, 1])
def test_a_flushed_block_survives_a_cut_and_is_read_back(image: Path, tmp_path: Path, number: int) -> None:
    disk = disks(image, tmp_path)[number]
    disk.start()

    said = io(disk, "write -P 7 1M 64k", "flush", "read -P 7 1M 64k", "abort")
    disk.cut()

    assert "read 65536/65536" in said, said
    assert "verification failed" not in said
    assert image.read_bytes()[MIB : MIB + 65536] == b"\7" * 65536


def test_without_a_flush_a_cut_takes_everything(image: Path, tmp_path: Path) -> None:
    disk = CachedDisk(image, tmp_path)
    disk.start()

    said = io(disk, "write -P 7 1M 64k", "read -P 7 1M 64k", "abort")
    disk.cut()

    assert "read 65536/65536" in said, said
    assert image.read_bytes() == bytes(SIZE)


def test_a_torn_disk_keeps_some_writes_loses_some_and_tears_some(image: Path, tmp_path: Path) -> None:
    disk = TornDisk(image, tmp_path, random.Random(1))
    disk.start()

    io(disk, "write -P 1 0 4k", "flush", *(f"write -P 2 {4 * number}k 4k" for number in range(60)), "abort")
    disk.cut()

    content = image.read_bytes()
    blocks = [content[4096 * number : 4096 * (number + 1)] for number in range(60)]
    old = [b"\1" * 4096, *[bytes(4096)] * 59]
    kept = sum(block == b"\2" * 4096 for block in blocks)
    lost = sum(block == before for block, before in zip(blocks, old, strict=True))
    assert kept >= 5
    assert lost >= 5
    assert kept + lost < 55
    assert set(content[: 60 * 4096]) <= {0, 1, 2}


def test_a_torn_disk_may_keep_a_later_write_without_an_earlier_one(image: Path, tmp_path: Path) -> None:
    found = set()
    for seed in range(20):
        disk = TornDisk(image, tmp_path, random.Random(seed))
        disk.start()
        io(disk, "write -P 1 0 512", "write -P 1 4k 512", "flush", "write -P 2 0 512", "write -P 3 4k 512", "abort")
        disk.cut()
        content = image.read_bytes()
        found.add((content[0], content[4096]))

    assert found == {(1, 1), (2, 1), (1, 3), (2, 3)}


def test_of_two_writes_to_a_sector_any_state_may_be_left(image: Path, tmp_path: Path) -> None:
    found = set()
    for seed in range(20):
        disk = TornDisk(image, tmp_path, random.Random(seed))
        disk.start()
        io(disk, "write -P 1 0 512", "flush", "write -P 2 0 512", "write -P 3 0 512", "abort")
        disk.cut()
        found.add(image.read_bytes()[0])

    assert found == {1, 2, 3}
