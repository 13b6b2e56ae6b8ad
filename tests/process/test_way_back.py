"""A station whose computer has gone back to an earlier version starts with the database the later one has left."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.station import Station

pytestmark = pytest.mark.process
LATER = """
INSERT INTO django_migrations (app, name, applied) VALUES ('station', '9999_later', '2026-11-22 10:00:00');
ALTER TABLE station_chargingsession ADD COLUMN later_fact TEXT NOT NULL DEFAULT 'x';
ALTER TABLE station_logentry RENAME COLUMN data TO contents;
"""


def test_a_later_versions_database_is_fitted_and_says_so(tmp_path: Path) -> None:
    with Station.start(tmp_path) as station:
        database = station.data / "station.sqlite3"
        page = (station.data / "run" / "page.url").read_text()
    assert page.startswith("http")
    with closing(sqlite3.connect(database)) as later:
        settings = later.execute("SELECT count(*) FROM station_auditentry").fetchone()
        later.executescript(LATER)
    # There is no copy: this database was never of an earlier version.
    with Station.start(tmp_path) as station:
        assert station.healthy()
        assert "Traceback" not in station.log("main")
    with closing(sqlite3.connect(database)) as fitted:
        (said,) = fitted.execute("SELECT data FROM station_logentry WHERE code = 'storage.database.fitted'").fetchone()
        assert '"lost": 0' in said
        assert fitted.execute("SELECT count(*) FROM station_auditentry").fetchone() >= settings
        assert not fitted.execute("SELECT 1 FROM django_migrations WHERE name = '9999_later'").fetchall()
    assert (database.with_name("station.sqlite3.later")).exists()
