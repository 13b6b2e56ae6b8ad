"""What the computer's services say, in words: why one did not answer, why the modem is not online, who set a clock."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from station.domain.mobile import Cause, Quality, Registration, SimState
from station.host.dbus.bus import AccessIsDenied, NoAnswer, ServiceAbsent, ServiceRefused, ValueIsInvalid
from station.ui.words import Words

_REFUSALS: Mapping[type[ServiceRefused], "str | Promise"] = {
    ServiceAbsent: gettext_lazy("Not available: %(service)s does not run on this computer."),
    AccessIsDenied: gettext_lazy("Not available: the station may not use %(service)s; its polkit rule is missing."),
    NoAnswer: gettext_lazy("%(service)s does not answer. Try again; if that does not help, reboot the system."),
    ValueIsInvalid: gettext_lazy("%(service)s does not accept this: %(text)s"),
}

QUALITIES: Words = {
    Quality.NONE: pgettext_lazy("mobile signal", "no network"),
    Quality.WEAK: pgettext_lazy("mobile signal", "too weak"),
    Quality.FAIR: pgettext_lazy("mobile signal", "sufficient"),
    Quality.GOOD: pgettext_lazy("mobile signal", "good"),
    Quality.VERY_GOOD: pgettext_lazy("mobile signal", "very good"),
}
QUALITY_TONES: Mapping[str, str] = {
    Quality.NONE: "fault",
    Quality.WEAK: "fault",
    Quality.FAIR: "paused",
    Quality.GOOD: "free",
    Quality.VERY_GOOD: "free",
}

SIM_STATES: Words = {
    SimState.READY: pgettext_lazy("SIM card", "ready"),
    SimState.ABSENT: pgettext_lazy("SIM card", "not inserted"),
    SimState.LOCKED: pgettext_lazy("SIM card", "locked, asks for its PIN"),
    SimState.BLOCKED: pgettext_lazy("SIM card", "blocked, asks for its PUK"),
    SimState.FAULTY: pgettext_lazy("SIM card", "cannot be read"),
}

REGISTRATIONS: Words = {
    Registration.HOME: pgettext_lazy("mobile network", "registered"),
    Registration.ROAMING: pgettext_lazy("mobile network", "registered (roaming)"),
    Registration.SEARCHING: pgettext_lazy("mobile network", "searching"),
    Registration.DENIED: pgettext_lazy("mobile network", "refused"),
    Registration.NONE: pgettext_lazy("mobile network", "not registered"),
}

# What is the matter, and what to do.
CAUSES: Mapping[str, tuple["str | Promise", "str | Promise"]] = {
    Cause.SWITCHED_OFF: (
        gettext_lazy("The modem is switched off."),
        gettext_lazy("It is switched on with the settings below: save them. If it stays off, reboot the system."),
    ),
    Cause.NO_SIM: (
        gettext_lazy("There is no SIM card in the modem."),
        gettext_lazy("Disconnect the station from the mains, insert the card, and switch the station on again."),
    ),
    Cause.SIM_FAULTY: (
        gettext_lazy("The SIM card cannot be read."),
        gettext_lazy("Take it out, wipe its contacts and insert it again; try another card."),
    ),
    Cause.PIN_MISSING: (
        gettext_lazy("The SIM card asks for its PIN."),
        gettext_lazy("Enter the PIN below. It stands in the letter of the provider."),
    ),
    Cause.PIN_WRONG: (
        gettext_lazy("The SIM card has refused the PIN. The station does not send it again."),
        gettext_lazy("Compare it with the letter of the provider and enter it anew."),
    ),
    Cause.PIN_WAITS: (
        gettext_lazy("The SIM card is locked; the station sends its PIN in a moment."),
        gettext_lazy("Wait a few seconds."),
    ),
    Cause.PIN_TOO_FEW_TRIES: (
        gettext_lazy("The SIM card is locked, and the next wrong PIN would block it. The station sends none."),
        gettext_lazy("Put the card into a telephone and enter the PIN there, or switch the PIN off there."),
    ),
    Cause.PUK_NEEDED: (
        gettext_lazy("The SIM card is blocked: a wrong PIN was entered too often."),
        gettext_lazy("Put the card into a telephone and unblock it with the PUK, which the provider has sent."),
    ),
    Cause.DENIED: (
        gettext_lazy("The mobile network refuses the SIM card."),
        gettext_lazy("Ask the provider whether the card is activated and paid for, and holds in this country."),
    ),
    Cause.TOO_WEAK: (
        gettext_lazy("The signal is too weak to get into the mobile network."),
        gettext_lazy("Check the antenna and its plug; the antenna mode shows where the signal is best."),
    ),
    Cause.SEARCHING: (
        gettext_lazy("The modem is searching for a mobile network."),
        gettext_lazy("This takes up to three minutes. If it goes on, check the antenna, and try another service mode."),
    ),
    Cause.APN_REFUSED: (
        gettext_lazy("The mobile network refuses the access point (APN), user name or password."),
        gettext_lazy("Choose the provider of the SIM card below, or enter what its letter says."),
    ),
    Cause.CONNECTING: (
        gettext_lazy("The connection is being made."),
        gettext_lazy("This takes up to a minute."),
    ),
    Cause.NOT_CONNECTED: (
        gettext_lazy("The modem is in the mobile network, but there is no connection."),
        gettext_lazy("Save the settings below once more. If that does not help, reboot the system."),
    ),
}

TIME_SOURCES: Words = {
    "backend": gettext_lazy("OCPP (heartbeat)"),
    "browser": gettext_lazy("Browser"),
}


def refused(refusal: ServiceRefused) -> str:
    """Return why a service of the computer has not done something, in the reader's language."""
    known = next((text for kind, text in _REFUSALS.items() if isinstance(refusal, kind)), None)
    text = known or _("%(service)s refuses: %(text)s")
    return str(text) % {"service": _name(refusal.service), "text": refusal.text or refusal.name}


def _name(service: str) -> str:
    # org.freedesktop.ModemManager1 is ModemManager, org.freedesktop.timedate1 is timedate.
    return service.rpartition(".")[2].rstrip("1") or service


def program(name: str, pid: int, user: str) -> str:
    """Name a program that is in the way, as far as it is known: an empty name, 0 and an empty user are not."""
    if name and pid:
        return _("%(program)s (process %(pid)s)") % {"program": name, "pid": pid}
    return _("a program of the user %(user)s") % {"user": user} if user else _("another program")
