"""The steps of a long job with a file; each can be interrupted anywhere and repeated."""

import logging
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from station.domain import file_jobs as machine
from station.domain.commands import PrepareUpdate
from station.domain.file_jobs import Event, Kind, Retrying, Step
from station.domain.firmware import ImageRefused
from station.domain.moments import lenient
from station.domain.software_trial import Expected, Lack, is_older, lack
from station.host.ports import InstallationResult
from station.models import ChargingSession, FileJob
from station.services import configuration, event_log, security_log, signing, transfers
from station.services.file_jobs import jobs, local, requests
from station.services.file_jobs.environment import JobEnvironment, RebootRefused
from station.services.transfers import Exchange, Location
from station.services.transfers.errors import (
    ConnectionBroken,
    LocationRefused,
    LoginRefused,
    ProtocolUnknown,
    QuotaExceeded,
    TransferCancelled,
    TransferFailed,
)

_POLL = timedelta(seconds=1)
# An archive that could not be uploaded is worthless after a day (and takes space).
_UPLOAD_LIFE = timedelta(days=1)
# While somebody charges the points are taken out of service again at times: the hardware process may be a new one.
_ASK_AGAIN = timedelta(minutes=5)
_HARDWARE_PATIENCE = timedelta(minutes=10)
# For this long after its first start new software is asked whether it does what the one before did: a start takes
# seconds, the way to the backend over a modem minutes. Pauses and checks are added up, each check with what it takes,
# because a clock without a battery is set meanwhile. `station-trial.timer` (deploy) waits longer, for software that
# cannot even ask itself.
_TRIAL, _HEALTH_PAUSE, _LONGEST_CHECK = timedelta(minutes=10), timedelta(seconds=5), timedelta(seconds=15)
# How long a reboot may take until it is asked for again.
_REBOOT_PATIENCE = timedelta(seconds=90)
_MOST_REBOOTS = 3
_MOST_RELEASES = 30
# The last status before a reboot has this long to reach the backend.
_LAST_STATUS_S = 3.0
# A server that sends a byte now and then would block a job for ever.
_LONGEST_TRY = timedelta(hours=4)
_CANCEL_CHECK = timedelta(milliseconds=500)
# A file that is no container carries no signature of the maker.
_SIGNATURE_CODES = {
    "signature_wrong",
    "signature_missing",
    "certificate_revoked",
    "certificate_expired",
    "container_unreadable",
}
_LAST_STATUS_POLL_S = 0.1
_PROGRESS_PAUSE = timedelta(milliseconds=500)
logger = logging.getLogger(__name__)


