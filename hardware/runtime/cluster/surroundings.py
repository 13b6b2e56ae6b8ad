"""Who else is in the network, and where the master is."""

from types import TracebackType
from typing import Self

from hardware.runtime.cluster_shares import ClusterSettings
from loadmgmt.cluster.address import Target
from station.domain.snapshot import ClusterFoundSnapshot


class Surroundings:
    """Searches the network for other stations for as long as it is entered; a fixed address wins."""

    def __init__(self, settings: ClusterSettings, *, points: int) -> None:
        self._settings = settings
        self._points = points
        self.problem = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def master(self) -> Target | None:
        """Return where a slave finds its master; None: it was not found yet."""
        return Target.parse(self._settings.address) if self._settings.address else None

    def found(self) -> tuple[ClusterFoundSnapshot, ...]:
        """Return the stations in the network."""
        return ()
