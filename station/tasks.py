"""The long jobs of the queue `system`: each group of file jobs works in a thread of its own, beside the other tasks."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from celery import bootsteps
from django.conf import settings
from django.db import connections

from station import clock
from station.celery import app, every
from station.domain.commands import Command, Origin, Outcome
from station.domain.software_trial import Health
from station.host import archives, for_settings, mobile, modem, own_page, time_service, updates, versions
from station.host.power import MainProcessIsAway, RebootIsRefused
from station.models import TrustedCertificate
from station.services import commands, computer_watch, diagnostics, event_log, live, network
from station.services.file_jobs import jobs, runner
from station.services.file_jobs.environment import JobEnvironment, RebootRefused
from station.services.transfers import Exchange

ACTOR = "update"
logger = logging.getLogger(__name__)
LOOK_EVERY_S = 10
_MOST_IMAGE_BYTES = 1_000_000_000
_ACCEPTED = "accepted"
_TRUSTED_KINDS = ("backend_root", "manufacturer_root")

app.conf.beat_schedule |= {
    # One message for all that is looked at so often: on an idle station the way through the queue costs ten times what
    # is done at its end. No answer: it must not pile up.
    "look": {
        "task": "system.look",
        "schedule": every(seconds=LOOK_EVERY_S),
        "options": {"expires": LOOK_EVERY_S},
    },
    "old files": {"task": "system.tidy_files", "schedule": every(hours=1)},
}


def job_environment() -> JobEnvironment:
    """Return what the jobs need."""
    data = settings.DATA
    own = () if settings.SIMULATE else for_settings().network.addresses()
    authorities = TrustedCertificate.objects.filter(kind__in=_TRUSTED_KINDS).values_list("pem", flat=True)
    return JobEnvironment(
        directory=data.files / "jobs",
        archives=data.archives,
        locks=data.run,
        exchange=Exchange(
            known_hosts=data.certificates / "known_hosts",
            authorities="".join(authorities),
            # On the bench the servers are on the same machine; a station would talk to itself.
            allow_loopback=settings.SIMULATE,
            own_addresses=frozenset(own),
            most_bytes=_MOST_IMAGE_BYTES,
        ),
        pack=pack,
        updates=updates.for_settings(),
        reboot=_reboot,
        health=_health,
        submit=_submit,
        now=clock.now,
        wait=time.sleep,
    )


def pack(
    target: Path,
    *,
    start: datetime | None,
    stop: datetime | None,
    is_security: bool,
    at: datetime,
    check: Callable[[], None],
    progress: Callable[[int], None],
) -> None:
    """Write an archive of the logs (or of the security log) within a time."""
    secrets = diagnostics.secrets()
    if is_security:
        archives.build(target, diagnostics.security_texts(start=start, stop=stop), secrets=secrets, at=at, check=check)
        return
    window = archives.Window(start=start, stop=stop)
    parts = [
        *diagnostics.texts(start=start, stop=stop, versions=vars(versions.versions()), at=at),
        *archives.log_parts(settings.DATA.logs, window),
    ]
    archives.build(target, _counted(parts, progress), secrets=secrets, at=at, check=check)


def _counted(parts: Sequence[archives.Part], progress: Callable[[int], None]) -> Iterator[archives.Part]:
    for number, part in enumerate(parts):
        progress(100 * number // len(parts))
        yield part


def _submit(command: Command, at: datetime) -> Outcome:
    return commands.submit_command(command, origin=Origin.LOCAL, actor=ACTOR, at=at)


def _health() -> Health:
    """Look at what the software does now. Snapshots of processes that are gone have expired."""
    hardware, backend = live.hardware(), live.backend()
    return Health(
        is_ready=hardware is not None and hardware.ready,
        page_answers=own_page.answers(settings.DATA),
        backend_accepts=backend is not None and backend.connected and backend.registration == _ACCEPTED,
    )


def _reboot() -> None:
    try:
        for_settings().power.reboot()
    except (MainProcessIsAway, RebootIsRefused) as refusal:
        raise RebootRefused(str(refusal)) from refusal


def _work(group: str) -> None:
    try:
        # Checked again once the lock is free: a job that arrived meanwhile found it taken.
        while group in runner.due_groups(clock.now()) and runner.work(group, job_environment()):
            pass
    finally:
        connections.close_all()


@app.task(name=jobs.RUN_TASK)  # type: ignore[untyped-decorator]
def run_file_jobs() -> None:
    """Start what is due in the background; what is already running is left alone."""
    for group in runner.due_groups(clock.now()):
        # A daemon: the end of the process ends the job, which goes on from its row at the next start.
        threading.Thread(target=_work, args=(group,), name=f"files-{group}", daemon=True).start()


@app.task(name="system.tidy_files")  # type: ignore[untyped-decorator]
def tidy_files() -> None:
    """Delete what jobs have left behind."""
    runner.tidy(job_environment())


def watch_network() -> None:
    """Note that a change of the network is over, and finish a factory reset."""
    network.finish_reset()
    network.latest(at=clock.now())


def look_after_computer() -> None:
    """Bring modem and time into line with the settings, whoever has changed them, and report what the modem says."""
    computer_watch.step(
        time_port=time_service.for_settings(), mobile_port=mobile.for_settings(), report=modem.report_for_settings()
    )


@app.task(name="system.look")  # type: ignore[untyped-decorator]
def look() -> None:
    """Look at what nobody announces; what fails in one subject keeps nobody from the others."""
    with ExitStack() as each:
        each.callback(look_after_computer)
        # A change of the network that nobody has confirmed has been taken back by the computer: somebody has to say so.
        each.callback(watch_network)
        # A job whose wake-up was lost, or whose date has come, waits this long at most.
        each.callback(run_file_jobs)


def note_lost_software() -> None:
    """Report, once, that the computer no longer starts the version that was kept."""
    if version := updates.for_settings().lost():
        running = versions.os_version()
        logger.error("the computer has gone back from version %s to %s", version, running)
        event_log.log("computer.software.went_back", at=clock.now(), version=version, running=running)
        connections.close_all()


class ResumeFileJobs(bootsteps.StartStopStep):  # type: ignore[misc]
    """Resumes, when the worker starts, what an earlier one was doing."""

    def start(self, _worker: Any) -> None:
        """Begin at once instead of with the first periodic run."""
        run_file_jobs()
        if not settings.SIMULATE:
            # The update service may have to be started first; nobody waits for it.
            threading.Thread(target=note_lost_software, name="lost software", daemon=True).start()


app.steps["worker"].add(ResumeFileJobs)
