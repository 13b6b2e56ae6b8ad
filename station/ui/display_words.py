"""Words of the driver's display: short, for somebody who stands in front of the station with a cable in the hand."""

from collections.abc import Iterable

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from station.domain.authorization import Reason
from station.domain.commands import Refusal
from station.domain.connector import Phase
from station.domain.faults import FaultCode
from station.domain.limits import LimitSource
from station.ui.words import Words, word

# What stands over the phase of a charging point.
OUT_OF_SERVICE, FAULT, REFUSED = "out_of_service", "fault", "refused"

TITLES: Words = {
    Phase.AVAILABLE: pgettext_lazy("display", "Free"),
    Phase.AUTHORIZED: pgettext_lazy("display", "Card accepted"),
    Phase.PLUGGED: pgettext_lazy("display", "Cable plugged in"),
    Phase.RESERVED: pgettext_lazy("display", "Reserved"),
    Phase.LAPSED: pgettext_lazy("display", "Time is up"),
    Phase.STARTING: pgettext_lazy("display", "Charging begins"),
    Phase.CHARGING: pgettext_lazy("display", "Charging"),
    Phase.SUSPENDED_EV: pgettext_lazy("display", "Vehicle pauses"),
    Phase.SUSPENDED_EVSE: pgettext_lazy("display", "Pause"),
    Phase.RESUMING: pgettext_lazy("display", "Goes on"),
    Phase.ENDING: pgettext_lazy("display", "Charging ends"),
    Phase.FINISHING: pgettext_lazy("display", "Finished"),
    OUT_OF_SERVICE: pgettext_lazy("display", "Out of order"),
    FAULT: pgettext_lazy("display", "Fault"),
    REFUSED: pgettext_lazy("display", "Card refused"),
}

NEXT_STEPS: Words = {
    Phase.AVAILABLE: _("Plug in the cable, then hold your card to the reader."),
    Phase.AUTHORIZED: _("Now plug in the charging cable."),
    Phase.PLUGGED: _("Now hold your card to the reader."),
    Phase.RESERVED: _("Only for the card of the reservation."),
    Phase.LAPSED: _("Unplug the cable and plug it in again."),
    Phase.STARTING: _("One moment, please."),
    Phase.CHARGING: _("To end: hold your card to the reader."),
    Phase.SUSPENDED_EV: _("The vehicle takes no energy; it may be full."),
    Phase.SUSPENDED_EVSE: _("Too little power at the moment. It goes on by itself."),
    Phase.RESUMING: _("One moment, please."),
    Phase.ENDING: _("One moment, please."),
    Phase.FINISHING: _("Unplug the charging cable."),
    OUT_OF_SERVICE: _("Please use another charging point."),
    FAULT: _("Please use another charging point."),
}

# Where a session begins without a card (Plug & Charge).
NEXT_STEPS_WITHOUT_CARD: Words = {
    Phase.AVAILABLE: _("Plug in the cable. Charging begins by itself."),
    Phase.PLUGGED: _("One moment, please."),
    Phase.CHARGING: _("To end: end it at the vehicle and unplug."),
}

# Why a car gets less than the charging point could give, for somebody who knows nothing of load management.
_SITE, _OPERATOR = _("energy management of the site"), _("setting of the operator")
LIMITS: Words = {
    LimitSource.CABLE: _("charging cable"),
    LimitSource.STATION_MAINS: _("shared with the other charging points"),
    LimitSource.CLUSTER: _("shared with other stations"),
    LimitSource.CLUSTER_SILENT: _("shared with other stations"),
    LimitSource.ENERGY_MANAGER: _SITE,
    LimitSource.ENERGY_MANAGER_SILENT: _SITE,
    LimitSource.CHARGING_PROFILE: _OPERATOR,
    LimitSource.UNREADABLE_PROFILE: _OPERATOR,
    LimitSource.UNTIMED_PROFILE: _OPERATOR,
    LimitSource.GRID_OPERATOR: _("reduced by the grid operator"),
    LimitSource.CONTACTOR_REST: _("short pause, goes on within a minute"),
}

