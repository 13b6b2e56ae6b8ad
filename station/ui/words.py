"""Words for codes. The station stores codes; sentences are made here, when someone reads, in the reader's language."""

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from station.domain.authorization import Reason, Verdict
from station.domain.commands import Refusal, Status
from station.domain.crash_guard import CrashCause
from station.domain.facts import FactKind
from station.domain.faults import FaultCode
from station.domain.flashing import Stage
from station.domain.link_security import LinkKind
from station.domain.ocmf import Finding
from station.domain.roles import Role
from station.domain.vendor_access import Door

Words = Mapping[str, "str | Promise"]

ROLES: Words = {
    Role.SIGNED_IN.name: pgettext_lazy("what somebody may do", "Without a role"),
    Role.VIEWER.name: pgettext_lazy("what somebody may do", "View only"),
    Role.OPERATOR.name: pgettext_lazy("what somebody may do", "Operator"),
    Role.INSTALLER.name: pgettext_lazy("what somebody may do", "Installer"),
}

DOORS: Words = {
    Door.LOCAL: _("local"),
    Door.REMOTE: _("remote"),
}

FACT_KINDS: Words = {
    FactKind.SESSION_BEGAN: _("Start of a session"),
    FactKind.METER_SAMPLED: _("Meter value"),
    FactKind.SESSION_ENDED: _("End of a session"),
}

# What is wrong with what a meter has signed.
FINDINGS: Words = {
    Finding.MALFORMED: _("These are no meter data in the format OCMF."),
    Finding.VERSION_UNSUPPORTED: _("The version of the format is not one from 1.0 to 1.3."),
    Finding.KEY_MISSING: _("The public key of the meter is not known."),
    Finding.KEY_UNREADABLE: _("The public key does not fit the signature's algorithm."),
    Finding.SIGNATURE_WRONG: _("The signature does not belong to these meter data and this public key."),
    Finding.SIGNATURE_UNVERIFIABLE: _("The station cannot verify signatures of this algorithm."),
    Finding.SERIAL_MISSING: _("The serial number of the meter is missing."),
    Finding.REGISTER_UNREADABLE: _("An energy register cannot be read."),
    Finding.NOT_IMPORTED_ENERGY: _("A register does not count the energy delivered to the vehicle."),
    Finding.TIME_UNREADABLE: _("A time is not written as the format OCMF has it."),
    Finding.TIME_UNKNOWN: _("The meter did not know the time."),
    Finding.TIME_SOURCES_DIFFER: _("Begin and end were measured against different clocks."),
    Finding.METER_NOT_GOOD: _("The meter reports that a value is not good."),
    Finding.METER_ERROR: _("The meter reports an error of its energy register."),
    Finding.IDENTIFICATION_REFUSED: _("The driver was not identified."),
    Finding.IDENTIFICATION_DIFFERS: _("Begin and end name different drivers."),
    Finding.SERIAL_DIFFERS: _("Begin and end come from different meters."),
    Finding.PAGINATION_GAP: _("Signed meter data are missing: the meter's numbering has a gap."),
    Finding.NO_BEGIN: _("The begin of the charging session is missing."),
    Finding.NO_END: _("The end of the charging session is missing."),
    Finding.SEVERAL_BEGINS: _("There is more than one begin of a charging session."),
    Finding.SEVERAL_ENDS: _("There is more than one end of a charging session."),
    Finding.ENERGY_FALLS: _("The energy register has fallen."),
    Finding.TIME_GOES_BACK: _("The end is before the begin."),
}

