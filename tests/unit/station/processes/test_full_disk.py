"""A start on a full disk: a station that exists waits, a first start is refused, and whatever else fails is told."""

import errno
import json
from http.client import HTTPConnection
from pathlib import Path

import pytest

from station.paths import DataDirectory
from station.processes import energy, full_disk
from station.processes.plan import Address, Plan
from tests.station import free_port

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setattr(full_disk, "_TRY_AGAIN_S", 0.0)
    monkeypatch.setattr(energy, "withdraw", lambda _plan: None)
    DataDirectory(tmp_path).identity.write_text("{}")
    return Plan(data=tmp_path, http=Address("127.0.0.1", free_port()), https=None)


def test_it_tries_until_there_is_room_and_answers_why_meanwhile(plan: Plan, capfd: pytest.CaptureFixture[str]) -> None:
    answers = []

    def prepare() -> str:
        if len(answers) == 2:
            return "prepared"
        if answers or "starts by itself" in capfd.readouterr().out:
            connection = HTTPConnection(plan.http.host, plan.http.port, timeout=10)
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            answers.append((answer.status, json.loads(answer.read())["reasons"][0]["code"]))
            connection.close()
        raise FULL

    assert full_disk.once_there_is_room(plan, prepare) == "prepared"
    assert answers == [(503, "records_unwritable")] * 2
    # The web process finds its port free.
    assert plan.http.occupied_by_another() is None


def test_a_first_start_is_refused(plan: Plan) -> None:
    DataDirectory(plan.data).identity.unlink()

    def prepare() -> None:
        raise FULL

    with pytest.raises(OSError, match="No space"):
        full_disk.once_there_is_room(plan, prepare)


@pytest.mark.parametrize("error", [OSError(errno.EROFS, "read-only"), ValueError("x")])
def test_what_does_not_get_better_by_waiting_is_told_at_once(plan: Plan, error: Exception) -> None:
    def prepare() -> None:
        raise error

    with pytest.raises(type(error)):
        full_disk.once_there_is_room(plan, prepare)
