"""One station as processes: it starts, survives every death, ends in order and stays out of its neighbour's way."""

import os
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from station.host.power import MainProcess, PowerVerb
from station.paths import DataDirectory
from tests.station import STOP_TIMEOUT_S, Station, http, wait_until

pytestmark = pytest.mark.process

CHILDREN = {"redis", "simulator", "hardware", "worker", "ocpp", "web"}
# Unix socket addresses end at 107 bytes.
LONG_NAME = "a station with blanks in its name " * 5
# DESIGN.md section 5: a child is back within a second; the rest is for a busy machine.
RESTART_TIMEOUT_S = 20.0


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    with Station.start(tmp_path) as running:
        yield running


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def all_dead(pids: dict[str, int]) -> bool:
    return not any(is_alive(pid) for pid in pids.values())


def all_alive(station: Station) -> dict[str, int] | None:
    pids = station.child_pids()
    return pids if set(pids) >= CHILDREN else None


def pids_of(station: Station) -> dict[str, int]:
    return wait_until(lambda: all_alive(station), what="all children") or {}


def test_a_station_is_ready_and_its_processes_share_one_group_and_session(station: Station) -> None:
    pids = pids_of(station)

    assert set(pids) == CHILDREN
    assert {os.getpgid(pid) for pid in pids.values()} == {os.getpgid(station.pid)}
    assert {os.getsid(pid) for pid in pids.values()} == {os.getsid(station.pid)}
    wait_until(lambda: "station ready" in station.console(), what="the announcement")


def test_names_of_terminals_that_a_killed_run_left_are_gone_before_anything_could_open_them(station: Station) -> None:
    station.kill_group()
    # The simulator would replace its own names; this one nobody but the preparation takes away.
    left_over = DataDirectory(station.data).simulation / "controller-9"
    neighbour, its_end = os.openpty()
    try:
        left_over.symlink_to(os.ttyname(its_end))
        station.launch()
        assert not left_over.is_symlink()
    finally:
        os.close(neighbour)
        os.close(its_end)


def test_a_long_directory_with_blanks_works(tmp_path: Path) -> None:
    with Station.start(tmp_path, data=tmp_path / LONG_NAME / "and a data directory") as station:
        pids_of(station)

        assert station.sim("/state")["connectors"]
        assert station.stop() == 0


@pytest.mark.parametrize("name", sorted(CHILDREN))
def test_a_killed_process_comes_back(station: Station, name: str) -> None:
    killed = station.kill(name)

    wait_until(lambda: station.child_pids().get(name, killed) != killed, timeout_s=RESTART_TIMEOUT_S, what=name)
    station.wait_healthy()


def test_a_killed_process_comes_back_without_a_pause(station: Station) -> None:
    pids_of(station)
    # Only who has lived for a second counts as started; before, the crash-loop guard may wait a little.
    wait_until(lambda: station.log("main").count("RUNNING state") >= len(CHILDREN), what="everybody has settled")
    said = len(station.log("main"))

    killed = station.kill("redis")
    wait_until(lambda: station.child_pids().get("redis", killed) != killed, timeout_s=RESTART_TIMEOUT_S)

    # Nothing comes between the end and the next start: no pause, which would be logged as a state of its own.
    # The new process writes its number down before the supervisor says that it was spawned.
    wait_until(lambda: "spawned: 'redis'" in station.log("main")[said:], what="the supervisor says so")
    lines = [line for line in station.log("main")[said:].splitlines() if "redis" in line]
    assert [next(word for word in ("exited", "spawned") if word in line) for line in lines[:2]] == ["exited", "spawned"]


def test_the_children_end_when_the_main_process_is_killed(station: Station) -> None:
    pids = pids_of(station)

    os.kill(station.pid, signal.SIGKILL)

    wait_until(lambda: all_dead(pids), timeout_s=STOP_TIMEOUT_S, what="no child is left")


def test_the_next_start_finds_no_orphan_in_its_way(station: Station) -> None:
    pids = pids_of(station)
    # A process that is stopped does not notice the death of its parent: the worst orphan there is.
    os.kill(pids["worker"], signal.SIGSTOP)
    os.kill(station.pid, signal.SIGKILL)
    assert station.process
    station.process.wait()

    station.launch()

    assert not is_alive(pids["worker"])


def test_after_a_power_cut_the_same_directory_continues(station: Station) -> None:
    serial = (station.data / "identity.json").read_text()

    station.kill_group()
    station.launch()

    assert (station.data / "identity.json").read_text() == serial


def test_sigterm_ends_everything_in_order(station: Station) -> None:
    pids = pids_of(station)

    assert station.stop() == 0

    assert all_dead(pids)
    stopped = [
        line.split("stopped: ")[1].split()[0] for line in station.log("main").splitlines() if "stopped: " in line
    ]
    assert stopped == ["web", "ocpp", "worker", "hardware", "simulator", "redis"]