FAULTS: Words = {
    FaultCode.WEAK_SIGNAL: _("Poor mobile network reception"),
    FaultCode.OVER_VOLTAGE_PROTECTION_FAILURE: _("Overvoltage protection is no longer ensured"),
    FaultCode.REGULATORY_COMPLIANCE_FAILURE: _("Calibration log: problem with the SD card"),
    FaultCode.READER_FAILURE: _("No valid RFID reader was found"),
    FaultCode.UNDER_VOLTAGE: _("Phase failure: at least one phase is missing"),
    FaultCode.EVSE_COMMUNICATION_ERROR: _("Error communicating with the EVSE controller"),
    FaultCode.EV_COMMUNICATION_ERROR: _("Error at the vehicle"),
    FaultCode.POWER_SWITCH_FAILURE: _("Contactor welded"),
    FaultCode.OVER_CURRENT_FAILURE: _("The overcurrent protection has tripped"),
    FaultCode.GROUND_FAILURE: _("The residual-current device has tripped"),
    FaultCode.CONNECTOR_LOCK_FAILURE: _("Connector lock defective or cable not properly plugged in"),
    FaultCode.POWER_METER_FAILURE: _("Error communicating with the meter"),
    FaultCode.HIGH_TEMPERATURE: _("Temperature in the charging point too high"),
    FaultCode.INTERNAL_ERROR: _("Internal error"),
    FaultCode.LOCAL_LIST_CONFLICT: _("Local list and backend disagree about a card"),
    FaultCode.OTHER_ERROR: _("Other error"),
    FaultCode.OVER_VOLTAGE: _("Mains voltage too high"),
    FaultCode.RESET_FAILURE: _("A restart could not be carried out"),
    FaultCode.INPUT_MODULE_FAILURE: _("The input module does not answer"),
    FaultCode.DATABASE_REPLACED: _("The database was damaged and replaced"),
}

FAULT_ADVICE: Words = {
    FaultCode.WEAK_SIGNAL: _("Check the antenna or connect the station by cable."),
    FaultCode.OVER_VOLTAGE_PROTECTION_FAILURE: _("Have the surge arrester replaced."),
    FaultCode.REGULATORY_COMPLIANCE_FAILURE: _("Call the manufacturer's service."),
    FaultCode.READER_FAILURE: _("Check the reader's cable and the hardware configuration."),
    FaultCode.UNDER_VOLTAGE: _("Have an electrician check the supply and the fuses."),
    FaultCode.EVSE_COMMUNICATION_ERROR: _("Check the controller's supply and its data cable."),
    FaultCode.EV_COMMUNICATION_ERROR: _("Unplug the vehicle and plug it in again."),
    FaultCode.POWER_SWITCH_FAILURE: _("Switch the station off; have the contactor replaced."),
    FaultCode.OVER_CURRENT_FAILURE: _("Find the cause, then switch the circuit breaker on again."),
    FaultCode.GROUND_FAILURE: _("Unplug the vehicle, then switch the residual-current device on again."),
    FaultCode.CONNECTOR_LOCK_FAILURE: _("Unplug the cable and plug it in firmly."),
    FaultCode.POWER_METER_FAILURE: _("Check the meter's data cable."),
    FaultCode.HIGH_TEMPERATURE: _("Wait until it has cooled down; check the ventilation."),
    FaultCode.INTERNAL_ERROR: _("The cause is in the log of the process hardware; restart the daemon."),
    FaultCode.LOCAL_LIST_CONFLICT: _("Have the operator of the backend send the list of cards again."),
    FaultCode.OTHER_ERROR: _("Mend what the contact reports."),
    FaultCode.OVER_VOLTAGE: _("Have an electrician check the supply and the neutral conductor."),
    FaultCode.RESET_FAILURE: _("Switch the station off and on again at the circuit breaker."),
    FaultCode.INPUT_MODULE_FAILURE: _("Check the module's supply and its data cable."),
    FaultCode.DATABASE_REPLACED: _("Set the station up again, then take the files away that were kept aside."),
}

STATUSES: Words = {
    "Available": pgettext_lazy("charging point", "Free"),
    "Preparing": pgettext_lazy("charging point", "Preparing"),
    "Charging": pgettext_lazy("charging point", "Charging"),
    "SuspendedEV": pgettext_lazy("charging point", "Paused by the vehicle"),
    "SuspendedEVSE": pgettext_lazy("charging point", "Paused by the station"),
    "Finishing": pgettext_lazy("charging point", "Finished"),
    "Reserved": pgettext_lazy("charging point", "Reserved"),
    "Unavailable": pgettext_lazy("charging point", "Out of service"),
    "Faulted": pgettext_lazy("charging point", "Fault"),
}

