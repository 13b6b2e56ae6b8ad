"""The pairing code: made where there is none, shown at the master, entered at the others."""

from datetime import datetime

from loadmgmt.cluster import keys
from station import clock
from station.domain.commands import Origin
from station.services import configuration

KEY = "/cluster/key"


def code() -> str:
    """Return the pairing code as people read it; empty where there is none."""
    return configuration.get(KEY)


def new_code(actor: str, origin: Origin) -> str:
    """Make a new code, which every station of the cluster has to be given; return it.

    Raises ConfigurationRefused.
    """
    return _make(actor=actor, origin=origin, at=clock.now())


def ensure(at: datetime) -> str:
    """Return the code a master pairs with; make it where there is none. Raises ConfigurationRefused."""
    return code() or _make(actor="", origin=Origin.LOCAL, at=at)


def _make(*, actor: str, origin: Origin, at: datetime) -> str:
    made = keys.new_code()
    configuration.change({KEY: made}, origin=origin, actor=actor, at=at)
    return made
