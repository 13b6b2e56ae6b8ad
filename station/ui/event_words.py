"""Sentences for the event log and the audit trail, which store codes and data."""

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from station.domain import roles
from station.domain.roles import Role
from station.ui import (
    cluster_words,
    computer_words,
    description_words,
    file_job_words,
    problems,
    provisioning_words,
    words,
)
from station.ui.words import Words

FAULT_PREFIX = "fault."
UNREADABLE = gettext_lazy("Something happened for which this version has no words.")

EVENTS: Words = {
    "backend.offline": gettext_lazy("No connection to the server: %(reason)s"),
    "backend.pending": gettext_lazy("The server lets the station wait for its registration."),
    "backend.rejected": gettext_lazy("The server refuses to register the station."),
    "backend.message.refused": gettext_lazy("The server refuses a message; it is sent again: %(fact)s."),
    "backend.message.set_aside": gettext_lazy("The server has refused a message for good; it is set aside: %(fact)s."),
    "backend.backlog.thinned": gettext_lazy("Too many messages wait: %(dropped)s meter values were dropped."),
    "backend.profile.fallback": gettext_lazy(
        "Security profile %(wanted)s did not work with the server; the station went back to %(used)s."
    ),
    "backend.address.accepted": gettext_lazy("The server at the new address %(address)s has accepted the station."),
    "backend.address.taken_back": gettext_lazy(
        "No server accepted the station at %(address)s; it went back to %(back_to)s."
    ),
    "backend.key.fallback": gettext_lazy(
        "The server refuses the newest authorization key; the station uses the one before."
    ),
    "certificates.unproven_removed": gettext_lazy(
        "Certificates that came over an unproven connection were removed: %(subjects)s."
    ),
    "network.kept": gettext_lazy("The network settings were changed and confirmed: %(settings)s."),
    "network.taken_back": gettext_lazy(
        "Nobody confirmed the change of the network settings; the old ones are back. Tried was: %(settings)s."
    ),
    "network.withdrawn": gettext_lazy(
        "The change of the network settings was taken back; the old ones are in force. Tried was: %(settings)s."
    ),
    "network.failed": gettext_lazy(
        "The network settings could not be put in force; the old ones are back. Tried was: %(settings)s. %(problem)s"
    ),
    "computer.software.went_back": gettext_lazy(
        "Version %(version)s no longer starts; the computer has gone back to version %(running)s. Install the update "
        "again, and send the log files to the hotline."
    ),
    "computer.boot_memory.mended": gettext_lazy(
        "What the boot loader knows of the two system slots was torn, as after a power cut (%(files)s). It was written "
        "anew for slot %(slot)s, which runs."
    ),
    "storage.database.fitted": gettext_lazy(
        "The database was left by a later version and was fitted to the one that runs: %(rows)s rows were taken "
        "over, %(lost)s could not be. The file as it was is kept as %(file)s."
    ),
    "controller.flashed": gettext_lazy("The firmware of the controller was written: before %(before)s, now %(after)s."),
    "controller.flash.failed": gettext_lazy("The firmware of the controller could not be written."),
    "dimming.active": gettext_lazy("The grid operator limits the station to %(power_w)s W (§ 14a EnWG)."),
    "dimming.silent": gettext_lazy(
        "The contact of the grid operator's control box cannot be read: no answer from the input module."
    ),
    "energy_manager.silent": gettext_lazy("The energy manager (Modbus) is not heard: the fallback holds."),
    "cluster.silent": gettext_lazy(
        "The master of the cluster is not heard. When its last grant has ended, the fallback holds."
    ),
    "cluster.second_master": gettext_lazy(
        "There is a second master in the cluster: %(name)s. Exactly one may be set to Master."
    ),
    "cluster.member_joined": gettext_lazy("Station %(station)s has joined the cluster."),
    "cluster.member_refused": gettext_lazy("Station %(station)s was refused in the cluster: %(reason)s"),
    "cluster.member_lost": gettext_lazy(
        "Station %(station)s of the cluster is not heard: what it may draw stays reserved."
    ),
    "cluster.server_failed": gettext_lazy("The master's server for the cluster does not run: %(reason)s"),
    "signed_archive.unusable": gettext_lazy(
        "The archive of signed meter data is not in order, no session may start: %(reason)s"
    ),
    "signing.begin_failed": gettext_lazy("The calibrated meter has not signed the begin of a session: %(reason)s"),
    "signing.end_unreliable": gettext_lazy("The signed end of a session cannot be relied on: %(reason)s"),
    "signing.end_missing": gettext_lazy("A session ended without a signed meter value. None was put in its place."),
    "signing.end_found": gettext_lazy("The signed end that a session was closed without has been found and archived."),
    "web.port_taken": gettext_lazy(
        "The web interface could not be opened: %(obstacles)s. It begins when nothing is in the way any more."
    ),
    "lamps.failed": gettext_lazy("The lamps cannot be switched: %(reason)s"),
    "records.writable": gettext_lazy("Sessions can be recorded again."),
    "session.not_recovered": gettext_lazy("A session from before the restart is not settled yet; it is tried again."),
    "session.resumed": gettext_lazy("A session goes on after a restart."),
    "start.refused": gettext_lazy("Charging was refused for card %(id_tag)s. %(reason)s"),
    "station.started": gettext_lazy("The station has started."),
    "station.restart": gettext_lazy("The station restarts, as ordered by: %(origin)s."),
    "station.restart.failed": gettext_lazy("The restart could not be carried out: %(error)s"),
    "station.undescribed": gettext_lazy("%(cause)s %(mistakes)s"),
    "station.provisioning.refused": provisioning_words.REFUSED_AT_THE_START,
    "station.provisioning.left": provisioning_words.LEFT_BEHIND,
    "station.safe_mode": gettext_lazy("Safe mode: energy is off at all charging points. %(cause)s"),
    "storage.database.replaced": gettext_lazy(
        "The database was damaged and is kept aside as %(file)s; the station began with a new one. %(problem)s"
    ),
    "storage.sessions.rebuilt": gettext_lazy(
        "Sessions rebuilt from the archive of signed meter data: %(sessions)s. Owed to the backend: %(owed)s messages."
    ),
    "charging_profile.unreadable": gettext_lazy(
        "A charging profile cannot be read. Until the backend clears or replaces it, what it limited gets no energy."
    ),
    "files.began": gettext_lazy("Begun: %(kind)s."),
    "files.done": gettext_lazy("Done: %(kind)s."),
    "files.failed": gettext_lazy("Failed: %(kind)s. %(reason)s"),
    "files.cancelled": gettext_lazy("Cancelled: %(kind)s."),
    "files.host_key_new": gettext_lazy("The server %(where)s was seen for the first time; its key is %(fingerprint)s."),
    "sign_in.delay_lifted": gettext_lazy("The waiting time for signing in from %(address)s was lifted by %(actor)s."),
    "vendor_access.not_switched": gettext_lazy("The vendor's access cannot be opened at this computer: %(reason)s"),
    "storage.secrets.lost": gettext_lazy("Stored secrets cannot be read and have to be entered again: %(keys)s."),
}

