"""Software – Log files: archives of the logs, made by the worker, for the hotline."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.contrib import messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from station import clock
from station.domain.file_jobs import ENDED, Step
from station.models import FileJob
from station.services import configuration
from station.services.file_jobs import local
from station.ui import file_job_words
from station.ui import format as formats
from station.web.requests import is_htmx, signed_in


@dataclass(frozen=True, kw_only=True)
class ArchiveView:
    """A finished archive in words."""

    name: str
    made: str
    size: str


@require_http_methods(["GET", "POST"])
def log_files(request: HttpRequest) -> HttpResponse:
    """Show the archives and the one being made; order a new one."""
    if request.method == "POST":
        local.create_archive(actor=signed_in(request).get_username(), at=clock.now())
        return redirect("log-files")
    job = local.archive_job()
    is_running = job is not None and job.step not in ENDED
    return render(
        request,
        "pages/software/log_files.html",
        {
            "archives": [_view(path) for path in local.kept_archives(settings.DATA.archives)],
            "is_running": is_running,
            "percent": job.data.get("percent", 0) if job else 0,
            "problem": _problem(job) if job and not is_running else "",
            # Only for the page that has waited for it.
            "fresh": job.file if job and is_htmx(request) and job.step == Step.DONE else "",
            "most": local.MOST_ARCHIVES,
        },
    )


@require_GET
def log_file(request: HttpRequest, name: str) -> FileResponse:
    """Send an archive."""
    path = local.archive(name)
    if path is None:
        raise Http404
    return FileResponse(path.open("rb"), as_attachment=True, filename=path.name, content_type="application/gzip")


@require_POST
def delete(request: HttpRequest, name: str) -> HttpResponse:
    """Delete an archive."""
    if not local.delete_archive(name, actor=signed_in(request).get_username(), at=clock.now()):
        raise Http404
    messages.success(request, _("Deleted: %(name)s") % {"name": name})
    return redirect("log-files")


def _view(path: Path) -> ArchiveView:
    status = path.stat()
    made = datetime.fromtimestamp(status.st_mtime, UTC)
    return ArchiveView(
        name=path.name,
        made=formats.moment(made, configuration.zone()),
        size=formats.file_size(status.st_size),
    )


def _problem(job: FileJob) -> str:
    return file_job_words.reason(job.data.get("reason", "")) if job.step == Step.FAILED else ""
