"""Jobs that somebody at the station's own pages orders: an update from an uploaded file, an archive of the logs.

The backend hears nothing of them; who ordered them is in the audit trail.
"""

import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from station import private_files
from station.domain.commands import Origin, Status
from station.domain.file_jobs import Event, Kind, Step, may_cancel
from station.models import AuditEntry, FileJob
from station.services.file_jobs import jobs

# A checked file that nobody orders to be installed is given up.
UPLOAD_LIFE = timedelta(hours=24)
# So many archives are kept, the newest ones; each may have tens of megabytes.
MOST_ARCHIVES = 5
_IMAGE = "image"
_ARCHIVE_NAME = re.compile(r"[A-Za-z0-9._-]{1,120}\.tar\.gz", re.ASCII)


class UpdateIsRunning(Exception):
    """Another update is under way; `by_backend`: the backend has ordered it."""

    def __init__(self, *, by_backend: bool) -> None:
        super().__init__("an update is under way")
        self.by_backend = by_backend


class NothingToInstall(Exception):
    """There is no checked file that waits for the order to install it."""


class OlderVersion(Exception):
    """The checked file is older than the software that runs, and nobody has said that this is wanted."""


class CannotBeStopped(Exception):
    """The new software is being written, or there is nothing to be stopped."""


def take_update(place: Callable[[Path], None], *, name: str, actor: str, at: datetime) -> FileJob:
    """Begin to check an uploaded file; `place` puts it where it is told. Raises `UpdateIsRunning` or OSError.

    `place` sees to it that the content survives a power cut; the name is seen to here. A checked file that
    waits for its order makes way for the new one.
    """
    with transaction.atomic():
        for other in _unfinished_updates():
            if other.kind != Kind.LOCAL_UPDATE or other.step not in {Step.VERIFYING, Step.SCHEDULED, Step.CANCELLING}:
                raise UpdateIsRunning(by_backend=other.kind != Kind.LOCAL_UPDATE)
            if may_cancel(Step(other.step)):
                jobs.advance(other, Event.CANCELLED, at=at)
        job = jobs.create(
            Kind.LOCAL_UPDATE,
            {"file": name, "actor": actor},
            at,
            file=_IMAGE,
            data={"ticket": str(uuid.uuid4())},
            step=Step.VERIFYING,
        )
        directory = settings.DATA.files / "jobs" / str(job.pk)
        # A transaction that failed has left its directory, and its number is given again.
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Before the commit: a row without its file would be an update that fails.
        place(directory / _IMAGE)
        for folder in (directory, directory.parent):
            private_files.flush_directory(folder)
    return job


def install(*, actor: str, at: datetime, takes_older: bool = False) -> FileJob:
    """Order the installation of the checked file; it begins when nobody charges.

    Raises `NothingToInstall`, or `OlderVersion` unless `takes_older`.
    """
    with transaction.atomic():
        job = _unfinished_updates().filter(kind=Kind.LOCAL_UPDATE, step=Step.SCHEDULED).last()
        if job is None:
            raise NothingToInstall
        is_older = bool(job.data.get("older"))
        if is_older and not takes_older:
            raise OlderVersion
        job = jobs.advance(job, Event.BEGUN, at=at, preparing_since=at.isoformat(), ordered_by=actor)
        forced = {"older": "yes"} if is_older else {}
        version = job.data.get("version", "")
        _audit("InstallUpdate", actor, at, file=job.request.get("file", ""), version=version, **forced)
        transaction.on_commit(jobs.wake_worker)
    return job


def stop_update(*, actor: str, at: datetime) -> None:
    """Give the update up that somebody has uploaded. Raises `CannotBeStopped`."""
    with transaction.atomic():
        job = _unfinished_updates().filter(kind=Kind.LOCAL_UPDATE).last()
        if job is None or not may_cancel(Step(job.step)):
            raise CannotBeStopped
        jobs.advance(job, Event.CANCELLED, at=at, reason="stopped")
        _audit("StopUpdate", actor, at, file=job.request.get("file", ""))
        transaction.on_commit(jobs.wake_worker)


def update_job() -> FileJob | None:
    """Return the update that is under way, whoever ordered it, or else the last one."""
    return _unfinished_updates().first() or FileJob.objects.filter(kind__in=_UPDATES).order_by("id").last()


def update_failed_at() -> datetime | None:
    """Return when the last update failed, whoever ordered it; None when it did not, or when there was none.

    An uploaded file that was refused before anybody had ordered its installation has changed nothing.
    """
    never_ordered = Q(kind=Kind.LOCAL_UPDATE) & ~Q(data__has_key="ordered_by")
    ended = FileJob.objects.filter(kind__in=_UPDATES).exclude(finished_at=None).exclude(never_ordered)
    last = ended.order_by("id").last()
    return last.finished_at if last is not None and last.step == Step.FAILED else None


def create_archive(*, actor: str, at: datetime) -> FileJob:
    """Order an archive of the logs; while one is being made, that one is meant."""
    with transaction.atomic():
        running = FileJob.objects.filter(kind=Kind.LOCAL_LOG, finished_at=None).order_by("id").first()
        if running is not None:
            return running
        name = jobs.file_name(f"-{at:%Y%m%d-%H%M%S}")
        _audit("CreateLogArchive", actor, at, file=name)
        return jobs.create(Kind.LOCAL_LOG, {"actor": actor, "retries": 0}, at, file=name, data={})


def archive_job() -> FileJob | None:
    """Return the archive ordered last."""
    return FileJob.objects.filter(kind=Kind.LOCAL_LOG).order_by("id").last()


def kept_archives(directory: Path) -> list[Path]:
    """List the finished archives, the newest first."""
    if not directory.is_dir():
        return []
    found = [path for path in directory.iterdir() if _ARCHIVE_NAME.fullmatch(path.name) and not path.is_symlink()]
    made_at: dict[Path, float] = {}
    for path in found:
        # The worker deletes the oldest ones meanwhile.
        with suppress(FileNotFoundError):
            made_at[path] = path.stat().st_mtime
    return sorted(made_at, key=lambda path: (made_at[path], path.name), reverse=True)


def archive(name: str) -> Path | None:
    """Find a finished archive by its name."""
    return next((path for path in kept_archives(settings.DATA.archives) if path.name == name), None)


def delete_archive(name: str, *, actor: str, at: datetime) -> bool:
    """Delete an archive; return whether there was one of this name."""
    path = archive(name)
    if path is None:
        return False
    with transaction.atomic():
        _audit("DeleteLogArchive", actor, at, file=name)
        path.unlink(missing_ok=True)
    return True


_UPDATES = tuple(Kind.LOCAL_UPDATE.rivals)


def _unfinished_updates() -> Any:
    return FileJob.objects.filter(kind__in=_UPDATES, finished_at=None).order_by("id")


def _audit(command: str, actor: str, at: datetime, **data: str) -> None:
    AuditEntry.objects.create(
        at=at, origin=Origin.WEB.value, actor=actor, command=command, data=data, outcome=Status.ACCEPTED.value
    )
