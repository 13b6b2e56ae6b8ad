"""Telling the firewall what is switched on."""

import logging
from dataclasses import replace

from django.conf import settings

from station.domain.configuration import Snapshot
from station.host.firewall import CLUSTER_PORT, Openings

logger = logging.getLogger(__name__)
# The keys that decide what the network of the site may reach.
KEYS = frozenset(
    {
        "/modbus/enabled",
        "/modbus/port",
        "/cluster/enabled",
        "/cluster/role",
        "/cluster/address",
        "/identity/connectors",
        "/Security/enableRemoteVendorAccess",
    }
)


def openings(present: Snapshot) -> Openings:
    """Return what a configuration opens: the next charging point's Modbus server has the next port."""
    first, connectors = int(present["/modbus/port"]), int(present["/identity/connectors"])
    is_member = present["/cluster/enabled"] == "true"
    leads = is_member and present["/cluster/role"] == "master"
    port = present["/cluster/address"].rpartition(":")[2]
    return Openings(
        # No key: NetworkManager knows whether the interface is shared, and `share` was told.
        shared_interface=Openings.read(settings.DATA.firewall).shared_interface,
        modbus_ports=tuple(range(first, first + connectors)) if present["/modbus/enabled"] == "true" else (),
        cluster_port=int(port or CLUSTER_PORT) if leads else None,
        mdns=is_member,
        vendor_ssh=present["/Security/enableRemoteVendorAccess"] == "true",
    )


def publish(present: Snapshot) -> None:
    """Write down what is switched on now; systemd loads the firewall anew when that has changed."""
    _write(openings(present))


def share(interface: str) -> None:
    """Let an interface serve the site as its way out; an empty name ends it."""
    _write(replace(Openings.read(settings.DATA.firewall), shared_interface=interface))


def _write(wanted: Openings) -> None:
    try:
        wanted.write(settings.DATA.firewall)
    except OSError:
        # What was open stays so, and nothing more: the next change or start writes it.
        logger.exception("what the firewall may let in could not be written down")