class Work:
    """One step of one job."""

    def __init__(self, job: FileJob, environment: JobEnvironment) -> None:
        self._job = job
        self._environment = environment
        self._kind = Kind(job.kind)
        self._directory = environment.directory / str(job.pk)
        self._began_at = self._last_check = self._noted_at = environment.now()
        self._percent = 0

    def do(self) -> None:
        """Do what the step asks for."""
        match Step(self._job.step):
            case Step.WAITING:
                self._wait_until_retrieval()
            case Step.TRANSFERRING:
                self._transfer()
            case Step.RETRYING:
                self._advance(Event.BEGUN)
            case Step.VERIFYING:
                self._verify()
            case Step.SCHEDULED:
                self._wait_until_installation()
            case Step.PREPARING:
                self._prepare()
            case Step.INSTALLING:
                self._install()
            case Step.REBOOTING:
                self._restart()
            case Step.CANCELLING:
                self._advance(Event.CLEANED)
            case _:
                self._clean()

    def _advance(self, event: Event, *, due_at: datetime | None = None, failed: bool = False, **data: Any) -> None:
        self._job = jobs.advance(self._job, event, at=self._environment.now(), due_at=due_at, failed=failed, **data)

    def _postpone(self, delay: timedelta, *, failed: bool = False, **data: Any) -> None:
        self._job = jobs.postpone(self._job, due_at=self._environment.now() + delay, failed=failed, **data)

    def _progress(self, percent: int) -> None:
        """Note how much is done, for the page; the row takes it now and then only."""
        now = self._environment.now()
        if percent != self._percent and now - self._noted_at >= _PROGRESS_PAUSE:
            self._percent, self._noted_at = percent, now
            jobs.note_progress(self._job, percent)

    def _check(self) -> None:
        """Raise `TransferCancelled` when a newer request has taken this job's place; looks only now and then."""
        now = self._environment.now()
        if now - self._last_check >= _CANCEL_CHECK:
            self._last_check = now
            if now - self._began_at > _LONGEST_TRY:
                raise ConnectionBroken("the transfer takes too long")
            if not jobs.is_wanted(self._job):
                raise TransferCancelled

    # Waiting and transfer

    def _wait_until_retrieval(self) -> None:
        if not self._waits_for("retrieve_at"):
            self._advance(Event.BEGUN)

    def _waits_for(self, name: str) -> bool:
        """Postpone the job until a date of the request and report that once; return False when it has come."""
        date = lenient(self._job.data.get(name))
        if date is None or date <= self._environment.now():
            return False
        if self._job.data.get("announced") == name:
            self._postpone(date - self._environment.now())
        else:
            self._advance(Event.POSTPONED, due_at=date, announced=name)
        return True

    def _transfer(self) -> None:
        starts = self._job.data.get("starts", 0) + 1
        retrying = Retrying.of(self._job.request.get("retries"), self._job.request.get("retryInterval"))
        if starts > self._job.attempts + machine.MOST_INTERRUPTIONS:
            self._advance(Event.TRANSFER_FAILED, reason="interrupted too often")
            return
        self._postpone(timedelta(0), starts=starts)
        try:
            if self._kind.is_update:
                self._download()
            elif self._kind is Kind.LOCAL_LOG:
                self._keep_archive()
            else:
                self._upload()
        except TransferCancelled:
            return
        except LocationRefused as refusal:
            unknown = isinstance(refusal, ProtocolUnknown)
            event = Event.PROTOCOL_UNKNOWN if unknown else Event.LOCATION_UNREADABLE
            self._advance(event, reason=str(refusal))
        except QuotaExceeded as refusal:
            self._advance(Event.TRANSFER_FAILED, reason=str(refusal))
        except (TransferFailed, OSError) as failure:
            self._try_again(failure, retrying)
        else:
            self._advance(Event.TRANSFERRED)

    def _try_again(self, failure: Exception, retrying: Retrying) -> None:
        now = self._environment.now()
        logger.warning("file job %s (%s): try %s failed: %s", self._job.pk, self._kind, self._job.attempts + 1, failure)
        next_try = retrying.next_try(self._job.attempts + 1, now)
        is_forbidden = isinstance(failure, LoginRefused)
        is_late = not self._kind.is_update and next_try and next_try > self._job.created_at + _UPLOAD_LIFE
        if next_try is None or is_late:
            event = Event.TRANSFER_FORBIDDEN if is_forbidden else Event.TRANSFER_FAILED
            self._advance(event, reason=str(failure)[:200])
        else:
            event = Event.TRY_FORBIDDEN if is_forbidden else Event.TRY_FAILED
            self._advance(event, due_at=next_try, failed=True, reason=str(failure)[:200])

    def _exchange(self) -> Exchange:
        return replace(self._environment.exchange, check=self._check, on_new_host=self._note_host)

    def _note_host(self, where: str, fingerprint: str) -> None:
        event_log.log("files.host_key_new", at=self._environment.now(), where=where, fingerprint=fingerprint)

    def _location(self) -> Location:
        location = Location.read(next(requests.locations(requests.whole(self._job)), ""))
        if location.scheme.upper() not in configuration.get_list("SupportedFileTransferProtocols"):
            raise ProtocolUnknown(f"{location.scheme} is switched off")
        return location

    def _upload(self) -> None:
        location = self._location()
        archive = self._directory / self._job.file
        if not archive.exists():
            self._pack(archive)
        transfers.upload(location, archive, self._job.file, self._exchange())

    def _pack(self, archive: Path) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        start, stop = (self._job.data.get(name) for name in ("start", "stop"))
        self._environment.pack(
            archive,
            start=datetime.fromisoformat(start) if start else None,
            stop=datetime.fromisoformat(stop) if stop else None,
            is_security=self._job.data.get("security", False),
            at=self._environment.now(),
            check=self._check,
            progress=self._progress,
        )

    def _keep_archive(self) -> None:
        """Make an archive that somebody fetches at the page; only as many are kept as anybody needs."""
        self._environment.archives.mkdir(mode=0o700, parents=True, exist_ok=True)
        finished = self._environment.archives / self._job.file
        if not finished.exists():
            archive = self._directory / self._job.file
            self._pack(archive)
            archive.replace(finished)
        for outdated in local.kept_archives(self._environment.archives)[local.MOST_ARCHIVES :]:
            outdated.unlink(missing_ok=True)

    def _download(self) -> None:
        location = self._location()
        image = self._directory / self._job.file
        if image.exists():
            return
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        room = self._environment.updates.largest_image(shutil.disk_usage(self._directory).free)
        exchange = self._exchange()
        transfers.download(location, image, replace(exchange, most_bytes=min(exchange.most_bytes, room)))

    # Installation

    @property
    def _image(self) -> Path:
        return self._directory / self._job.file

    def _verify(self) -> None:
        """Check what the backend's certificate has signed, if so asked, and in any case what the maker has signed."""
        needs_signature = _needs_signature()
        try:
            if self._kind is Kind.SIGNED_FIRMWARE:
                firmware = self._job.request["firmware"]
                signing.check_signature(self._image, firmware["signingCertificate"], firmware["signature"])
            version = self._environment.updates.check(self._image, needs_signature=needs_signature)
            older = self._is_older(version)
        except signing.SignatureWrong as refusal:
            self._refuse(Event.SIGNATURE_REFUSED, "signature_wrong", str(refusal))
        except ImageRefused as refusal:
            is_signature = refusal.code in _SIGNATURE_CODES
            event = Event.SIGNATURE_REFUSED if is_signature else Event.IMAGE_REFUSED
            self._refuse(event, refusal.code, str(refusal))
        except Exception as error:
            # A stranger has made the file: whatever it breaks, the job comes to its end, and the backend hears of it.
            if not isinstance(error, OSError):
                logger.exception("file job %s: the image broke its reader", self._job.pk)
            self._refuse(Event.IMAGE_REFUSED, "unreadable", str(error))
        else:
            # Somebody at the station may insist on an older version (`local.install`).
            self._advance(Event.VERIFIED, version=version, older=older)

    def _is_older(self, version: str) -> bool:
        """Return whether an image is older than what runs. Raises ImageRefused unless it was brought to the station."""
        running = self._environment.updates.version()
        older = is_older(version, running)
        if older and self._kind is not Kind.LOCAL_UPDATE:
            raise ImageRefused("older_than_running", f"{version} < {running}")
        return older

    def _refuse(self, event: Event, code: str, detail: str) -> None:
        logger.warning("file job %s: the image is refused: %s", self._job.pk, detail)
        with transaction.atomic():
            if event is Event.SIGNATURE_REFUSED:
                security_log.record("InvalidFirmwareSignature", at=self._environment.now(), tech_info=detail)
            self._advance(event, reason=code, detail=detail[:200])

    def _wait_until_installation(self) -> None:
        if self._kind is Kind.LOCAL_UPDATE:
            self._wait_for_order()
        elif not self._waits_for("install_at"):
            self._advance(Event.BEGUN, preparing_since=self._environment.now().isoformat())

    def _wait_for_order(self) -> None:
        """Leave the checked image where it is until somebody orders the installation (`local.install`)."""
        expiry = self._job.created_at + local.UPLOAD_LIFE
        if self._environment.now() >= expiry:
            self._advance(Event.CANCELLED, reason="not_ordered")
        else:
            self._postpone(expiry - self._environment.now())

    def _prepare(self) -> None:
        """Take the free points out of service and wait until nobody charges (whitepaper L01.FR.06/07)."""
        now = self._environment.now()
        is_charging = ChargingSession.objects.running().exists()
        asked_at = lenient(self._job.data.get("asked_at"))
        if is_charging and asked_at and now - asked_at < _ASK_AGAIN:
            self._postpone(_POLL)
            return
        # What the new software has to do as well; asked before the points are out of service.
        expected = self._job.data.get("expected") or vars(Expected.of(self._environment.health()))
        # In the row first: whatever happens now, the points are given back in the end.
        self._postpone(_POLL, prepared=True, expected=expected)
        outcome = self._environment.submit(PrepareUpdate(begin=True), now)
        if outcome.succeeded:
            self._postpone(_POLL, asked_at=now.isoformat(), preparing_since=now.isoformat())
            if not ChargingSession.objects.running().exists():
                self._advance(Event.FREED)
        elif now - datetime.fromisoformat(self._job.data["preparing_since"]) > _HARDWARE_PATIENCE:
            self._advance(Event.INSTALL_FAILED, reason="hardware_absent")

    def _install(self) -> None:
        needs_signature, ticket = _needs_signature(), self._job.data["ticket"]
        try:
            self._environment.updates.install(
                self._image, ticket=ticket, needs_signature=needs_signature, progress=self._progress
            )
        except Exception as error:
            if isinstance(error, ImageRefused | OSError):
                logger.warning("file job %s: the installation failed: %s", self._job.pk, error)
            else:
                logger.exception("file job %s: the installation broke off", self._job.pk)
            self._environment.updates.undo()
            if isinstance(error, ImageRefused):
                self._advance(Event.INSTALL_FAILED, reason=error.code, detail=str(error)[:200])
            else:
                self._advance(Event.INSTALL_FAILED, reason=str(error)[:200])
        else:
            self._advance(Event.SWITCHED)

    def _restart(self) -> None:
        match self._environment.updates.result(self._job.data["ticket"]):
            case InstallationResult.RUNNING if self._job.data.get("gave_up"):
                self._go_back()
            case InstallationResult.RUNNING:
                self._confirm()
            case InstallationResult.NOT_RUNNING:
                self._environment.updates.undo()
                told = self._job.data.get("gave_up") or self._environment.updates.gave_up()
                self._advance(Event.BOOTED_OLD, reason=told or "not_running")
            case InstallationResult.PENDING:
                self._reboot()

    def _confirm(self) -> None:
        """Keep the new software once it does what the one before did; without that, go back to the old one."""
        now = self._environment.now()
        lacking = self._lack(now)
        if lacking is None:
            try:
                self._environment.updates.confirm()
            except ImageRefused as refusal:
                logger.warning("file job %s: the new software is not marked good: %s", self._job.pk, refusal)
                lacking = "not_marked"
            else:
                security_log.record("FirmwareUpdated", at=now, tech_info=self._job.data.get("version", ""))
                self._advance(Event.BOOTED_NEW, prepared=False)
                return
        check = min(max(self._environment.now() - now, timedelta(0)), _LONGEST_CHECK)
        tried = timedelta(seconds=self._job.data.get("tried_s", 0)) + check + _HEALTH_PAUSE
        if tried < _TRIAL:
            self._postpone(_HEALTH_PAUSE, tried_s=tried.total_seconds())
            return
        logger.error("file job %s: the new software is given up: %s", self._job.pk, lacking)
        self._postpone(_POLL, gave_up=lacking)
        self._go_back()

    def _go_back(self) -> None:
        """Restart into the old software, again and again until it runs: what was given up must not stay for good."""
        # In the row first: the reboot may end this process before it is over.
        self._postpone(_REBOOT_PATIENCE)
        self._environment.updates.undo()
        try:
            self._environment.reboot()
        except RebootRefused as refusal:
            logger.warning("file job %s: no restart into the old software yet: %s", self._job.pk, refusal)

    def _lack(self, now: datetime) -> str | None:
        """Return the code of what the new software does not do; puts the points back into service first."""
        if not self._job.data.get("released"):
            if not self._environment.submit(PrepareUpdate(begin=False), now).succeeded:
                return Lack.CONTROL.value
            self._postpone(timedelta(0), released=True)
        # An update that an earlier version has begun asks for what that version asked for.
        expected = Expected(**self._job.data.get("expected", {"readiness": False, "backend": False}))
        return lack(takes_commands=True, health=self._environment.health(), expected=expected)

    def _reboot(self) -> None:
        reboots, now = self._job.data.get("reboots", 0), self._environment.now()
        asked_at = lenient(self._job.data.get("reboot_at"))
        if asked_at and now - asked_at < _REBOOT_PATIENCE:
            # It is shutting down or starting: the worker may be faster than the rest of the computer.
            self._postpone(_POLL)
            return
        if reboots >= _MOST_REBOOTS:
            self._environment.updates.undo()
            self._advance(Event.BOOTED_OLD, reason="no_reboot")
            return
        self._wait_for_last_status()
        self._postpone(_POLL, reboots=reboots + 1, reboot_at=now.isoformat())
        try:
            self._environment.reboot()
        except RebootRefused as refusal:
            self._environment.updates.undo()
            self._advance(Event.BOOTED_OLD, reason=str(refusal)[:200])

    def _wait_for_last_status(self) -> None:
        waited_s = 0.0
        while waited_s < _LAST_STATUS_S and FileJob.objects.filter(id=self._job.pk, data__has_key="untold").exists():
            self._environment.wait(_LAST_STATUS_POLL_S)
            waited_s += _LAST_STATUS_POLL_S

    # The end

    def _clean(self) -> None:
        """Give the charging points back and delete the files; only then is the job over."""
        shutil.rmtree(self._directory, ignore_errors=True)
        if self._job.data.get("prepared"):
            outcome = self._environment.submit(PrepareUpdate(begin=False), self._environment.now())
            if not outcome.succeeded and self._job.attempts < _MOST_RELEASES:
                self._postpone(_POLL, failed=True)
                return
        jobs.finish(self._job, at=self._environment.now())


def _needs_signature() -> bool:
    """Return whether the maker must have signed an image: always, except where a simulated computer is told otherwise.

    A data directory that once was simulated may still say so.
    """
    return not settings.SIMULATE or configuration.get_bool("/update/requireSignature")
