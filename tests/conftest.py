"""What tests of every folder use."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings

from station.paths import DataDirectory

# The machine may be shared with other work: slow is not wrong.
hypothesis_settings.register_profile("shared", hypothesis_settings(deadline=None))
hypothesis_settings.load_profile("shared")


@pytest.fixture
def data(tmp_path: Path, settings: Any) -> DataDirectory:
    """Make a data directory for one test and use it in the settings; a path with a blank is as good as any."""
    directory = DataDirectory(tmp_path / "a station")
    directory.create()
    settings.DATA = directory
    return directory
