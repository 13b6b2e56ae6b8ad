"""The tests of the station image: started by `scripts/test-image`, not by `scripts/test`."""

import pytest

# Containers take seconds, machines minutes; what fails quickly comes first, and the two parts with a machine stand
# side by side, because the power cut ends the session that the boot has begun.
LAST = ("test_boot", "test_power_cut", "test_updates")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LAST.index(item.path.stem) + 1 if item.path.stem in LAST else 0)