HINTS: Words = {
    "Available": _("Plug in a vehicle or hold a card to the reader."),
    "Preparing": _("Vehicle connected – hold a card to the reader."),
    "SuspendedEV": _("The vehicle draws no energy at the moment."),
    "SuspendedEVSE": _("The present limit is below 6 A; charging goes on by itself."),
    "Finishing": _("The session has ended – unplug the vehicle."),
    "Unavailable": _("Drivers cannot charge here."),
}

FLASHING: Words = {
    Stage.WAITING: _("The firmware is about to be written."),
    Stage.WRITING: _("The firmware is being written."),
    Stage.CHECKING: _("The firmware is being checked."),
    Stage.STARTING: _("The new firmware starts."),
    Stage.NO_ANSWER: _("The controller does not answer; the writing goes on as soon as it does."),
}

REFUSALS: Words = {
    Refusal.CONNECTOR_UNKNOWN: _("This charging point does not exist."),
    Refusal.CONNECTOR_OCCUPIED: _("The charging point is occupied."),
    Refusal.CONNECTOR_FAULTED: _("The charging point has a fault."),
    Refusal.CONNECTOR_UNAVAILABLE: _("The charging point is out of service."),
    Refusal.CONNECTOR_RESERVED: _("The charging point is reserved for another card."),
    Refusal.NO_CONNECTOR_FREE: _("No charging point is free."),
    Refusal.REPLUG_NEEDED: _("The cable waited too long for a card. Unplug it and plug it in again."),
    Refusal.CONNECTOR_AMBIGUOUS: _("It is not clear which charging point is meant."),
    Refusal.NO_SESSION: _("There is no charging session."),
    Refusal.TRANSACTION_UNKNOWN: _("There is no such transaction."),
    Refusal.NO_LOCK: _("The cable is fixed to the station; there is no lock."),
    Refusal.LOCK_STUCK: _("The lock does not open. Press the plug in a little and try again."),
    Refusal.TAG_REFUSED: _("The card is not allowed to charge."),
    Refusal.TAG_INVALID: _("This is not a usable card number (1 to 20 characters)."),
    Refusal.PROFILE_INVALID: _("The charging profile is not valid."),
    Refusal.START_PENDING: _("A start is under way already."),
    Refusal.SESSIONS_RUNNING: _("End the running charging sessions first."),
    Refusal.RECORDS_UNWRITABLE: _("Sessions cannot be recorded; none may start."),
    Refusal.METER_UNREADABLE: _("The meter of this charging point cannot be read; without it no session may start."),
    Refusal.METER_DOES_NOT_SIGN: _(
        "The calibrated meter has not signed the begin; without that no session may start. Please try again."
    ),
    Refusal.HARDWARE_ABSENT: _("The control of the charging points does not answer."),
    Refusal.SAFE_MODE: _("The station is in safe mode. Restart it to try again."),
    Refusal.HARDWARE_UNKNOWN: _("The station does not know its hardware: hardware.json is missing or wrong."),
    Refusal.TOO_LATE: _("The command came too late and was not carried out."),
    Refusal.FLASHING_NOT_SUPPORTED: _(
        "Not supported by this controller: its maker offers no way to write its firmware over the data cable."
    ),
    Refusal.MALFORMED: _("The command was not understood."),
    Refusal.NOT_PERMITTED: _("This is not permitted."),
}