FILE_JOBS: Words = {
    "diagnostics": gettext_lazy("diagnostics for the backend"),
    "log": gettext_lazy("log for the backend"),
    "firmware": gettext_lazy("update of the software"),
    "signed_firmware": gettext_lazy("signed update of the software"),
    "local_update": gettext_lazy("update of the software from a file"),
    "local_log": gettext_lazy("archive of the log files"),
}

COMMANDS: Words = {
    "PresentTag": gettext_lazy("Hold card %(id_tag)s to the reader"),
    "StartSession": gettext_lazy("Start charging for card %(id_tag)s"),
    "StopSession": gettext_lazy("Stop charging"),
    "UnlockConnector": gettext_lazy("Unlock the plug"),
    "SetAvailability": gettext_lazy("Put into or out of service"),
    "Reset": gettext_lazy("Restart"),
    "FlashControllers": gettext_lazy("Flash the firmware of the EVSE controllers"),
    "SetLogo": gettext_lazy("Store a logo for the display (%(brand)s)"),
    "RemoveLogo": gettext_lazy("Remove a logo of the display (%(brand)s)"),
    "Reserve": gettext_lazy("Reserve for card %(id_tag)s"),
    "CancelReservation": gettext_lazy("Cancel reservation %(reservation_id)s"),
    "PrepareUpdate": gettext_lazy("Prepare for an update of the software"),
    "ChangeConfiguration": gettext_lazy("Change settings: %(items)s"),
    "ResetConfiguration": gettext_lazy("Reset all settings"),
    "SendLocalList": gettext_lazy("Send the list of cards"),
    "SaveWhitelist": gettext_lazy("Change the list of cards"),
    "ImportWhitelist": gettext_lazy("Import cards"),
    "ChangeNetwork": gettext_lazy("Change the network settings: %(settings)s"),
    "KeepNetwork": gettext_lazy("Keep the new network settings: %(settings)s"),
    "WithdrawNetwork": gettext_lazy("Put the old network settings back instead of: %(settings)s"),
    "SetMessageAside": gettext_lazy("Set a refused message aside"),
    "SendMessagesAgain": gettext_lazy("Send %(messages)s messages again"),
    "SetClock": gettext_lazy("Set the clock from a browser: from %(before)s to %(after)s"),
    "AddCaCertificate": gettext_lazy("Add a CA certificate: %(subjects)s"),
    "RemoveCaCertificate": gettext_lazy("Remove a CA certificate: %(subjects)s"),
    "SetBrokenFileAside": gettext_lazy("Set a damaged file aside: %(file)s"),
    "ReadStoredSecrets": gettext_lazy("Read stored secrets: %(keys)s"),
    "AddAccount": gettext_lazy("Add the account %(account)s as %(role)s"),
    "GiveRole": gettext_lazy("Change the role of the account %(account)s from %(before)s to %(role)s"),
    "ReplaceAccountPassword": gettext_lazy("Set a one-time password for the account %(account)s"),
    "LockAccount": gettext_lazy("Lock the account %(account)s"),
    "UnlockAccount": gettext_lazy("Unlock the account %(account)s"),
    "DeleteAccount": gettext_lazy("Delete the account %(account)s"),
    "SignOut": gettext_lazy("Sign out the account %(account)s at %(address)s"),
    "RequestPasswordRecovery": gettext_lazy("Open the way back after a lost password"),
    "ForgetClusterMember": gettext_lazy("Forget station %(station)s of the cluster"),
    "FactoryReset": gettext_lazy(
        "Reset the station to factory settings; messages kept for the backend: %(messages_kept)s"
    ),
    "InstallUpdate": gettext_lazy("Install version %(version)s from the file %(file)s"),
    "StopUpdate": gettext_lazy("Stop the update from the file %(file)s"),
    "CreateLogArchive": gettext_lazy("Make an archive of the log files: %(file)s"),
    "DeleteLogArchive": gettext_lazy("Delete an archive of the log files: %(file)s"),
    "ReplaceLostPassword": gettext_lazy("Replace a lost password"),
}

