"""A server that cannot be started for a reason nobody expected is tried again, and nobody waits for ever."""

import asyncio
import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from loadmgmt.cluster.address import Target
from loadmgmt.cluster.failures import ServerProblem
from loadmgmt.cluster.server import ClusterServer
from station.paths import DataDirectory


@pytest.mark.parametrize("failure", [OSError(errno.EMFILE, "Too many open files"), MemoryError()])
def test_whoever_starts_it_is_told_why_it_does_not_run_and_it_is_tried_again(
    failure: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = asyncio.Event()
    attempts = []

    def no_file(*_: object) -> int:
        attempts.append(None)
        if len(attempts) > 1:
            tried.set()
        raise failure

    monkeypatch.setattr("loadmgmt.cluster.server.choose", lambda **_: SimpleNamespace(program="/bin/false"))
    monkeypatch.setattr("loadmgmt.cluster.server.certificates.memory_file", no_file)
    monkeypatch.setattr("loadmgmt.cluster.server._FIRST_PAUSE_S", 0.0)
    (tmp_path / "run").mkdir()
    server = ClusterServer(Target("127.0.0.1", 1), "CODE", DataDirectory(tmp_path))

    async def start() -> None:
        async with asyncio.timeout(30.0):
            await server.start()
            assert server.problem is ServerProblem.ENDED
            assert server.problem_detail
            await tried.wait()
            await server.stop()

    asyncio.run(start())
