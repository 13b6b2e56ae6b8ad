"""The connection to the backend: a Channels worker around OcppConsumer, given the rest of the station."""

from dataclasses import dataclass

from ocpp_client.ports import StationFacts
from station.host import Host
from station.host.heartbeat import Heartbeat
from station.processes.plan import Plan


def main(_plan: Plan, heartbeat: Heartbeat) -> int:
    """Hold the connection until SIGTERM."""
    from ocpp_client import worker
    from ocpp_client.over_redis import RedisSnapshots, RemoteControlLoop
    from ocpp_client.ports import Environment
    from station import host
    from station.services.file_jobs import jobs
    from whitelist.backend_list import BackendList

    computer = host.for_settings()
    worker.main(
        Environment(
            control_loop=RemoteControlLoop(),
            snapshots=RedisSnapshots(),
            local_list=BackendList(),
            clock=computer.clock,
            uplink=Uplink(computer),
            file_jobs=jobs,
            facts=HostFacts(computer),
        ),
        heartbeat,
    )
    return 0


@dataclass
class Uplink:
    """The way to the backend as the OCPP client asks for it; `simulated`: it can be cut on the bench."""

    host: Host

    def __post_init__(self) -> None:
        self.simulated = self.host.is_simulated

    def is_up(self) -> bool:
        """Return whether there is a way out; only a simulated one is ever believed to be cut.

        A real computer may reach its backend without a default route, so the connection attempt itself decides there.
        """
        return not self.host.is_simulated or self.host.network.uplink_up()


@dataclass(frozen=True)
class HostFacts:
    """What BootNotification says beside the identity."""

    host: Host

    def read(self) -> StationFacts:
        """Ask modem and system."""
        from station.host import versions

        modem = self.host.modem.status()
        return StationFacts(
            firmware_version=versions.os_version(),
            iccid=modem.iccid if modem else "",
            imsi=modem.imsi if modem else "",
        )
