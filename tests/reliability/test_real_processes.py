"""Processes that really die, stop and lose their network: the books are right afterwards (F1, F2, F12)."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backend import Backend
from tests.process.judgement import free_ports
from tests.reliability.shim import Shim
from tests.reliability.storm import CONFIG, Storm
from tests.station import WITHOUT_SAFE_MODE, Station

pytestmark = pytest.mark.process

SMALL_DOSE = 8


def test_whichever_process_dies_and_however_the_network_fails_every_session_is_booked_once(
    *, tmp_path: Path, seed: int, request: pytest.FixtureRequest, note: Callable[..., None]
) -> None:
    acts = request.config.getoption("--acts") or SMALL_DOSE
    backend_port, shim_port, http_port, sim_port = free_ports(4)
    with (
        Backend.threaded(port=backend_port) as backend,
        Shim(port=shim_port, to=backend_port) as shim,
        Station.start(
            tmp_path,
            config=CONFIG,
            backend_url=backend.url.replace(str(backend_port), str(shim_port)),
            http_port=http_port,
            sim_port=sim_port,
            environment=WITHOUT_SAFE_MODE,
        ) as station,
    ):
        backend.wait_for("StatusNotification", where=lambda sent: sent["connectorId"] == 2)
        storm = Storm(station, backend, shim, random.Random(seed))
        storm.begin()

        for _ in range(acts):
            storm.weather()
        verdict = storm.judge()

        slowest = max(storm.recovered_s, default=0.0)
        note(
            "real processes",
            seed=seed,
            acts=acts,
            kills=dict(storm.kills),
            transactions=len(backend.books.transactions),
            problems=len(verdict.books),
            tracebacks=len(verdict.tracebacks),
            slowest_recovery_s=round(slowest, 1),
        )
        assert not verdict.problems, f"--seed {seed}:\n" + "\n".join([*verdict.problems, *storm.diary])
