"""The station's check-up: what keeps it from charging, and how to fix it."""

from collections.abc import Callable, Iterator

from station.processes.checkup import backend, cluster, computer, hardware, storage
from station.processes.checkup.finding import Finding, Level

__all__ = ["Finding", "Level", "examine"]

_CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    storage.directory,
    storage.free_space,
    storage.database,
    storage.secrets,
    storage.identity,
    computer.main_process,
    computer.redis,
    computer.web_ports,
    computer.wall_clock,
    computer.certificate,
    hardware.description,
    hardware.ports,
    cluster.findings,
    backend.findings,
)


def examine() -> Iterator[Finding]:
    """Run every check in turn; one whose preconditions are missing reports nothing."""
    for check in _CHECKS:
        yield from check()
