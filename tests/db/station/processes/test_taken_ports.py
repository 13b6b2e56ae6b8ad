"""Who is in the way of the web interface is written down once, all of them, and right."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.utils import translation

from station.host.listeners import Holder
from station.models import LogEntry
from station.paths import DataDirectory
from station.processes import web_ports
from station.processes.child import CannotBegin
from station.processes.plan import Address, Plan
from station.ui import event_words

UNIT = Path(__file__).parents[4] / "deploy" / "station-web.service"
pytestmark = pytest.mark.django_db


class Told:
    """What a process tells its supervisor."""

    def __init__(self, at_the_third_beat: Callable[[], object] = lambda: None) -> None:
        self.statuses: list[str] = []
        self.beats = 0
        self._at_the_third_beat = at_the_third_beat

    def beat(self, at_s: float) -> None:
        self.beats += 1
        if self.beats == 3:
            self._at_the_third_beat()

    def serves(self, status: str) -> None:
        raise AssertionError(status)

    def waits(self, status: str) -> None:
        self.statuses.append(status)


@pytest.fixture
def taken() -> Iterator[list[socket.socket]]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    yield listeners
    for each in listeners:
        each.close()


@pytest.fixture
def plan(tmp_path: Path, taken: list[socket.socket], monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setattr(web_ports, "_DYING_S", 0.0)
    monkeypatch.setattr(web_ports, "_LOOK_S", 0.01)
    monkeypatch.setattr(web_ports, "PATIENCE_S", 0.05)
    data = DataDirectory(tmp_path / "data")
    data.create()
    http, https = (Address("127.0.0.1", each.getsockname()[1]) for each in taken)
    return Plan(data=data.root, http=http, https=https)


def refused(plan: Plan) -> str:
    with pytest.raises(CannotBegin) as refusal, translation.override("de"):
        web_ports.make_sure(plan, Told())
    with translation.override("de"):
        return str(refusal.value)


def told() -> list[tuple[str, bool]]:
    """Return what the event log says, and whether it lasts."""
    entries = LogEntry.objects.filter(code=web_ports.EVENT).order_by("id")
    return [(event_words.event(each.code, each.data), each.cleared_at is None) for each in entries]


def test_one_entry_names_every_port_that_is_taken_and_another_one_what_is_left(
    plan: Plan, taken: list[socket.socket]
) -> None:
    said = refused(plan)
    refused(plan)

    [(both, lasts)] = told()
    assert lasts
    for address in (plan.http, plan.https):
        assert f"{address} ist belegt durch" in said
        assert f"listens at {address}" in both

    taken[0].close()
    refused(plan)
    refused(plan)

    [(_, first_lasts), (rest, rest_lasts)] = told()
    assert (first_lasts, rest_lasts) == (False, True)
    assert str(plan.http) not in rest
    assert f"listens at {plan.https}" in rest

    taken[1].close()
    web_ports.make_sure(plan, Told())

    assert [lasts for _, lasts in told()] == [False, False]


def test_another_process_of_the_same_program_is_no_news(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    pids = iter(range(4711, 4799))
    monkeypatch.setattr(
        "station.host.listeners.holder",
        lambda *_: Holder(user="www-data", uid=33, pid=next(pids), program="nginx"),
    )

    refused(plan)
    refused(plan)

    [(text, _)] = told()
    assert "nginx (process 4711)" in text


def test_an_address_that_this_computer_has_not_is_not_said_to_be_taken(plan: Plan) -> None:
    refused(Plan(data=plan.data, http=Address("192.0.2.1", 80), https=None))

    [(text, _)] = told()
    assert "192.0.2.1:80 cannot be opened (" in text
    assert "listens" not in text


def test_it_waits_calmly_alive_and_saying_why_and_begins_as_soon_as_the_ports_are_free(
    plan: Plan, taken: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_ports, "PATIENCE_S", 60.0)
    heartbeat = Told(at_the_third_beat=lambda: [each.close() for each in taken])

    web_ports.make_sure(plan, heartbeat)

    [status] = heartbeat.statuses
    assert f"{plan.http} is taken by" in status
    assert f"{plan.https} is taken by" in status
    assert heartbeat.beats == 3
    assert [lasts for _, lasts in told()] == [False]


def test_systemd_lets_it_wait_and_start_on_a_slow_board() -> None:
    [limit] = [line for line in UNIT.read_text().splitlines() if line.startswith("TimeoutStartSec=")]
    seconds = int(limit.removeprefix("TimeoutStartSec=").removesuffix("s"))

    assert seconds >= 5 * web_ports.PATIENCE_S
