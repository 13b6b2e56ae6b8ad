"""What the processes of a station cost, read from /proc."""

import os
from dataclasses import dataclass
from pathlib import Path

from tests.station import Station

# What is no part of a real station.
_NOT_OURS = {"simulator", "demo-backend"}
_TICKS = os.sysconf("SC_CLK_TCK")
_KIB = 1024


def of_station(station: Station) -> dict[str, int]:
    """Name the processes that count, the main process included."""
    children = {name: pid for name, pid in station.child_pids().items() if name not in _NOT_OURS}
    return {"main": station.pid, **children}


def cpu_seconds(pid: int) -> float:
    """Read the processor time a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Proportional and private memory in MiB."""

    pss: float
    private: float


def memory(pid: int) -> Memory:
    """Read a process's share of the memory."""
    kib: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        kib[name] = int(value.split()[0])
    return Memory(pss=kib["Pss"] / _KIB, private=(kib["Private_Clean"] + kib["Private_Dirty"]) / _KIB)


def whole_memory(station: Station) -> tuple[float, dict[str, float]]:
    """Add up the station's memory as if the simulator were not there, and name the parts.

    The simulator is forked from the same parent; its share of common pages would fall to the others without it.
    """
    parts = {name: memory(pid).pss for name, pid in of_station(station).items()}
    for name in _NOT_OURS & station.child_pids().keys():
        guest = memory(station.child_pids()[name])
        parts[f"share of {name}"] = guest.pss - guest.private
    return sum(parts.values()), parts
