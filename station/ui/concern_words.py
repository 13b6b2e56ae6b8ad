"""Sentences for what needs attention: what it is, and what to do."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from station.domain.concerns import Concern, Severity, Subject
from station.ui import description_words, words
from station.ui import format as formats
from station.ui.words import Words

_TITLES: Words = {
    Subject.OUT_OF_SERVICE: gettext_lazy("Out of service: drivers cannot charge here."),
    Subject.BACKEND_ABSENT: gettext_lazy("The OCPP client does not answer."),
    Subject.BACKEND_NOT_SET_UP: gettext_lazy("No OCPP server is configured."),
    Subject.BACKEND_OFFLINE: gettext_lazy("No connection to the OCPP server. %(reason)s"),
    Subject.BACKEND_NOT_REGISTERED: gettext_lazy("The OCPP server has not accepted the station: %(state)s."),
    Subject.LINK_PLAIN: gettext_lazy("The connection to the OCPP server is not encrypted."),
    Subject.LINK_UNVERIFIED: gettext_lazy("It is not proven that the OCPP server is the right one."),
    Subject.LINK_TRUSTED_BLINDLY: gettext_lazy(
        "The OCPP server may take this station over, also through a connection that is not proven."
    ),
    Subject.DIMMING_ACTIVE: gettext_lazy("The grid operator limits the station to %(power)s (§ 14a EnWG)."),
    Subject.DIMMING_SILENT: gettext_lazy(
        "The contact of the grid operator's control box cannot be read: no answer from the input module."
    ),
    Subject.DIMMING_NO_INPUT: gettext_lazy("No input is assigned to the grid operator's control box."),
    Subject.DIMMING_OFF: gettext_lazy("The station does not obey the control box that its input module is wired to."),
    Subject.ENERGY_MANAGER_SILENT: gettext_lazy("The energy manager (Modbus) is not heard: the fallback holds."),
    Subject.MODBUS_CLOSED: gettext_lazy("The Modbus server cannot be reached: port %(port)s cannot be opened."),
    Subject.CLUSTER_SECOND_MASTER: gettext_lazy(
        "Load management: there is a second master (%(name)s). Exactly one station of a cluster may be the master."
    ),
    Subject.CLUSTER_SILENT: gettext_lazy(
        "Load management: the master of the cluster is not heard, the fallback holds."
    ),
    Subject.CLUSTER_LOST: gettext_lazy("Load management: stations of the cluster are not heard: %(names)s."),
    Subject.MODEM_OFFLINE: gettext_lazy("The modem has no mobile network."),
    Subject.CLOCK: gettext_lazy("Nothing keeps the clock: the time may be wrong."),
    Subject.DISK: gettext_lazy("The disk is nearly full: %(megabytes)s MB are free."),
    Subject.UPDATE_FAILED: gettext_lazy("The last update of the software failed; the earlier version runs on."),
    Subject.VENDOR_ACCESS: gettext_lazy("The vendor's access is open for another %(left)s."),
    Subject.PASSWORD_OF_FACTORY: gettext_lazy("The password of the user admin is still the factory's."),
}
_ADVICE: Words = {
    Subject.OUT_OF_SERVICE: gettext_lazy("Put it back into service over the backend when the reason is gone."),
    Subject.BACKEND_ABSENT: gettext_lazy("It is started again by itself; if this lasts, restart the daemon."),
    Subject.BACKEND_NOT_SET_UP: gettext_lazy(
        "Enter the server's address. Without a server the list of cards decides who charges."
    ),
    Subject.BACKEND_OFFLINE: gettext_lazy(
        "Check the network and the server's settings. Sessions are kept and sent later."
    ),
    Subject.BACKEND_NOT_REGISTERED: gettext_lazy("Have the operator release the chargebox ID at the server."),
    Subject.LINK_PLAIN: gettext_lazy("Use an address that begins with wss://."),
    Subject.LINK_UNVERIFIED: gettext_lazy("Add the CA certificate of the server."),
    Subject.LINK_TRUSTED_BLINDLY: gettext_lazy("Switch it off again unless the mobile network is a closed one."),
    Subject.MESSAGES_SET_ASIDE: gettext_lazy("Ask the operator why the server refuses them, then send them again."),
    Subject.DIMMING_ACTIVE: gettext_lazy("It ends by itself when the grid operator lifts it."),
    Subject.DIMMING_SILENT: gettext_lazy("Check the module's supply and the data cable."),
    Subject.DIMMING_NO_INPUT: gettext_lazy(
        "Add it to io.inputs in hardware.json and restart the daemon, or switch the dimming off."
    ),
    Subject.DIMMING_OFF: gettext_lazy(
        "Switch the dimming on under Load management, or take the input out of hardware.json when there is no control "
        "box."
    ),
    Subject.ENERGY_MANAGER_SILENT: gettext_lazy(
        "Check the energy manager and the network, or switch the Modbus server off."
    ),
    Subject.MODBUS_CLOSED: gettext_lazy("Choose another port; another program may use this one."),
    Subject.CLUSTER_SECOND_MASTER: gettext_lazy("Set one of the two to slave."),
    Subject.CLUSTER_SILENT: gettext_lazy("Check the network cable, the master and its address."),
    Subject.CLUSTER_LOST: gettext_lazy(
        "Their share stays reserved. Check network and supply there; remove a station that no longer exists."
    ),
    Subject.MODEM_OFFLINE: gettext_lazy("Check SIM card, PIN, APN and antenna."),
    Subject.CLOCK: gettext_lazy("Switch NTP on, or let the OCPP server set the time."),
    Subject.DISK: gettext_lazy("Delete what is not needed; sessions cannot be recorded on a full disk."),
    Subject.UPDATE_FAILED: gettext_lazy(
        "The reason stands among the events. Try it again with an image for this station."
    ),
    Subject.VENDOR_ACCESS: gettext_lazy("Close it as soon as the vendor's work is done."),
    Subject.PASSWORD_OF_FACTORY: gettext_lazy("Choose another one: whoever has opened the housing once knows it."),
}
_CLUSTER_UNABLE: Words = {
    "no_key": gettext_lazy("Load management: the pairing code of the cluster is missing."),
    "no_limit": gettext_lazy("Load management: the cluster limit is missing, nobody is given a share."),
    "no_server": gettext_lazy("Load management: the master's server does not run."),
    "id_taken": gettext_lazy("Load management: the master knows another station under this station's number."),
    "not_admitted": gettext_lazy("Load management: the master does not admit this station, which pauses."),
}
_CLUSTER_UNABLE_ADVICE: Words = {
    "no_key": gettext_lazy("Enter the code that the master shows."),
    "no_limit": gettext_lazy("Enter the cluster limit at the master."),
    "no_server": gettext_lazy("The page says why; the package redis-server has to be installed and the port free."),
    "id_taken": gettext_lazy("Remove the station at the master if this one has taken its place."),
    "not_admitted": gettext_lazy("The page Load management says why."),
}
# The sentences of words.NOT_READY say themselves what happens next; these say what a person does.
_NOT_READY_ADVICE: Mapping[str, "str | Promise"] = {
    "hardware_absent": gettext_lazy("It is started again by itself; if this lasts, restart the daemon."),
    "records_unwritable": gettext_lazy("Make room on the disk."),
    "records_waiting": gettext_lazy("It usually passes within seconds; if it lasts, restart the daemon."),
    "controllers_silent": gettext_lazy("Check the controllers' supply and the data cable."),
    "hardware_missing": gettext_lazy(
        "Put it into the data directory; the station then begins by itself. The installation manual shows how."
    ),
    "hardware_wrong": gettext_lazy(
        "Mend it; the station then begins by itself. manage.py doctor names the mistakes, too."
    ),
    "safe_mode": gettext_lazy("Restart the daemon. If it comes back, create a log and call the service."),
}


def title(concern: Concern) -> str:
    """Say what it is."""
    data = concern.data
    match concern.subject:
        case Subject.NOT_READY:
            mistakes = description_words.in_one_line(concern.mistakes)
            return f"{words.word(words.NOT_READY, concern.code)} {mistakes}".strip()
        case Subject.FAULT:
            return words.word(words.FAULTS, concern.code)
        case Subject.CLUSTER_UNABLE:
            return words.word(_CLUSTER_UNABLE, concern.code)
        case Subject.MESSAGES_SET_ASIDE:
            count = int(data["count"])
            text = ngettext(
                "%(count)d message was refused by the backend and set aside.",
                "%(count)d messages were refused by the backend and set aside.",
                count,
            )
            return text % {"count": count}
        case Subject.DATABASE_SET_ASIDE:
            return words.database_set_aside([str(data["files"])])
        case Subject.SECRETS_LOST:
            return words.secrets_lost([str(data["keys"])])
    told = {
        "reason": words.word(words.BACKEND_ERRORS, concern.code) if concern.code else "",
        "left": formats.hours_and_minutes(int(data.get("minutes", 0))),
        "state": words.word(words.REGISTRATIONS, concern.code),
        "power": formats.kilowatt(int(data.get("power_w", 0))),
    }
    return (words.word(_TITLES, concern.subject) % {**told, **data}).strip()


def advice(concern: Concern) -> str:
    """Say what to do; empty where the title says it or nothing helps but waiting."""
    match concern.subject:
        case Subject.NOT_READY:
            return str(_NOT_READY_ADVICE.get(concern.code, ""))
        case Subject.FAULT:
            return words.word(words.FAULT_ADVICE, concern.code, unknown="")
        case Subject.CLUSTER_UNABLE:
            return words.word(_CLUSTER_UNABLE_ADVICE, concern.code, unknown="")
    return words.word(_ADVICE, concern.subject, unknown="")


def summary(found: tuple[Concern, ...]) -> str:
    """Say in two words how the station is: the worst that there is, counted."""
    problems = sum(concern.severity is Severity.PROBLEM for concern in found)
    if problems:
        return ngettext("%(count)d problem", "%(count)d problems", problems) % {"count": problems}
    if found:
        return ngettext("%(count)d notice", "%(count)d notices", len(found)) % {"count": len(found)}
    return _("All in order")