_BLOCKED = _("The card is blocked.")
_EXPIRED = _("The card has expired.")
_UNKNOWN_OFFLINE = _("The backend cannot be asked, and the card is not known here.")
# Why a card is refused, where that is more specific than the refusal itself.
CARD_REFUSALS: Words = {
    Reason.TAG_MALFORMED: _("This is not a usable card number (1 to 20 characters)."),
    Reason.WHITELIST_BLOCKED: _BLOCKED,
    Reason.BACKEND_BLOCKED: _BLOCKED,
    Reason.OFFLINE_LISTED_BLOCKED: _BLOCKED,
    Reason.OFFLINE_CACHED_BLOCKED: _BLOCKED,
    Reason.WHITELIST_EXPIRED: _EXPIRED,
    Reason.BACKEND_EXPIRED: _EXPIRED,
    Reason.OFFLINE_LISTED_EXPIRED: _EXPIRED,
    Reason.OFFLINE_CACHED_EXPIRED: _EXPIRED,
    Reason.WHITELIST_UNKNOWN: _("The card is not in the station's list."),
    Reason.PAYMENT_DECLINED: _("The payment was not approved (giro-e)."),
    Reason.OFFLINE_PAYMENT: _("The payment cannot be approved while the backend cannot be reached (giro-e)."),
    Reason.BACKEND_INVALID: _("The backend does not know the card."),
    Reason.BACKEND_CONCURRENT: _("The card is charging elsewhere already."),
    Reason.BACKEND_ANSWER_UNUSABLE: _("The backend gave no usable answer about the card."),
    Reason.OFFLINE_UNKNOWN: _UNKNOWN_OFFLINE,
    Reason.OFFLINE_LOCAL_OFF: _("The backend cannot be asked, and cards are not accepted without it."),
    Reason.BEFORE_FIRST_ACCEPTANCE: _("The backend has not accepted this station yet."),
}

VERDICTS: Words = {
    Verdict.ACCEPTED: _("may charge"),
    Verdict.REFUSED: _("is refused"),
    Verdict.ASK_BACKEND: _("the backend is asked"),
}

# What the rules say of a card, for whoever tries one (docs/authorization.md).
CARD_REASONS: Words = {
    Reason.TAG_MALFORMED: _("This is not a usable card number (1 to 20 characters)."),
    Reason.WHITELIST_ACCEPTED: _("The card is in the whitelist and accepted."),
    Reason.WHITELIST_BLOCKED: _("The card is blocked in the whitelist."),
    Reason.WHITELIST_EXPIRED: _("The card is in the whitelist, but has expired."),
    Reason.WHITELIST_UNKNOWN: _("The card is not in the whitelist."),
    Reason.WHITELIST_ANY_CARD: _("Every card may charge: identification is set to any RFID card."),
    Reason.WHITELIST_NO_IDENTIFICATION: _("No card is needed: identification is set to none."),
    Reason.PRE_AUTHORIZED_BY_LIST: _("The whitelist accepts the card; the backend is not waited for."),
    Reason.PRE_AUTHORIZED_BY_CACHE: _("The backend has accepted the card before; its answer is not waited for."),
    Reason.PRE_AUTHORIZE_OFF: _("The card is known here, but the backend decides (LocalPreAuthorize is off)."),
    Reason.LISTED_NOT_ACCEPTED_ASK: _("The whitelist does not accept the card; the backend may know better."),
    Reason.CACHED_NOT_ACCEPTED_ASK: _("The backend has refused the card before; it may know better by now."),
    Reason.UNKNOWN_ASK: _("The card is not known here; the backend decides."),
    Reason.OFFLINE_LISTED: _("The whitelist accepts the card."),
    Reason.OFFLINE_CACHED: _("The backend has accepted the card before."),
    Reason.OFFLINE_LISTED_BLOCKED: _("The card is blocked in the whitelist."),
    Reason.OFFLINE_LISTED_EXPIRED: _("The card is in the whitelist, but has expired."),
    Reason.OFFLINE_CACHED_BLOCKED: _("The backend has refused the card before."),
    Reason.OFFLINE_CACHED_EXPIRED: _("The backend has accepted the card before, but it has expired."),
    Reason.OFFLINE_LOCAL_OFF: _("Without the backend no card may charge (LocalAuthorizeOffline is off)."),
    Reason.OFFLINE_UNKNOWN_ALLOWED: _("Unknown cards may charge while the backend cannot be reached."),
    Reason.OFFLINE_UNKNOWN: _("Unknown cards may not charge while the backend cannot be reached."),
    Reason.BEFORE_FIRST_ACCEPTANCE: _("This backend has not accepted the station yet; until then nobody may charge."),
}

