"""A station of its own for each test, with a master key in its identity."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from station.paths import DataDirectory
from station.services import configuration, identity

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
MASTER_KEY = "04A1B2C3D4E5F6"


@pytest.fixture(autouse=True)
def data(data: DataDirectory, db: None) -> Iterator[DataDirectory]:
    identity.save(identity.Identity(serial="100000001", master_key=MASTER_KEY))
    configuration._cache.entry = None
    yield data
    configuration._cache.entry = None
