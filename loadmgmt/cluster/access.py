"""What is kept in a master's server under which name, and who may touch it.

| user | may |
| --- | --- |
| leader (the master itself, over a socket in its own data directory) | everything but what could harm the computer |
| join (whoever knows the pairing code) | see who leads, hand in a registration, read the answer to it |
| station-ID (one member) | write its own report, read its own grant and the overview |

Nobody but the master stores anything under a name of its own choice, so nobody fills the server's memory.
"""

LEADER, JOIN = "leader", "join"
# Channels: a registration, something new in a report. The channel of a station's grants is named like their key.
JOIN_CHANNEL, REPORT_CHANNEL = "join", "report"
MASTER_KEY, OVERVIEW_KEY = "master", "overview"
# The answer to a registration that was accepted; any other is a `Reason`.
ADMITTED = b"admitted"
# A server takes bulks of 1 MiB; nothing that stations exchange is as long as this.
MAX_REPORT_BYTES = 16 * 1024
MAX_REPLY_BYTES = 512 * 1024


def report_key(station: str) -> str:
    """Return where a station's newest report is."""
    return f"report:{station}"


def grant_key(station: str) -> str:
    """Return where a station's newest grant is."""
    return f"grant:{station}"


def answer_key(nonce: str) -> str:
    """Return where the answer to a registration is."""
    return f"answer:{nonce}"


def user_name(station: str) -> str:
    """Return the name of a station's user."""
    return f"station-{station}"


def leader_rules(password_hash: str) -> tuple[str, ...]:
    """Return what the master may do."""
    dangerous = ("-@dangerous", "+acl|setuser", "+acl|deluser")
    return ("reset", "on", f"#{password_hash}", "~*", "&*", "+@all", *dangerous)


def join_rules(password_hash: str) -> tuple[str, ...]:
    """Return what somebody may do who only knows the pairing code."""
    keys = (f"%R~{MASTER_KEY}", "%R~answer:*")
    return ("reset", "on", f"#{password_hash}", *keys, f"&{JOIN_CHANNEL}", "+get", "+publish")


def station_rules(station: str, password_hash: str) -> tuple[str, ...]:
    """Return what a member may do."""
    keys = (f"%W~{report_key(station)}", f"%R~{grant_key(station)}", f"%R~{OVERVIEW_KEY}")
    channels = (f"&{grant_key(station)}", f"&{REPORT_CHANNEL}")
    commands = ("+set", "+get", "+publish", "+subscribe", "+unsubscribe", "+ping")
    return ("reset", "on", f"#{password_hash}", *keys, *channels, *commands)
