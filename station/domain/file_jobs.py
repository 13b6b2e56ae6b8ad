"""The life of a long job with a file: an upload of logs or an update of the software, and what the backend hears of it.

The backend hears nothing of the jobs that somebody at the station's own pages asked for.

One table per family. A pair of step and event that is not in it changes nothing and is refused.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

IDLE = "Idle"
DEFAULT_RETRIES = 2
DEFAULT_RETRY_INTERVAL = timedelta(seconds=30)
# A backend that asks for more has mistyped; each try may cost mobile data.
MOST_RETRIES = 100
LONGEST_RETRY_INTERVAL = timedelta(days=1)
# A try that ends with the process (power cut, kill) has not failed, but a file that kills must not do so for ever.
MOST_INTERRUPTIONS = 5


class Kind(StrEnum):
    """What was asked for: the OCPP action, or what a page of the station ordered; as stored."""

    DIAGNOSTICS = "diagnostics"  # GetDiagnostics
    LOG = "log"  # GetLog
    FIRMWARE = "firmware"  # UpdateFirmware
    SIGNED_FIRMWARE = "signed_firmware"  # SignedUpdateFirmware
    LOCAL_UPDATE = "local_update"  # a file uploaded on the page Update
    LOCAL_LOG = "local_log"  # an archive for the page Log files

    @property
    def is_update(self) -> bool:
        """Whether the software is replaced."""
        return self in _UPDATES

    @property
    def rivals(self) -> frozenset["Kind"]:
        """Which kinds cannot go on beside it: there is one second slot for software, and one upload of each sort."""
        return _UPDATES if self.is_update else frozenset({self})

    @property
    def action(self) -> str:
        """The message that tells the backend of its status."""
        return _ACTIONS[self]


_UPDATES = frozenset({Kind.FIRMWARE, Kind.SIGNED_FIRMWARE, Kind.LOCAL_UPDATE})
_ACTIONS = {
    Kind.DIAGNOSTICS: "DiagnosticsStatusNotification",
    Kind.LOG: "LogStatusNotification",
    Kind.FIRMWARE: "FirmwareStatusNotification",
    Kind.SIGNED_FIRMWARE: "SignedFirmwareStatusNotification",
}


class Step(StrEnum):
    """Where a job goes on after a restart."""

    WAITING = "waiting"
    TRANSFERRING = "transferring"
    RETRYING = "retrying"  # a try has failed, the next one has its time
    VERIFYING = "verifying"
    SCHEDULED = "scheduled"
    PREPARING = "preparing"
    INSTALLING = "installing"
    REBOOTING = "rebooting"
    CANCELLING = "cancelling"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({Step.DONE, Step.FAILED, Step.CANCELLED})
# Once the new software is being written there is no way back but through.
_CANCELLABLE = (Step.WAITING, Step.TRANSFERRING, Step.RETRYING, Step.VERIFYING, Step.SCHEDULED, Step.PREPARING)


# The tries of one transfer; they are counted together.
TRYING = frozenset({Step.TRANSFERRING, Step.RETRYING})


class Event(StrEnum):
    """What happened to a job."""

    POSTPONED = "postponed"
    BEGUN = "begun"
    TRANSFERRED = "transferred"
    TRY_FAILED = "try_failed"
    TRY_FORBIDDEN = "try_forbidden"
    TRANSFER_FAILED = "transfer_failed"
    TRANSFER_FORBIDDEN = "transfer_forbidden"
    LOCATION_UNREADABLE = "location_unreadable"
    PROTOCOL_UNKNOWN = "protocol_unknown"
    VERIFIED = "verified"
    SIGNATURE_REFUSED = "signature_refused"
    IMAGE_REFUSED = "image_refused"
    FREED = "freed"
    SWITCHED = "switched"
    INSTALL_FAILED = "install_failed"
    BOOTED_NEW = "booted_new"
    BOOTED_OLD = "booted_old"
    CANCELLED = "cancelled"
    CLEANED = "cleaned"


class IllegalTransition(ValueError):
    """The event cannot happen in this step."""

    def __init__(self, kind: Kind, step: Step, event: Event) -> None:
        super().__init__(f"{kind}: {event} in step {step}")


_Table = dict[tuple[Step, Event], tuple[Step, tuple[str, ...]]]
_CANCEL: _Table = {
    **{(step, Event.CANCELLED): (Step.CANCELLING, ()) for step in _CANCELLABLE},
    (Step.CANCELLING, Event.CLEANED): (Step.CANCELLED, ()),
}


def _upload(failed: str, forbidden: str, unreadable: str, unknown: str) -> _Table:
    return _CANCEL | {
        (Step.WAITING, Event.BEGUN): (Step.TRANSFERRING, ("Uploading",)),
        (Step.TRANSFERRING, Event.TRANSFERRED): (Step.DONE, ("Uploaded",)),
        (Step.TRANSFERRING, Event.TRY_FAILED): (Step.RETRYING, (failed,)),
        (Step.TRANSFERRING, Event.TRY_FORBIDDEN): (Step.RETRYING, (forbidden,)),
        (Step.RETRYING, Event.BEGUN): (Step.TRANSFERRING, ("Uploading",)),
        (Step.TRANSFERRING, Event.TRANSFER_FAILED): (Step.FAILED, (failed,)),
        (Step.TRANSFERRING, Event.TRANSFER_FORBIDDEN): (Step.FAILED, (forbidden,)),
        (Step.TRANSFERRING, Event.LOCATION_UNREADABLE): (Step.FAILED, (unreadable,)),
        (Step.TRANSFERRING, Event.PROTOCOL_UNKNOWN): (Step.FAILED, (unknown,)),
    }


_UPDATE: _Table = _CANCEL | {
    (Step.WAITING, Event.BEGUN): (Step.TRANSFERRING, ("Downloading",)),
    (Step.TRANSFERRING, Event.TRANSFERRED): (Step.VERIFYING, ("Downloaded",)),
    (Step.TRANSFERRING, Event.TRY_FAILED): (Step.RETRYING, ("DownloadFailed",)),
    (Step.TRANSFERRING, Event.TRY_FORBIDDEN): (Step.RETRYING, ("DownloadFailed",)),
    (Step.RETRYING, Event.BEGUN): (Step.TRANSFERRING, ("Downloading",)),
    (Step.TRANSFERRING, Event.TRANSFER_FAILED): (Step.FAILED, ("DownloadFailed",)),
    (Step.TRANSFERRING, Event.TRANSFER_FORBIDDEN): (Step.FAILED, ("DownloadFailed",)),
    (Step.TRANSFERRING, Event.LOCATION_UNREADABLE): (Step.FAILED, ("DownloadFailed",)),
    (Step.TRANSFERRING, Event.PROTOCOL_UNKNOWN): (Step.FAILED, ("DownloadFailed",)),
    (Step.SCHEDULED, Event.BEGUN): (Step.PREPARING, ()),
    (Step.PREPARING, Event.FREED): (Step.INSTALLING, ("Installing",)),
    (Step.PREPARING, Event.INSTALL_FAILED): (Step.FAILED, ("InstallationFailed",)),
    (Step.INSTALLING, Event.INSTALL_FAILED): (Step.FAILED, ("InstallationFailed",)),
    (Step.REBOOTING, Event.BOOTED_NEW): (Step.DONE, ("Installed",)),
    (Step.REBOOTING, Event.BOOTED_OLD): (Step.FAILED, ("InstallationFailed",)),
}


def _untold(table: _Table) -> _Table:
    """Return a table without its statuses."""
    return {pair: (following, ()) for pair, (following, _statuses) in table.items()}


_UPLOAD = _upload("UploadFailed", "UploadFailed", "UploadFailed", "UploadFailed")
# FirmwareStatus of OCPP 1.6 section 7.25 has no word for a bad image: it is an installation that fails.
_FIRMWARE: _Table = _UPDATE | {
    (Step.WAITING, Event.POSTPONED): (Step.WAITING, ()),
    (Step.VERIFYING, Event.VERIFIED): (Step.SCHEDULED, ()),
    (Step.VERIFYING, Event.SIGNATURE_REFUSED): (Step.FAILED, ("Installing", "InstallationFailed")),
    (Step.VERIFYING, Event.IMAGE_REFUSED): (Step.FAILED, ("Installing", "InstallationFailed")),
    (Step.SCHEDULED, Event.POSTPONED): (Step.SCHEDULED, ()),
    (Step.INSTALLING, Event.SWITCHED): (Step.REBOOTING, ()),
}
_TABLES: dict[Kind, _Table] = {
    Kind.DIAGNOSTICS: _UPLOAD,
    Kind.LOG: _upload("UploadFailure", "PermissionDenied", "BadMessage", "NotSupportedOperation"),
    Kind.FIRMWARE: _FIRMWARE,
    Kind.LOCAL_UPDATE: _untold(_FIRMWARE),
    Kind.LOCAL_LOG: _untold(_UPLOAD),
    # Security whitepaper, L01 and its FirmwareStatusEnumType.
    Kind.SIGNED_FIRMWARE: _UPDATE
    | {
        (Step.WAITING, Event.POSTPONED): (Step.WAITING, ("DownloadScheduled",)),
        (Step.VERIFYING, Event.VERIFIED): (Step.SCHEDULED, ("SignatureVerified",)),
        (Step.VERIFYING, Event.SIGNATURE_REFUSED): (Step.FAILED, ("InvalidSignature",)),
        (Step.VERIFYING, Event.IMAGE_REFUSED): (Step.FAILED, ("InstallVerificationFailed",)),
        (Step.SCHEDULED, Event.POSTPONED): (Step.SCHEDULED, ("InstallScheduled",)),
        (Step.INSTALLING, Event.SWITCHED): (Step.REBOOTING, ("InstallRebooting",)),
    },
}
TRANSITIONS = MappingProxyType({kind: MappingProxyType(table) for kind, table in _TABLES.items()})


def step(kind: Kind, present: Step, event: Event) -> tuple[Step, tuple[str, ...]]:
    """Return the next step and the statuses to tell, in order; raises `IllegalTransition`."""
    try:
        return TRANSITIONS[kind][present, event]
    except KeyError:
        raise IllegalTransition(kind, present, event) from None


def may_cancel(present: Step) -> bool:
    """Return whether a newer request can take this job's place."""
    return present in _CANCELLABLE


