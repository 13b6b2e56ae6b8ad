"""Software – Update: a file is uploaded, checked, installed when nobody charges, and runs after the reboot."""

import logging
import os
from pathlib import Path

from django.conf import settings
from django.contrib import messages
from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from station import clock
from station.domain.file_jobs import Kind, Step, may_cancel
from station.host import versions
from station.models import ChargingSession, FileJob
from station.services import accounts, configuration
from station.services.file_jobs import local
from station.services.file_jobs.local import CannotBeStopped, NothingToInstall, OlderVersion, UpdateIsRunning
from station.ui import file_job_words
from station.ui import format as formats
from station.web import access, session_views
from station.web.requests import is_htmx, signed_in

logger = logging.getLogger(__name__)

# What expert mode adds here; the profile lists it.
EXPERT_PART = gettext_lazy("Upload of an update file")
_NO_CONTENT = 204


@require_GET
def update(request: HttpRequest) -> HttpResponse:
    """Show where the update stands."""
    job = local.update_job()
    state = _state(job)
    if is_htmx(request) and request.GET.get("seen"):
        if request.GET["seen"] == state:
            # Nothing has changed; a page that is read aloud would begin again.
            return HttpResponse(status=_NO_CONTENT)
        if not _is_active(job):
            # The whole page anew: another version may have other scripts and styles.
            answer = HttpResponse(status=_NO_CONTENT)
            answer["HX-Refresh"] = "true"
            return answer
    return _page(request, job)


@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    """Take a file; the worker checks it."""
    file = request.FILES.get("image")
    if not isinstance(file, UploadedFile) or not file.size:
        return _page(request, local.update_job(), problem=_("Choose the file of the update, for example update.raucb."))
    name = Path(file.name or "").name[:80]
    try:
        if isinstance(file, TemporaryUploadedFile):
            # Before the database is locked for the job: a large file takes seconds.
            os.fsync(file.fileno())
        local.take_update(lambda target: _place(file, target), name=name, actor=_actor(request), at=clock.now())
    except UpdateIsRunning as refusal:
        problem = (
            _("The backend is updating the station. Wait until that has ended.")
            if refusal.by_backend
            else _("Another update is being installed. Wait until it has ended.")
        )
        return _page(request, local.update_job(), problem=problem)
    except OSError:
        logger.exception("an uploaded update could not be stored")
        problem = _("The disk of the station has too little room for this file. Delete log archives and try again.")
        return _page(request, local.update_job(), problem=problem)
    return redirect("update")


@require_POST
def install(request: HttpRequest) -> HttpResponse:
    """Order the installation of the checked file."""
    try:
        local.install(actor=_actor(request), at=clock.now(), takes_older=bool(request.POST.get("older")))
    except OlderVersion:
        problem = _("The file is older than the software that is running. Tick the box if you want that.")
        return _page(request, local.update_job(), problem=problem)
    except NothingToInstall:
        # A second click, or somebody else's: the page says how far that order is.
        if not _is_active(local.update_job()):
            messages.error(request, _("There is no checked file any more. Upload it again."))
    return redirect("update")


@require_POST
def stop(request: HttpRequest) -> HttpResponse:
    """Give the uploaded update up."""
    try:
        local.stop_update(actor=_actor(request), at=clock.now())
    except CannotBeStopped:
        messages.error(request, _("The update can no longer be stopped: the new version is being written."))
    return redirect("update")


def _page(request: HttpRequest, job: FileJob | None, *, problem: str = "") -> HttpResponse:
    zone = configuration.zone()
    running, wanted = versions.os_version(), job.data.get("version", "") if job else ""
    is_active = _is_active(job)
    return render(
        request,
        "pages/software/update.html",
        {
            "job": job,
            "state": _state(job),
            "step": job.step if job else "",
            "is_active": is_active,
            "is_local": job is not None and job.kind == Kind.LOCAL_UPDATE,
            "may_stop": is_active and job is not None and may_cancel(Step(job.step)),
            "running": running,
            "wanted": wanted,
            "older": job is not None and bool(job.data.get("older")),
            "file": job.request.get("file", "") if job else "",
            "percent": job.data.get("percent", 0) if job else 0,
            "reason": file_job_words.told(job.data) if job else "",
            "ended": formats.moment(job.finished_at, zone) if job and job.finished_at else "",
            "sessions": session_views.running(zone) if is_active else [],
            "expert": accounts.profile_of(signed_in(request)).expert,
            "slots": versions.slots(),
            "problem": problem,
            "unavailable": file_job_words.reason(versions.updates_unavailable()),
            "largest": access.IMAGE_BYTES,
            "largest_said": formats.file_size(access.IMAGE_BYTES),
            "room": versions.largest_image(settings.DATA.files),
        },
        status=422 if problem else 200,
    )


def _is_active(job: FileJob | None) -> bool:
    """Return whether an update is under way; one that has ended still gives the charging points back."""
    return job is not None and job.finished_at is None


def _state(job: FileJob | None) -> str:
    """Return what the page shows of an update, to be compared."""
    if job is None:
        return "none"
    sessions = ChargingSession.objects.running().count() if job.step == Step.PREPARING else 0
    # A last step may be seen before its job has ended.
    ending = "ending" if _is_active(job) else "ended"
    return f"{job.pk}-{job.step}-{ending}-{job.data.get('percent', 0)}-{sessions}"


def _place(file: "UploadedFile[bytes]", target: Path) -> None:
    if isinstance(file, TemporaryUploadedFile):
        # In the same directory tree: no copy of a gigabyte.
        Path(file.temporary_file_path()).replace(target)
        target.chmod(0o600)
        return
    with target.open("wb") as copy:
        os.fchmod(copy.fileno(), 0o600)
        for chunk in file.chunks():
            copy.write(chunk)
        copy.flush()
        os.fsync(copy.fileno())


def _actor(request: HttpRequest) -> str:
    return signed_in(request).get_username()
