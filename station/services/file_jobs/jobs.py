"""Long jobs with files, as the backend asks for them: quick verbs that leave a row, and the statuses owed for it.

The work itself is done by `station.services.file_jobs.runner` in the worker. Every status is in the row before it is
told, and stays there until the process that talks to the backend says that it was sent (`mark_told`).
"""

import re
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from station.domain import file_jobs as machine
from station.domain.file_jobs import ENDED, Event, Kind, Step
from station.domain.moments import lenient
from station.host.logs import mask_secrets
from station.models import FileJob
from station.services import event_log, identity, messages, security_log, signing
from station.services.file_jobs import requests
from station.services.messages import FileStatusChanged

RUN_TASK = "system.run_file_jobs"
# So many rows of ended jobs are kept for support.
_ROWS_KEPT = 50
# A status the backend has not accepted by then is outdated.
_STATUS_LIFE = timedelta(days=7)
_NOT_IN_FILE_NAMES = re.compile(r"[^A-Za-z0-9._-]")


class JobTakenAway(Exception):
    """Somebody else has moved the job on (a newer request, usually)."""


@dataclass(frozen=True, kw_only=True)
class Owed:
    """A status message the backend has not got yet."""

    job_id: int
    status: str
    action: str
    payload: dict[str, Any]


def submit_diagnostics(request: dict[str, Any], at: datetime) -> str | None:
    """Begin an upload of logs (GetDiagnostics), in place of a running one; return the file name, or None."""
    start, stop = lenient(request.get("startTime")), lenient(request.get("stopTime"))
    if _is_empty(start, stop, at):
        return None
    name = file_name()
    with transaction.atomic():
        _cancel(Kind.DIAGNOSTICS, at)
        create(Kind.DIAGNOSTICS, request, at, file=name, data=_window(start, stop))
    return name


def submit_log(request: dict[str, Any], at: datetime) -> tuple[str, str | None]:
    """Begin an upload of logs or of the security log (GetLog); return a LogStatus and the file name."""
    log = request["log"]
    start, stop = lenient(log.get("oldestTimestamp")), lenient(log.get("latestTimestamp"))
    if _is_empty(start, stop, at):
        return "Rejected", None
    is_security = request["logType"] == "SecurityLog"
    name = file_name("-security" if is_security else "")
    with transaction.atomic():
        has_cancelled = _cancel(Kind.LOG, at)
        data = _window(start, stop) | {"security": is_security}
        create(Kind.LOG, request, at, file=name, data=data, request_id=request["requestId"])
    return "AcceptedCanceled" if has_cancelled else "Accepted", name


def submit_firmware(request: dict[str, Any], at: datetime) -> None:
    """Plan an update (UpdateFirmware), in place of one that has not begun to install; else it follows after that."""
    data = _plan(retrieve_at=request.get("retrieveDate"), install_at=None)
    with transaction.atomic():
        _cancel(Kind.FIRMWARE, at)
        create(Kind.FIRMWARE, request, at, file="image", data=data)


def submit_signed_firmware(request: dict[str, Any], at: datetime) -> str:
    """Plan an update (SignedUpdateFirmware); return an UpdateFirmwareStatus.

    The certificate is judged first; the file is not looked for, so that a backend can cancel an update by asking for
    one that does not exist (whitepaper L01.FR.26).
    """
    firmware = request["firmware"]
    try:
        signing.check_certificate(firmware["signingCertificate"], at=at)
    except signing.SigningCertificateInvalid as refusal:
        security_log.record("InvalidFirmwareSigningCertificate", at=at, tech_info=str(refusal))
        return "InvalidCertificate"
    except signing.SigningCertificateRevoked as refusal:
        security_log.record("InvalidFirmwareSigningCertificate", at=at, tech_info=f"revoked: {refusal}")
        return "RevokedCertificate"
    data = _plan(retrieve_at=firmware.get("retrieveDateTime"), install_at=firmware.get("installDateTime"))
    with transaction.atomic():
        has_cancelled = _cancel(Kind.SIGNED_FIRMWARE, at)
        if _unfinished(Kind.SIGNED_FIRMWARE).exclude(step__in=(Step.CANCELLING, *ENDED)).exists():
            return "Rejected"
        create(Kind.SIGNED_FIRMWARE, request, at, file="image", data=data, request_id=request["requestId"])
    return "AcceptedCanceled" if has_cancelled else "Accepted"


