"""Sentences for what becomes of updates and archives, whose rows hold codes."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from station.ui import words
from station.ui.words import Words

_NO_UPDATE = gettext_lazy(
    "The file is incomplete, or it is no update for this station. Download it again and upload the copy."
)
_CHANGED = gettext_lazy(
    "The file is not as its maker has signed it. Do not use it; get it again from the manufacturer's site."
)
_NOT_STARTED = gettext_lazy(
    "The new version did not start, so the station went back to the one before. Send the log files to the hotline."
)

REASONS: Words = {
    "service_absent": gettext_lazy(
        "The update service (RAUC) of the computer does not answer. Reboot the system and try again."
    ),
    "container_unreadable": _NO_UPDATE,
    "manifest_unreadable": _NO_UPDATE,
    "version_unreadable": _NO_UPDATE,
    "unreadable": _NO_UPDATE,
    "signature_missing": gettext_lazy(
        "The file is not signed. Only updates that the manufacturer has signed are installed; get one from its site."
    ),
    "signature_wrong": _CHANGED,
    "certificate_revoked": gettext_lazy(
        "The file is signed with a key that its maker has withdrawn, for instance because it was stolen. Do not use "
        "it; get the newest one from the manufacturer's site."
    ),
    "certificate_expired": gettext_lazy(
        "The file was signed when its maker's certificate had expired. Get the newest one from the manufacturer's "
        "site; if it is this one, tell the manufacturer."
    ),
    "contents_wrong": _CHANGED,
    "member_forbidden": _CHANGED,
    "path_forbidden": _CHANGED,
    "other_product": gettext_lazy(
        "The file is for another product (%(detail)s). Choose the update for this charging station."
    ),
    "other_hardware": gettext_lazy(
        "The file is for another board (%(detail)s). Choose the update for the model that the page Versions names."
    ),
    "older_than_floor": gettext_lazy(
        "The file is older than this station takes (%(detail)s): it would bring closed security holes back. "
        "Choose a newer one."
    ),
    "older_than_running": gettext_lazy(
        "The file is older than the software that is running (%(detail)s). The way back to an older version is "
        "ordered at the station only, on the page Update."
    ),
    "no_room": gettext_lazy(
        "The disk has too little room for this update (%(detail)s). Delete log archives on the page Log files and "
        "try again."
    ),
    "hardware_absent": gettext_lazy(
        "The charging points could not be taken out of service, because the process that controls them does not "
        "answer. Restart the daemon and try again."
    ),
    "interrupted too often": gettext_lazy("It was interrupted too often. Try again."),
    "not_running": _NOT_STARTED,
    "not_healthy": gettext_lazy(
        "The new version did not control the charging points, so the station went back to the one before. Send the "
        "log files to the hotline."
    ),
    "not_ready": gettext_lazy(
        "The station was not ready to charge with the new version, so it went back to the one before. Send the log "
        "files to the hotline."
    ),
    "page_silent": gettext_lazy(
        "The web interface of the new version did not answer, so the station went back to the one before. Send the "
        "log files to the hotline."
    ),
    "backend_not_accepted": gettext_lazy(
        "The backend did not accept the station with the new version as it had done before, so the station went back. "
        "If the backend was not reachable at that time, install the update again."
    ),
    "not_marked": gettext_lazy(
        "The new version worked, but the boot loader could not be told so, and the station went back to the one "
        "before. Reboot the system and try again."
    ),
    "deadline": gettext_lazy(
        "The new version started and was not complete in time, so the station went back to the one before. Send the "
        "log files to the hotline."
    ),
    "emergency": gettext_lazy(
        "The new version could not start as a whole, for instance because of a file system, so the station went back "
        "to the one before. Install the update again; if that fails, send the log files to the hotline."
    ),
    "install_failed": gettext_lazy("The update service could not install the file: %(detail)s"),
    "no_reboot": gettext_lazy(
        "The computer did not restart, so the new version was not used. Reboot the system and try again."
    ),
    "not_ordered": gettext_lazy("Nobody ordered the installation within a day, so the file was deleted."),
    "stopped": gettext_lazy("Stopped by hand."),
}


def told(data: Mapping[str, Any]) -> str:
    """Return why a job has failed, with what its refusal says besides its code."""
    return reason(data.get("reason", ""), data.get("detail", "").partition(": ")[2])


def reason(code: str, detail: str = "") -> str:
    """Return why a job has failed; what has no words is the other side's own text."""
    text = words.word(REASONS, code, unknown="")
    if not text:
        return code
    return text % {"detail": detail or _("not named")} if "%(detail)s" in text else text
