"""What tests of every folder use."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import translation
from hypothesis import settings as hypothesis_settings

from station import host
from station.paths import DataDirectory
from tests import system_bus as bus

# The machine may be shared with other work: slow is not wrong.
hypothesis_settings.register_profile("shared", hypothesis_settings(deadline=None))
hypothesis_settings.load_profile("shared")


@pytest.fixture(autouse=True)
def _language_of_one_test() -> Iterator[None]:
    """Leave no language behind: a page that was asked for in German makes that of the thread German."""
    yield
    translation.deactivate()


@pytest.fixture
def data(tmp_path: Path, settings: Any) -> DataDirectory:
    """Make a data directory for one test and use it in the settings; a path with a blank is as good as any."""
    directory = DataDirectory(tmp_path / "a station")
    directory.create()
    settings.DATA = directory
    # The computer of another test has its files elsewhere.
    host.for_settings.cache_clear()
    return directory


@pytest.fixture
def system_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[bus.SystemBus]:
    """Start a system bus for one test and let everything that asks for D-Bus find this one only."""
    if bus.LACKING:
        pytest.skip(bus.LACKING)
    with bus.SystemBus(tmp_path) as started:
        monkeypatch.setenv(bus.ADDRESS, started.address)
        yield started
