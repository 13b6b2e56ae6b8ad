"""Words for load management among several stations: what the control loop and the master say in codes."""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from station.ui.words import Words

STATES: Words = {
    "off": _("Switched off"),
    "starting": _("Being switched on"),
    "no_key": _("The pairing code is missing"),
    "no_limit": _("The cluster limit is missing"),
    "no_server": _("The master's server does not run"),
    "searching": _("Looking for the master"),
    "joining": _("Joining the cluster"),
    "member": _("In contact with the master"),
    "silent": _("The master is not heard"),
    "id_taken": _("The master knows another station with this serial number"),
    "not_admitted": _("The master does not admit this station"),
    "leading": _("This station is the master"),
    "refused": _("Another station is the master already"),
}
# What the reader can do about it.
ADVICE: Words = {
    "no_key": _("Enter the pairing code that the master's page shows. Until then the fallback holds."),
    "no_limit": _("Enter the cluster limit. Until then the fallback holds."),
    "silent": _("When its last grant has ended, the fallback holds until it is heard again."),
    "searching": _(
        "Until it is found the fallback holds. Is the master switched on and in the same network? Behind a router it "
        "is not found: enter its address."
    ),
    "id_taken": _(
        "Was this station reset or its computer replaced? Then press “Forget station” at the master. Until then the "
        "charging points pause, as nothing is reserved for them."
    ),
    "not_admitted": _("Until it is admitted the charging points pause, as nothing is reserved for them."),
    "refused": _(
        "A cluster has exactly one master. Set this station to Slave, or the other one. Until then the charging points "
        "pause here, as nothing is reserved for them. If the other one was taken away for good: set this one to Slave, "
        "save, and then to Master."
    ),
}
TONES: dict[str, str] = {
    "off": "off",
    "starting": "warning",
    "leading": "good",
    "member": "good",
    "searching": "warning",
    "joining": "warning",
}
ROLES: Words = {"master": "Master", "slave": "Slave"}
POINT_STATES: Words = {
    "idle": _("nobody charges"),
    "charging": pgettext_lazy("charging point", "charging"),
    "ready": _("may charge, draws nothing"),
    "waiting": _("waits for capacity"),
    "paused": _("paused by another limit"),
}
# Reasons of `loadmgmt.cluster`: why a station and its master do not come together, or why the master cannot serve.
PROBLEMS: Words = {
    "unreachable": _("Nobody answers at the master's address. Is it switched on, and does the cable lead there?"),
    "silent": _("The master took the connection and does not answer."),
    "wrong_key": _("The pairing code is not the master's. Enter the one that the master's page shows now."),
    "not_a_master": _("What answers at this address is no master of a cluster."),
    "no_leader": _("The master's server is there, but nobody divides the power yet."),
    "id_taken": _("Another station has registered with this serial number."),
    "full": _("The master has 100 stations already, as many as it can lead."),
    "fallbacks": _(
        "With its fallback all charging points together could exceed the cluster limit while the links are lost. Lower "
        "the fallback there (0: pause), or raise the cluster limit at the master."
    ),
    "refused": _("The master refuses what this station says of itself."),
    "missing": _(
        "There is no redis-server or valkey-server of version 7 or newer on this computer, which a master needs."
    ),
    "port_taken": _("Another program uses the port of the master's server."),
    "not_our_address": _("The fixed address is none of this station: leave it empty, or enter one of its own."),
    "ended": _("The master's server ended; it is started again."),
    "hung": _("The master's server did not answer; it is started again."),
}
# The steps of `station.domain.cluster.link_lost`.
LINK_LOST_TITLES: Words = {
    "now": _("As it is"),
    "master_reduces": _("The master reduces"),
    "leases_end": _("The leases end"),
    "master_shares_rest": _("The master shares the rest"),
    "fallbacks": _("The slaves rise"),
}
LINK_LOST: Words = {
    "now": _("All stations hear the master. Then every link is cut at once."),
    "master_reduces": _(
        "The master notices the silence and reserves for every lost charging point the higher of what was granted and "
        "its fallback. What it still reaches gets less."
    ),
    "leases_end": _(
        "What the master has granted is over. Every slave falls at once to its fallback, or stays at less."
    ),
    "master_shares_rest": _("Beside the fallbacks the master may use the rest of the limit itself."),
    "fallbacks": _(
        "Only now a slave that had less rises to its fallback: every reduction elsewhere was over long before. It "
        "stays there until the link is back."
    ),
}
