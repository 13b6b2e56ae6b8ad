"""Why two stations do not come together, as codes; words are made by whoever shows them."""

from enum import StrEnum


class Reason(StrEnum):
    """What stands between a station and its master."""

    # Nobody answers at the address: switched off, wrong address, a firewall, a cut cable.
    UNREACHABLE = "unreachable"
    # Somebody took the connection and is silent: stopped, overloaded.
    SILENT = "silent"
    # A master of another cluster, or of this one with another pairing code.
    WRONG_KEY = "wrong_key"
    # Something else listens there.
    NOT_A_MASTER = "not_a_master"
    # The server of a master is there, and nobody leads: it starts, or it stands down.
    NO_LEADER = "no_leader"
    # Another station has registered with this serial number; "Forget station" at the master lets this one in.
    ID_TAKEN = "id_taken"
    # The master has as many stations as it can lead.
    FULL = "full"
    # With its fallback all charging points together could exceed the cluster limit while the links are lost.
    FALLBACKS = "fallbacks"
    # The master refuses what the station says of itself.
    REFUSED = "refused"


class LinkFailed(Exception):
    """What was wanted of the other side did not happen."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


class ServerProblem(StrEnum):
    """Why the master's server does not run."""

    # No redis-server or valkey-server of the distribution, version 7 or newer.
    MISSING = "missing"
    # Another program has the port.
    PORT_TAKEN = "port_taken"
    # The address is none of this computer.
    NOT_OUR_ADDRESS = "not_our_address"
    # It ended or did not become ready; its last words are the detail.
    ENDED = "ended"
    # It runs and does not answer; it is replaced.
    HUNG = "hung"