OUTCOMES: Words = {
    Status.ACCEPTED: _("Done."),
    Status.REJECTED: _("Refused."),
    Status.SCHEDULED: _("Scheduled for the end of the charging session."),
    Status.UNLOCKED: _("Unlocked."),
    Status.UNLOCK_FAILED: _("The lock does not open. Press the plug in a little and try again."),
    Status.NOT_SUPPORTED: _("This station cannot do that."),
    Status.NO_ANSWER: _("The control of the charging points does not answer."),
}

LIMIT_SOURCES: Words = {
    "cable": _("Charging cable"),
    "rating": _("Rated current of the charging point"),
    "station_mains": _("Mains limit of the station"),
    "grid_operator": _("Grid operator (§ 14a EnWG)"),
    "cluster": _("Load management (cluster)"),
    "cluster_silent": _("Load management (cluster), nothing granted: fallback"),
    "energy_manager": _("Energy manager (Modbus)"),
    "energy_manager_silent": _("Energy manager (Modbus) not heard: fallback"),
    "charging_profile": _("Charging profile of the backend"),
    "unreadable_profile": _("Charging profile that cannot be read"),
    "untimed_profile": _("Charging profile whose least value holds until the time is known"),
    "fault": _("Fault"),
    "local": _("Local setting"),
    "contactor_rest": _("Rest of the contactor: goes on within a minute"),
}

DIMMING_CAUSES: Words = {
    "contact": _("Contact of the control box"),
    "silent": _("Input module does not answer"),
    "settings": _("Changed settings"),
}

MODBUS_REFUSALS: Words = {
    "not_listed": _("not in the access list"),
    "too_many": _("eight are connected already"),
}

REGISTRATIONS: Words = {
    "": _("not registered yet"),
    "due": _("not registered yet"),
    "asked": _("waiting for the server's answer"),
    "unanswered": _("the server has not answered"),
    "accepted": _("accepted"),
    "pending": _("pending"),
    "rejected": _("rejected"),
}

BACKEND_ERRORS: Words = {
    "no_backend": _("No OCPP server is configured."),
    "network_down": _("The network is down."),
    "name_unknown": _("The server's name is not known."),
    "connection_refused": _("The server refuses the connection."),
    "unreachable": _("The server cannot be reached."),
    "timeout": _("The server does not answer."),
    "certificate_invalid": _("The server's certificate is not trusted."),
    "tls_version": _("The server speaks no up-to-date TLS version."),
    "tls_cipher": _("Station and server have no encryption in common."),
    "tls_failed": _("The encrypted connection cannot be made."),
    "unauthorized": _("The server refuses chargebox ID or authorization key."),
    "identity_unknown": _("The server does not know this chargebox ID."),
    "backend_unavailable": _("The server is out of service at the moment."),
    "http_status": _("There is a web server, but it does not offer OCPP at this address."),
    "subprotocol_refused": _("The server does not speak OCPP 1.6."),
    "handshake_failed": _("What answers at this address is no OCPP server."),
    "address_invalid": _("The server's address cannot be used."),
    "closed": _("The server has closed the connection."),
    "connection_lost": _("The connection broke."),
    "message_too_big": _("The server has sent a message that is too large."),
    "pong_missing": _("The server has fallen silent."),
}

LINKS: Words = {
    LinkKind.VERIFIED: _("Encrypted; certificate and name of the server were checked."),
    LinkKind.UNVERIFIED: _("Encrypted, but it is not proven who is at the other end."),
    LinkKind.INTERNAL: _("This connection does not leave the station's computer."),
    LinkKind.PLAIN: _("Not encrypted: whoever is on the way can read and change everything."),
}

SESSION_ORIGINS: Words = {
    "backend": _("Backend"),
    "web": _("Web interface"),
    "modbus": _("Modbus"),
    "reader": _("RFID card"),
    "local": _("Station"),
}

DELIVERIES: Words = {
    "sent": pgettext_lazy("session at the backend", "Complete"),
    "waiting": pgettext_lazy("session at the backend", "Waiting"),
    "set_aside": pgettext_lazy("session at the backend", "Refused"),
}

