"""Sentences for the network settings: what is wrong with a field, and why the network cannot be set at all."""

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from station.domain.network import Problem
from station.ui import words
from station.ui.words import Words

PROBLEMS: Words = {
    "unknown_method": gettext_lazy("Choose one of the methods."),
    "shared_lacks": gettext_lazy(
        "Shared needs the program %(value)s, which this computer lacks (Debian package %(value)s-base)."
    ),
    "address_missing": gettext_lazy("Enter the address of the station."),
    "netmask_missing": gettext_lazy("Enter how large the network is."),
    "no_address": gettext_lazy("“%(value)s” is no %(family)s address."),
    "other_family": gettext_lazy("“%(value)s” is no %(family)s address, but one of the other kind."),
    "no_netmask": gettext_lazy("“%(value)s” does not say how large the network is."),
    "prefix_out_of_range": gettext_lazy("A network of this size (%(value)s) is not possible here."),
    "contradicts_address": gettext_lazy("The address says another size of the network than this field."),
    "service_network": gettext_lazy(
        "192.168.32.0 to 192.168.32.255 is the service interface of the station. Choose another network."
    ),
    "loopback": gettext_lazy("%(value)s means a computer itself and is reached by nobody else."),
    "multicast": gettext_lazy("%(value)s stands for a group of computers, not for one."),
    "unspecified": gettext_lazy("%(value)s stands for no computer or for all of them."),
    "reserved": gettext_lazy("%(value)s is reserved and works in no network."),
    "link_local": gettext_lazy("%(value)s is an address that computers give to themselves."),
    "network_address": gettext_lazy("%(value)s is the name of the network itself; a station needs an address in it."),
    "broadcast_address": gettext_lazy("%(value)s means everybody in the network; a station needs one of its own."),
    "gateway_outside": gettext_lazy("The gateway %(value)s is not in the network of the address."),
    "gateway_is_station": gettext_lazy("%(value)s is the station itself; the gateway is the router of the network."),
    "gateway_unused": gettext_lazy(
        "With “Never use as default gateway” the station uses no gateway here: leave the field empty or untick the box."
    ),
}
EXAMPLES = {
    "ipv4-address": "192.168.30.50",
    "ipv4-netmask": "255.255.255.0",
    "ipv4-gateway": "192.168.30.1",
    "ipv4-dns": "192.168.30.1",
    "ipv6-address": "fd00:30::50",
    "ipv6-netmask": "64",
    "ipv6-gateway": "fd00:30::1",
    "ipv6-dns": "fd00:30::1",
}
UNAVAILABLE: Words = {
    "service_absent": gettext_lazy(
        "NetworkManager does not run on this computer, so the network cannot be set here (Debian package "
        "network-manager)."
    ),
    "access_denied": gettext_lazy(
        "The computer does not let the station set the network: the polkit rule 50-station.rules is missing "
        "(deploy/README.md)."
    ),
    "no_answer": gettext_lazy("NetworkManager does not answer at the moment. Try again in a minute."),
    "invalid_value": gettext_lazy("NetworkManager does not accept these settings: %(detail)s"),
    "interface_absent": gettext_lazy(
        "This computer has no network interface named %(detail)s; the name stands in /etc/station/station.env."
    ),
    "unmanaged": gettext_lazy("NetworkManager is not in charge of the interface %(detail)s."),
    "on_trial": gettext_lazy("Another change is on trial. Confirm it or take it back first."),
    "refused": gettext_lazy("NetworkManager has refused: %(detail)s"),
}


def problem(found: Problem) -> str:
    """Return what is wrong with a field, with an example of what would be right."""
    family = "IPv6" if found.field.startswith("ipv6") else "IPv4"
    text: str | Promise = PROBLEMS[found.code]
    said = str(text) % {"value": found.value, "family": family}
    example = EXAMPLES.get(found.field)
    if not example or found.code == "gateway_unused":
        return said
    if found.field == "ipv4-netmask":
        return said + " " + _("Example: %(example)s or %(short)s") % {"example": example, "short": "24"}
    return said + " " + _("Example: %(example)s") % {"example": example}


def unavailable(reason: str, detail: str) -> str:
    """Return why the network cannot be set."""
    return words.word(UNAVAILABLE, reason) % {"detail": detail or reason}
