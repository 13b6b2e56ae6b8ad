"""The worker's side of long jobs with files: who works on what, and when.

Rivals (the two kinds of update; two uploads of the same sort) work strictly one after the other: whoever holds the lock
file of a group works on its oldest job. The lock goes with the process that held it.
"""

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from django.db import transaction

from station.domain.file_jobs import Kind
from station.models import FileJob
from station.services.file_jobs import jobs
from station.services.file_jobs.environment import JobEnvironment
from station.services.file_jobs.jobs import JobTakenAway
from station.services.file_jobs.steps import Work

GROUPS: dict[str, frozenset[Kind]] = {
    "diagnostics": frozenset({Kind.DIAGNOSTICS}),
    "log": frozenset({Kind.LOG}),
    "local_log": frozenset({Kind.LOCAL_LOG}),
    "update": Kind.FIRMWARE.rivals,
}
# A job due within this time is waited for; later ones are left to the next run.
PATIENCE = timedelta(seconds=15)
_LOOK_S = 0.5
_ARCHIVE_LIFE = timedelta(hours=24)
logger = logging.getLogger(__name__)


def due_groups(at: datetime) -> list[str]:
    """Return the groups in which something is to be done soon."""
    unfinished = jobs.unfinished_kinds()
    found = []
    for name, kinds in GROUPS.items():
        due_at = next((due_at or at for kind, due_at in unfinished if kind in kinds), None)
        if due_at is not None and due_at <= at + PATIENCE:
            found.append(name)
    return found


def work(group: str, environment: JobEnvironment) -> bool:
    """Work on a group until nothing is due soon; return False when somebody else already does."""
    with _lock(environment.locks / f"files-{group}.lock") as is_ours:
        if not is_ours:
            return False
        while (job := jobs.oldest_unfinished(GROUPS[group])) is not None:
            due_in = (job.due_at or environment.now()) - environment.now()
            if due_in > PATIENCE:
                break
            if due_in > timedelta(0):
                # In short steps, because a newer request may change the plan.
                environment.wait(min(_LOOK_S, due_in.total_seconds()))
                continue
            try:
                Work(job, environment).do()
            except JobTakenAway:
                logger.info("file job %s was taken away", job.pk)
    return True


def tidy(environment: JobEnvironment) -> None:
    """Delete files of jobs that have ended, and archives nobody has fetched for a day."""
    if not environment.directory.is_dir():
        return
    found = list(environment.directory.iterdir())
    # After the files, and within a transaction: an upload makes its directory before its row is committed.
    with transaction.atomic():
        running = {str(number) for number in FileJob.objects.filter(finished_at=None).values_list("id", flat=True)}
    oldest = (environment.now() - _ARCHIVE_LIFE).timestamp()
    for path in found:
        if path.name not in running and (path.name.isdigit() or path.stat().st_mtime < oldest):
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _lock(path: Path) -> Iterator[bool]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)