MESSAGE_STATES: Words = {
    "pending": _("waits to be sent"),
    "sent": _("sent, not answered yet"),
    "delivered": _("taken by the backend"),
    "set_aside": _("refused by the backend and set aside"),
}

# OCPP 1.6 section 7.36, and what the station adds to it.
STOP_REASONS: Words = {
    "": _("ended"),
    "DeAuthorized": _("The backend refused the card"),
    "EmergencyStop": _("Emergency stop"),
    "EVDisconnected": _("Unplugged at the vehicle"),
    "HardReset": _("Hard reset of the station"),
    "Local": _("Stopped at the station"),
    "Other": _("Other reason"),
    "PowerLoss": _("Power failure"),
    "Reboot": _("Restart of the station"),
    "Remote": _("Stopped by the backend"),
    "SoftReset": _("Restart ordered by the backend"),
    "UnlockCommand": _("Unlocked by the backend"),
}

PILOTS: Words = {
    "A": _("no vehicle"),
    "B": _("vehicle connected"),
    "C": _("vehicle charging"),
    "D": _("vehicle charging with ventilation"),
    "E": _("no pilot signal"),
    "F": _("not available"),
}

NOT_READY: Words = {
    "hardware_absent": _("The control of the charging points is not running."),
    "redis_absent": _(
        "Redis, over which the processes talk, does not answer. Charging goes on; Redis is replaced within seconds."
    ),
    "starting": _("The control of the charging points is starting."),
    "records_unwritable": _(
        "Sessions cannot be recorded: the disk is full or cannot be written. No session begins until it can; the "
        "station goes on by itself."
    ),
    "records_waiting": _("The database does not answer at the moment; no session begins until it does."),
    "station_faulted": _("A fault puts the whole station out of order."),
    "controllers_silent": _("No EVSE controller answers."),
    "safe_mode": _(
        "Safe mode: the control of the charging points has crashed several times in a row. Energy is off at all "
        "charging points, and a plug is let go as soon as no current flows. To leave it: System – Restart daemon, or a "
        "Reset by the backend. Otherwise the station tries again by itself, at growing intervals."
    ),
    "hardware_missing": _("There is no description of the hardware yet (hardware.json), so the station cannot charge."),
    "hardware_wrong": _(
        "The description of the hardware (hardware.json) cannot be used, so the station cannot charge."
    ),
    CrashCause.EXCEPTION: _("The control ended with an error, which is in the log of the process hardware."),
    CrashCause.KILLED: _("The control ended without a word: it hung and was replaced, or it was killed."),
}


def word(words: Words, code: Any, *, unknown: str | None = None) -> str:
    """Return the words for a code; one without words stays (or is `unknown`), as a newer part may send it."""
    return str(words.get(str(code), code if unknown is None else unknown))


def faults(codes: list[str]) -> str:
    """Return the words for several faults."""
    return ", ".join(word(FAULTS, code) for code in codes)


def identity_damaged(problem: Exception, *, is_missing: bool) -> str:
    """Say what is wrong with the identity file of a running station, and until when that does no harm."""
    if is_missing:
        return gettext(
            "%(problem)s The station goes on with the identity it had, and its next start puts the file back. "
            "Somebody or something has deleted it: look whether other files are gone, too."
        ) % {"problem": problem}
    return gettext(
        "%(problem)s The station goes on with the identity it had, but cannot be started again until the file is "
        "restored."
    ) % {"problem": problem}


def secrets_lost(keys: list[str]) -> str:
    """Say which stored secrets can no longer be read, and what to do."""
    text = gettext(
        "The key to the stored secrets is lost, so these count as not set: %(keys)s. Enter them again; the station "
        "goes on charging."
    )
    return text % {"keys": ", ".join(keys)}


def database_set_aside(files: list[str]) -> str:
    """Say that the database is a new one, where the old one is, and what to do."""
    text = gettext(
        "The database was damaged, so the station has begun a new one: settings and cards are missing, and sessions of "
        "meters that do not sign; those of calibrated meters were rebuilt. The old one is kept in the data directory: "
        "%(files)s. Set the station up again, keep these files, and take them away when they are no longer needed."
    )
    return text % {"files": ", ".join(files)}
