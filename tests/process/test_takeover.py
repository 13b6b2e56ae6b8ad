"""What an attacker at the other end of the backend link tried on a started station (reviews/security.md)."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.backend import Backend, ThreadedBackend
from tests.certificates import CertificateAuthority, server_context
from tests.station import Station

PASSWORD = "the attacker's own words 4711"
TAKEOVER = {
    "/WebUi/password/reset": PASSWORD,
    "/Security/enableRemoteVendorAccess": "true",
    "/ocpp/url": "ws://127.0.0.1:6379/",
}


def change(backend: ThreadedBackend, key: str, value: str) -> str:
    return str(backend.call("ChangeConfiguration", {"key": key, "value": value})["status"])


def test_a_station_as_delivered_cannot_be_taken_over_through_a_plain_link(tmp_path: Path) -> None:
    with Backend.threaded() as backend, Station.start(tmp_path, backend_url=backend.url) as station:
        backend.wait_for("BootNotification")

        assert {key: change(backend, key, value) for key, value in TAKEOVER.items()} == dict.fromkeys(
            TAKEOVER, "Rejected"
        )

        stored = dict(rows(station, "SELECT key, value FROM station_configurationvalue"))
        assert stored["/ocpp/url"] == backend.url
        assert "/Security/enableRemoteVendorAccess" not in stored
        refused = rows(station, "SELECT origin, reason FROM station_auditentry WHERE outcome = 'rejected'")
        assert refused == [("backend", "link_not_proven")] * len(TAKEOVER)
        assert PASSWORD not in station.log("ocpp")


def test_the_backend_of_a_checked_tls_link_may_do_the_same(tmp_path: Path) -> None:
    authority = CertificateAuthority.make(tmp_path)
    with (
        Backend.threaded(tls=server_context(authority.server())) as backend,
        Station.start(tmp_path, config={"/ocpp/url": backend.url, "/ocpp/caFile": str(authority.certificate)}),
    ):
        backend.wait_for("BootNotification")
        wanted = TAKEOVER | {"/ocpp/url": f"{backend.url}/elsewhere"}

        assert {key: change(backend, key, value) for key, value in wanted.items()} == dict.fromkeys(wanted, "Accepted")

        backend.wait_connected(at_least=2)


def rows(station: Station, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(station.data / "station.sqlite3")) as database:
        return database.execute(query).fetchall()