MAINTENANCE_STEP = _("Software is being renewed. Back in a few minutes.")

# Faults that the driver can do something about.
FAULT_STEPS: Words = {
    FaultCode.EV_COMMUNICATION_ERROR: _("Unplug the cable and plug it in again."),
    FaultCode.CONNECTOR_LOCK_FAILURE: _("Unplug the cable and push it in firmly."),
    FaultCode.GROUND_FAILURE: _("Unplug the cable. Please use another charging point."),
    FaultCode.OVER_CURRENT_FAILURE: _("Unplug the cable. Please use another charging point."),
    FaultCode.HIGH_TEMPERATURE: _("Too hot. It goes on when it has cooled down."),
}

# Faults of the whole station; another charging point of it is no way out.
STATION_FAULT_STEP = _("Charging is not possible here at the moment.")
READER_OUT_OF_ORDER = _("Card reader out of order")
READER_OF_POINT_OUT_OF_ORDER = _("Card reader of charging point %(number)s out of order")

AWAY = _("The display has no connection to the station.")
ONE_MOMENT = _("One moment, please.")

_BLOCKED, _EXPIRED = _("The card is blocked."), _("The card has expired.")
_UNKNOWN, _OFFLINE = _("The card is not known here."), _("The card cannot be checked: no connection.")
_NOT_NOW = _("Charging is not possible at the moment.")
CARD_REFUSALS: Words = {
    Reason.WHITELIST_BLOCKED: _BLOCKED,
    Reason.BACKEND_BLOCKED: _BLOCKED,
    Reason.OFFLINE_LISTED_BLOCKED: _BLOCKED,
    Reason.OFFLINE_CACHED_BLOCKED: _BLOCKED,
    Reason.WHITELIST_EXPIRED: _EXPIRED,
    Reason.BACKEND_EXPIRED: _EXPIRED,
    Reason.OFFLINE_LISTED_EXPIRED: _EXPIRED,
    Reason.OFFLINE_CACHED_EXPIRED: _EXPIRED,
    Reason.WHITELIST_UNKNOWN: _UNKNOWN,
    Reason.BACKEND_INVALID: _UNKNOWN,
    Reason.TAG_MALFORMED: _UNKNOWN,
    Reason.BACKEND_CONCURRENT: _("The card is charging elsewhere already."),
    Reason.BACKEND_ANSWER_UNUSABLE: _OFFLINE,
    Reason.PAYMENT_DECLINED: _("The payment was not approved."),
    Reason.OFFLINE_PAYMENT: _OFFLINE,
    Reason.OFFLINE_UNKNOWN: _OFFLINE,
    Reason.OFFLINE_LOCAL_OFF: _OFFLINE,
    Reason.BEFORE_FIRST_ACCEPTANCE: _OFFLINE,
}
REFUSALS: Words = {
    Refusal.CONNECTOR_OCCUPIED: _("The charging point is occupied."),
    Refusal.CONNECTOR_FAULTED: _("The charging point has a fault."),
    Refusal.CONNECTOR_UNAVAILABLE: _("The charging point is out of service."),
    Refusal.CONNECTOR_RESERVED: _("Reserved for another card."),
    Refusal.NO_CONNECTOR_FREE: _("No charging point is free."),
    Refusal.REPLUG_NEEDED: _("Unplug the cable and plug it in again."),
    Refusal.CONNECTOR_AMBIGUOUS: _("First plug in the charging cable."),
    Refusal.START_PENDING: _("One moment, please."),
    Refusal.TAG_INVALID: _UNKNOWN,
    Refusal.TAG_REFUSED: _("The card is not allowed to charge."),
}


def refusal(reason: str, because: str) -> str:
    """Return why a card was refused, for whoever holds it."""
    return word(CARD_REFUSALS, because, unknown=word(REFUSALS, reason, unknown=str(_NOT_NOW)))


def fault_step(faults: Iterable[str]) -> str:
    """Return what the driver can do about faults."""
    return next((str(FAULT_STEPS[code]) for code in faults if code in FAULT_STEPS), str(NEXT_STEPS[FAULT]))
