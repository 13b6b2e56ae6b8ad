"""A station of its own for each test, with a master key in its identity."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from station.paths import DataDirectory
from station.services import configuration, identity

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
MASTER_KEY = "04A1B2C3D4E5F6"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, settings, db) -> Iterator[DataDirectory]:
    directory = DataDirectory(tmp_path / "station")
    directory.create()
    settings.DATA = directory
    identity.save(identity.Identity(serial="100000001", master_key=MASTER_KEY))
    configuration._cache.entry = None
    yield directory
    configuration._cache.entry = None
