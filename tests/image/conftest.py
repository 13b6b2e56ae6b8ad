"""The tests of the station image: started by `scripts/test-image`, not by `scripts/test`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image import built
from tests.image.bench import Bench, first_boot

# Containers take seconds, machines minutes; what fails quickly comes first, and the two parts with one machine stand
# side by side, because the power is cut from the station that the first part has booted.
LAST = ("test_boot", "test_power_cut", "test_updates", "test_shipped", "test_arm64")


# Before pytest chooses by marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LAST.index(item.path.stem) + 1 if item.path.stem in LAST else 0)
    for item in items:
        if item.path.stem in LAST:
            item.add_marker(pytest.mark.machine)


@pytest.fixture(scope="session")
def image() -> Path:
    """The disk of the test image; nobody writes to it."""
    return built.image_under_test("amd64")


@pytest.fixture(scope="session")
def bench(image: Path) -> Iterator[Bench]:
    """A station that has been switched on for the first time, and has a backend."""
    with first_boot(image) as station:
        yield station