BRANDS: Words = {
    "operator": gettext_lazy("Operator"),
    "vendor": gettext_lazy("Vendor"),
}

OUTCOMES: Words = {
    "accepted": gettext_lazy("done"),
    "rejected": gettext_lazy("refused"),
    "scheduled": gettext_lazy("scheduled"),
    "unlocked": gettext_lazy("done"),
    "unlock_failed": gettext_lazy("failed"),
    "not_supported": gettext_lazy("not possible here"),
    "no_answer": gettext_lazy("no answer"),
}

# Why a change of settings stays as it is.
OBSTACLES: Words = {
    "secret": gettext_lazy("Secrets are not kept: enter the former one again on its page."),
    "changed_since": gettext_lazy("Changed again since, or taken back already."),
    "key_is_gone": gettext_lazy("This setting no longer exists."),
    "needs_password": gettext_lazy("The vendor's access is opened on the page Security only, with your password."),
    "no_change": gettext_lazy("There is nothing to take back."),
}

ACTORS: Mapping[str, "str | Promise"] = {
    "manage.py cluster": gettext_lazy("command line"),
    "manage.py config": gettext_lazy("command line"),
    "manage.py user": gettext_lazy("command line"),
    "manage.py changepassword": gettext_lazy("command line"),
    "vendor access": gettext_lazy("end of the 24 hours"),
    "runstation": gettext_lazy("start of the station"),
    "start": gettext_lazy("start of the station"),
}