def test_a_second_start_is_refused_while_the_station_runs(station: Station) -> None:
    second = station.manage("runstation", *station.flags())
    german = station.manage("runstation", *station.flags(), "--lang", "de")
    service = station.manage("runprocess", "worker", "--data-dir", str(station.data), "--lang", "de")

    assert second.returncode == german.returncode == service.returncode == 1
    assert f"already running in {station.data} (process {station.pid})" in second.stderr
    assert f"Die Station läuft in {station.data} schon (Prozess {station.pid})" in german.stderr
    assert "Beenden Sie es zuerst" in service.stderr
    assert station.healthy()


def test_a_start_waits_for_a_predecessor_that_is_ending(station: Station) -> None:
    assert station.process
    ending = station.process
    # Stopped for a while, the slowest child keeps the predecessor busy.
    os.kill(pids_of(station)["web"], signal.SIGSTOP)
    ending.terminate()
    wait_until(lambda: '"stopping": true' in (station.data / "run" / "station.lock").read_text())

    station.launch()

    assert ending.wait(STOP_TIMEOUT_S) == 0


def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    station = Station(data=tmp_path / "station")
    with closing(socket.socket()) as occupant:
        occupant.bind(("127.0.0.1", station.http_port))
        occupant.listen()

        refused = station.manage("runstation", *station.flags())

    assert refused.returncode == 1
    assert f"--http 127.0.0.1:{station.http_port}" in refused.stderr
    assert not list((station.data / "run").glob("*.pid"))


def test_two_stations_run_side_by_side(tmp_path: Path) -> None:
    with Station.start(tmp_path / "one") as one, Station.start(tmp_path / "two") as two:
        two.sim("/connectors/1/plug", {})

        assert not one.connector()["plugged"]
        one.kill_group()
        assert two.healthy()


def test_a_restart_of_the_software_spares_redis_and_the_hardware(station: Station) -> None:
    before = pids_of(station)
    station.sim("/connectors/1/plug", {})

    MainProcess(DataDirectory(station.data)).ask(PowerVerb.RESTART_SOFTWARE)

    wait_until(lambda: (now := all_alive(station)) and now["web"] != before["web"], timeout_s=STOP_TIMEOUT_S)
    after = pids_of(station)
    assert {name for name in CHILDREN if before[name] == after[name]} == {"redis", "simulator"}
    station.wait_healthy()
    assert station.connector()["plugged"]


def deleted_cards(station: Station) -> int:
    with closing(sqlite3.connect(station.data / "station.sqlite3", timeout=10)) as database:
        return int(database.execute("SELECT count(*) FROM whitelist_card WHERE deleted_at IS NOT NULL").fetchone()[0])


def delete_all_cards(station: Station) -> None:
    with closing(sqlite3.connect(station.data / "station.sqlite3", timeout=10)) as database, database:
        database.execute("UPDATE whitelist_card SET deleted_at = changed_at")
    # The master key stands in the list ex works.
    assert deleted_cards(station) > 0


def test_deleted_cards_survive_a_restart_of_the_daemon_and_go_with_a_reboot(station: Station) -> None:
    delete_all_cards(station)
    before = pids_of(station)

    MainProcess(DataDirectory(station.data)).ask(PowerVerb.RESTART_SOFTWARE)
    wait_until(lambda: (now := all_alive(station)) and now["web"] != before["web"], timeout_s=STOP_TIMEOUT_S)
    assert deleted_cards(station) > 0

    MainProcess(DataDirectory(station.data)).ask(PowerVerb.REBOOT)
    wait_until(lambda: deleted_cards(station) == 0, timeout_s=STOP_TIMEOUT_S, what="the cards are gone for good")
    station.wait_healthy()


def test_a_reboot_restarts_everything_but_the_main_process(station: Station) -> None:
    before = pids_of(station)

    MainProcess(DataDirectory(station.data)).ask(PowerVerb.REBOOT)

    wait_until(lambda: all_dead(before), timeout_s=STOP_TIMEOUT_S, what="everybody has ended")
    station.wait_healthy()
    assert not set(pids_of(station).values()) & set(before.values())
    assert station.process
    assert station.process.poll() is None


def test_https_serves_a_certificate_for_this_machine(tmp_path: Path) -> None:
    import ssl

    from cryptography.hazmat.primitives.serialization import Encoding

    from station.host.addresses import SERVICE_ADDRESS
    from station.host.web_certificate import Pair, names_in
    from tests.station import free_port
    from tests.unit.station.processes.test_certificate import make_certificate

    port = free_port()
    with Station.start(tmp_path, https_port=port) as station:
        trusting = ssl.create_default_context(cafile=str(Pair.of(DataDirectory(station.data)).certificate))

        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            trusting.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
        ):
            assert secure.version() in {"TLSv1.2", "TLSv1.3"}
        made = Pair.of(DataDirectory(station.data)).load()
        assert made is not None
        assert {"localhost", "127.0.0.1", SERVICE_ADDRESS} <= names_in(made)

        uploaded = make_certificate(Pair.own(DataDirectory(station.data)), days=90)
        shown = ssl.get_server_certificate(("127.0.0.1", port))

        assert shown.encode() == uploaded.public_bytes(Encoding.PEM)


def test_the_health_check_needs_no_backend(station: Station) -> None:
    status, body = http("GET", station.http_port, "/healthz")

    assert status == 200
    assert body["ready"] is True