def triggered_status(kind: Kind, present: Step | None, last: str) -> str:
    """Return what a triggered status message says; `present` None: there has never been such a job.

    OCPP 1.6 sections 4.4 and 4.5: Idle when nothing runs. Whitepaper L01.FR.28/29: the last one told, after an
    update that succeeded Idle.
    """
    if present is None or not last:
        return IDLE
    if kind is Kind.SIGNED_FIRMWARE:
        return IDLE if present in {Step.DONE, Step.CANCELLING, Step.CANCELLED} else last
    return IDLE if present in ENDED or present is Step.CANCELLING else last


@dataclass(frozen=True, kw_only=True)
class Retrying:
    """How often and how far apart a transfer is tried again."""

    retries: int = DEFAULT_RETRIES
    interval: timedelta = DEFAULT_RETRY_INTERVAL

    @classmethod
    def of(cls, retries: int | None, interval_s: int | None) -> "Retrying":
        """Read what the request says; what it leaves open the station decides."""
        wanted = DEFAULT_RETRIES if retries is None else min(max(retries, 0), MOST_RETRIES)
        if interval_s is None:
            return cls(retries=wanted)
        # Compared as numbers: timedelta refuses very large ones.
        seconds = min(max(interval_s, 0), int(LONGEST_RETRY_INTERVAL.total_seconds()))
        return cls(retries=wanted, interval=timedelta(seconds=seconds))

    def next_try(self, failures: int, at: datetime) -> datetime | None:
        """Return when to try again after so many failures; None: give up."""
        return at + self.interval if failures <= self.retries else None
