"""The tests of the station image: started by `scripts/test-image`, not by `scripts/test`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.image.disk import MIB
from tests.backend import Backend
from tests.image import built
from tests.image.bench import Bench
from tests.image.disks import copy

# Containers take seconds, machines minutes; what fails quickly comes first, and the two parts with one machine stand
# side by side, because the power is cut from the station that the first part has booted.
LAST = ("test_boot", "test_power_cut", "test_updates", "test_arm64")

# An image ends with a small data partition; on a board it takes the rest of the disk, which updates need.
DISK_BYTES = 6144 * MIB


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LAST.index(item.path.stem) + 1 if item.path.stem in LAST else 0)


@pytest.fixture(scope="session")
def image() -> Path:
    """The disk of the test image; nobody writes to it."""
    return built.image_under_test("amd64")


@pytest.fixture(scope="session")
def bench(image: Path) -> Iterator[Bench]:
    """A station that has been switched on for the first time, and has a backend."""
    scratch = built.scratch_directory()
    disk = copy(image, scratch / "disk.img")
    os.truncate(disk, DISK_BYTES)
    with Backend.threaded(interval_s=60) as backend:
        station = Bench.over(disk, scratch, backend)
        try:
            station.start()
            yield station
        finally:
            station.close()
            built.clear(scratch)