def last_status(kind: str) -> dict[str, Any]:
    """Return the payload of a triggered status message of a kind."""
    job = FileJob.objects.filter(kind=kind).order_by("-id").first()
    status = machine.triggered_status(Kind(kind), Step(job.step) if job else None, job.status if job else "")
    if job is None or status == machine.IDLE:
        return {"status": machine.IDLE}
    return _payload(job, status)


def untold(at: datetime) -> list[Owed]:
    """List the statuses the backend has not got, in order; to be sent once it has accepted the station."""
    owed = []
    for job in FileJob.objects.filter(data__has_key="untold").order_by("id"):
        oldest = at - _STATUS_LIFE
        for entry in job.data["untold"]:
            if datetime.fromisoformat(entry["at"]) >= oldest:
                status = entry["status"]
                action = Kind(job.kind).action
                owed.append(Owed(job_id=job.pk, status=status, action=action, payload=_payload(job, status)))
    return owed


def mark_told(job_id: int, status: str) -> bool:
    """Note that the backend has got a status; return whether it was still owed."""
    with transaction.atomic():
        job = FileJob.objects.filter(id=job_id).first()
        entries = job.data.get("untold", []) if job else []
        index = next((number for number, entry in enumerate(entries) if entry["status"] == status), None)
        if job is None or index is None:
            return False
        rest = entries[:index] + entries[index + 1 :]
        job.data.pop("untold")
        job.data |= {"untold": rest} if rest else {}
        job.save(update_fields=["data"])
    return True


def file_name(addition: str = "") -> str:
    """Return the name of an archive of this station."""
    return f"{_NOT_IN_FILE_NAMES.sub('_', identity.load().serial) or 'station'}{addition}.tar.gz"


def advance(
    job: FileJob, event: Event, *, at: datetime, due_at: datetime | None = None, failed: bool = False, **data: Any
) -> FileJob:
    """Advance a job; statuses are in the row, and the change is committed, before anybody is told.

    `failed` counts a try. Raises `JobTakenAway` when the row is not in the step the caller has seen.
    """
    with transaction.atomic():
        present = FileJob.objects.get(id=job.pk)
        if present.step != job.step:
            raise JobTakenAway(present.pk)
        step, statuses = machine.step(Kind(present.kind), Step(present.step), event)
        before = present.step
        if step != before and not {step, before} <= machine.TRYING:
            # Each step counts its own failures.
            present.attempts = 0
        present.attempts += int(failed)
        if step != before:
            present.data.pop("percent", None)
        present.step, present.due_at = step, due_at or at
        if "reason" in data:
            data["reason"] = mask_secrets(data["reason"])
        present.data |= data
        if statuses:
            present.status = statuses[-1]
            entries = [{"status": status, "at": at.isoformat()} for status in statuses]
            present.data["untold"] = [*present.data.get("untold", []), *entries]
        present.save(update_fields=["step", "due_at", "attempts", "status", "data"])
        _record(present, before, event, at)
        if statuses:
            # Without Redis the row speaks later.
            transaction.on_commit(lambda: messages.send_to_ocpp_sync(FileStatusChanged()))
    return present


def postpone(job: FileJob, *, due_at: datetime, failed: bool = False, **data: Any) -> FileJob:
    """Postpone a job without changing its step; raises `JobTakenAway`."""
    with transaction.atomic():
        present = FileJob.objects.get(id=job.pk)
        if present.step != job.step:
            raise JobTakenAway(present.pk)
        present.due_at = due_at
        present.attempts += int(failed)
        present.data |= data
        present.save(update_fields=["due_at", "attempts", "data"])
    return present


def note_progress(job: FileJob, percent: int) -> None:
    """Note how many percent of the present step are done."""
    with transaction.atomic():
        present = FileJob.objects.filter(id=job.pk, step=job.step).first()
        if present is not None:
            present.data["percent"] = percent
            present.save(update_fields=["data"])