def event(code: str, data: Mapping[str, Any]) -> str:
    """Return what has happened, in the reader's language."""
    if code.startswith(FAULT_PREFIX):
        return words.word(words.FAULTS, code.removeprefix(FAULT_PREFIX))
    if code == "backend.offline":
        return _say(EVENTS[code], {"reason": words.word(words.BACKEND_ERRORS, data.get("reason", ""))})
    if code.startswith("files."):
        data = {**data, "kind": words.word(FILE_JOBS, data.get("kind", ""))}
        if "reason" in data:
            data["reason"] = file_job_words.told(data)
    if code.startswith("cluster.") and "reason" in data:
        data = {**data, "reason": words.word(cluster_words.PROBLEMS, data["reason"])}
    data = _with_words_of_its_own(code, data)
    if "cause" in data:
        data = {**data, "cause": words.word(words.NOT_READY, data["cause"])}
    if "origin" in data:
        data = {**data, "origin": words.word(words.SESSION_ORIGINS, data["origin"])}
    if "fact" in data:
        data = {**data, "fact": words.word(words.FACT_KINDS, data["fact"])}
    return _say(_template(code, data), data)


def _template(code: str, data: Mapping[str, Any]) -> "str | Promise":
    if code == "station.provisioning.refused":
        return provisioning_words.refusal(is_left=bool(data.get("is_left")))
    return EVENTS.get(code, UNREADABLE)


def _with_words_of_its_own(code: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
    match code:
        case "start.refused":
            return {**data, "reason": _refusal(data)}
        case "station.provisioning.refused":
            return {**data, "reasons": provisioning_words.in_one_line(data.get("mistakes", ()))}
        case "station.undescribed":
            return {**data, "mistakes": description_words.stored(data.get("mistakes", ""))}
        case "web.port_taken":
            return {"obstacles": "; ".join(_obstacle(each) for each in data["obstacles"])}
    return data


def _obstacle(data: Mapping[str, Any]) -> str:
    """Return why the web interface cannot listen at one address."""
    address = data.get("address", "")
    if data.get("reason"):
        return _("%(address)s cannot be opened (%(reason)s)") % {"address": address, "reason": data["reason"]}
    holder = computer_words.program(data.get("program", ""), data.get("pid", 0), data.get("user", ""))
    return _("%(holder)s listens at %(address)s") % {"holder": holder, "address": address}


def _refusal(data: Mapping[str, Any]) -> str:
    """Return why a start was refused: what the rules say of the card, where that says more."""
    of_card = words.word(words.CARD_REFUSALS, data.get("because", ""), unknown="")
    return of_card or words.word(words.REFUSALS, data.get("reason", ""))


def command(name: str, data: Mapping[str, Any]) -> str:
    """Return what somebody wanted, in the reader's language."""
    if name == "ChangeConfiguration":
        data = {"items": ", ".join(f"{key} = {value}" for key, value in sorted(data.items()))}
    if name in {"AddAccount", "GiveRole"}:
        data = {**data, "role": _role(str(data.get("role"))), "before": _role(str(data.get("before")))}
    if name in {"SetLogo", "RemoveLogo"}:
        data = {**data, "brand": words.word(BRANDS, data.get("brand", ""))}
    return _say(COMMANDS.get(name, UNREADABLE), data)


def _role(stored: str) -> str:
    role = next((role for role, name in roles.NAMES.items() if name == stored), Role.SIGNED_IN)
    return words.word(words.ROLES, role.name)


def outcome(status: str, reason: str) -> str:
    """Return what became of it, and why where it was refused."""
    said = words.word(OUTCOMES, status)
    if not reason:
        return said
    why = words.word(words.REFUSALS, reason, unknown="") or problems.outline(reason)
    return f"{said}: {why}" if why else said


def actor(origin: str, name: str) -> str:
    """Return who it was: the person, or the part of the station."""
    known = str(ACTORS.get(name, name))
    place = words.word(words.SESSION_ORIGINS, origin)
    return f"{known} ({place})" if known and known != place and name != origin else place


def _say(text: "str | Promise", data: Mapping[str, Any]) -> str:
    filled = _Data({name: _plain(value) for name, value in data.items()})
    return (str(text) % filled).strip()


class _Data(dict[str, str]):
    """What a sentence needs; where an older version has stored less, it says so instead of failing."""

    def __missing__(self, _name: str) -> str:
        return _("(unknown)")


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