def finish(job: FileJob, *, at: datetime) -> None:
    """Close an ended job for good: passwords leave its row, and the oldest rows go."""
    with transaction.atomic():
        present = FileJob.objects.get(id=job.pk)
        present.finished_at, present.encrypted_request = at, ""
        present.request = requests.without_secrets(present.request)
        present.save(update_fields=["finished_at", "encrypted_request", "request"])
        kept = FileJob.objects.exclude(finished_at=None).order_by("-id").values_list("id", flat=True)[:_ROWS_KEPT]
        FileJob.objects.exclude(finished_at=None).exclude(id__in=list(kept)).delete()


def oldest_unfinished(kinds: Iterable[Kind]) -> FileJob | None:
    """Return the job that is next among rivals: they work strictly one after the other."""
    return FileJob.objects.filter(kind__in=list(kinds), finished_at=None).order_by("id").first()


def unfinished_kinds() -> list[tuple[str, datetime | None]]:
    """Return kind and date of every job that has not ended, the oldest first."""
    return list(FileJob.objects.filter(finished_at=None).order_by("id").values_list("kind", "due_at"))


def is_wanted(job: FileJob) -> bool:
    """Return whether a job is still in the step in which this one was read."""
    return FileJob.objects.filter(id=job.pk, step=job.step).exists()


def _record(job: FileJob, before: str, event: Event, at: datetime) -> None:
    if job.step in ENDED:
        why = {"reason": job.data.get("reason", "")}
        if detail := job.data.get("detail"):
            why["detail"] = detail
        event_log.log(f"files.{job.step}", at=at, kind=job.kind, event=event.value, **why)
    elif event is Event.BEGUN and before == Step.WAITING:
        event_log.log("files.began", at=at, kind=job.kind)


def create(
    kind: Kind,
    request: dict[str, Any],
    at: datetime,
    *,
    file: str,
    data: dict[str, Any],
    request_id: int | None = None,
    step: Step = Step.WAITING,
) -> FileJob:
    """Leave the row of a new job, and wake the worker once it is committed."""
    encrypted, readable = requests.protected(request)
    job = FileJob.objects.create(
        kind=kind,
        request=readable,
        encrypted_request=encrypted,
        request_id=request_id,
        status="",
        step=step,
        created_at=at,
        due_at=at,
        file=file,
        data=data,
    )
    transaction.on_commit(wake_worker)
    return job


def wake_worker() -> None:
    """Wake the worker; without Redis it looks by itself within seconds."""
    from station.celery import SYSTEM_QUEUE

    with suppress(OperationalError, RedisError, OSError):
        messages.post_task(RUN_TASK, queue=SYSTEM_QUEUE)


def _unfinished(kind: Kind) -> Any:
    return FileJob.objects.filter(kind__in=list(kind.rivals), finished_at=None)


def _cancel(kind: Kind, at: datetime) -> bool:
    """Cancel what a new job of this kind replaces; return whether there was something."""
    has_cancelled = False
    for job in _unfinished(kind).order_by("id"):
        if machine.may_cancel(Step(job.step)):
            advance(job, Event.CANCELLED, at=at)
            has_cancelled = True
    return has_cancelled


def _payload(job: FileJob, status: str) -> dict[str, Any]:
    number = {} if job.request_id is None else {"requestId": job.request_id}
    return {"status": status} | number


def _is_empty(start: datetime | None, stop: datetime | None, at: datetime) -> bool:
    return (start is not None and start > at) or (start is not None and stop is not None and stop < start)


def _plan(*, retrieve_at: object, install_at: object) -> dict[str, Any]:
    dates = {"retrieve_at": retrieve_at, "install_at": install_at}
    # The ticket identifies this installation for good: row numbers may be used again after a factory reset.
    return {"ticket": str(uuid.uuid4())} | {name: date for name, date in dates.items() if lenient(date)}


def _window(start: datetime | None, stop: datetime | None) -> dict[str, Any]:
    return {"start": start and start.isoformat(), "stop": stop and stop.isoformat()}
