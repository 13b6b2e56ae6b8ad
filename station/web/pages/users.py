"""User management – Users: the whitelist, edited in place, saved as a whole; import with a preview; a card tried."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from station import clock
from station.domain.authorization import AuthorizationStatus
from station.services import configuration, live
from station.web import card_rows
from station.web.present import is_fresh
from station.web.requests import signed_in
from whitelist import csv_file, editing, words
from whitelist.csv_file import ImportMode
from whitelist.csv_text import MAX_BYTES, FileRefused
from whitelist.draft import Draft, StagedCard
from whitelist.editing import SaveRefused
from whitelist.normalise import CardRefused

_DRAFT = "whitelist_draft"
_FILE = "whitelist_file"
_PROBLEMS = "whitelist_problems"
# What the list looks like, kept from page to page.
_VIEW = ("page", "search", "deleted")
# A browser sends the first; the others are typed where it has no calendar.
_MOMENTS = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%d.%m.%Y %H:%M", "%d.%m.%Y"]


class CardForm(forms.Form):
    """What is entered of a card; moments are those of the station's zone."""

    uid = forms.CharField(required=False, max_length=200, strip=False)
    group = forms.CharField(required=False, max_length=200)
    expires = forms.DateTimeField(
        required=False,
        input_formats=_MOMENTS,
    )
    authorization = forms.ChoiceField(choices=[(each.value, each.value) for each in editing.OFFERED], required=False)


class UploadForm(forms.Form):
    """A file, and what becomes of the cards it does not name."""

    file = forms.FileField(label=gettext_lazy("File"), allow_empty_file=True)
    mode = forms.ChoiceField(choices=[(each.value, each.value) for each in ImportMode])


@require_GET
def users(request: HttpRequest) -> HttpResponse:
    """Show ten cards, with what is not saved laid over them."""
    now, zone, draft = clock.now(), configuration.zone(), _draft(request)
    search, with_deleted = request.GET.get("search", "")[:40], request.GET.get("deleted") == "show"
    page = editing.page(_number(request.GET.get("page")), search=search, with_deleted=with_deleted)
    problems = request.session.pop(_PROBLEMS, {})
    hardware = live.hardware()
    return render(
        request,
        "pages/users/users.html",
        {
            "rows": card_rows.rows(page.cards, draft, now=now, zone=zone, problems=problems),
            "page": page,
            "search": search,
            "with_deleted": with_deleted,
            "view": _view(request),
            "unsaved": len(draft),
            "editing": request.GET.get("edit", ""),
            "entered": request.GET.get("add", ""),
            "limit": configuration.get_int("LocalAuthListMaxLength"),
            "seen": card_rows.seen(hardware if hardware and is_fresh(hardware, now) else None, now=now),
            "zone": zone.key,
            "asked": _asked(request),
            **_tried(request.GET.get("try", "")[:40], now),
        },
    )


def _tried(text: str, now: datetime) -> dict[str, Any]:
    if not text.strip():
        return {"tried": ""}
    try:
        return {"tried": text.strip(), "trials": card_rows.trials(text, now=now)}
    except CardRefused as refusal:
        return {"tried": text.strip(), "trial_problem": words.describe(refusal.code, refusal.data)}


@require_POST
def stage(request: HttpRequest, action: str) -> HttpResponse:
    """Change the draft; nothing takes effect before it is saved."""
    draft, key = _draft(request), request.POST.get("key", "")
    try:
        _change_draft(draft, action, key, request)
    except CardRefused as refusal:
        messages.error(request, words.describe(refusal.code, refusal.data))
        _keep(request, draft)
        entered = request.POST.get("uid", "")[:40]
        return _back(request, **({"add": entered} if action == "add" else {"edit": key} if action == "edit" else {}))
    _keep(request, draft)
    return _back(request)


def _change_draft(draft: Draft, action: str, key: str, request: HttpRequest) -> None:
    match action:
        case "add":
            draft.add(_entered(request))
        case "edit":
            draft.edit(key, _entered(request))
        case "accept":
            draft.authorize(key, AuthorizationStatus.ACCEPTED)
        case "block":
            draft.authorize(key, AuthorizationStatus.BLOCKED)
        case "delete":
            draft.delete(key)
        case "restore":
            draft.restore(key)
        case "undo":
            draft.undo(key)
        case _:
            raise Http404


@require_POST
def save(request: HttpRequest) -> HttpResponse:
    """Make all changes, or none."""
    draft = _draft(request)
    changes = draft.changes()
    try:
        saved = editing.save([change for _key, change in changes], at=clock.now(), actor=_actor(request))
    except SaveRefused as refused:
        request.session[_PROBLEMS] = {
            changes[problem.index][0]: words.describe(problem.refusal.code, problem.refusal.data)
            for problem in refused.problems
        }
        messages.error(request, _("Nothing was saved. See the marked cards."))
        return _back(request)
    request.session.pop(_DRAFT, None)
    messages.success(request, _said(saved))
    return _back(request)


@require_POST
def reload(request: HttpRequest) -> HttpResponse:
    """Drop what is not saved."""
    request.session.pop(_DRAFT, None)
    return _back(request)


@require_GET
def export(_request: HttpRequest) -> HttpResponse:
    """Hand out the saved list."""
    return HttpResponse(
        csv_file.export_file(),
        "text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{csv_file.EXPORT_NAME}"'},
    )


@require_http_methods(["GET", "POST"])
def import_cards(request: HttpRequest) -> HttpResponse:
    """Take a file, and show what it would change before it does."""
    if request.method == "POST":
        form = UploadForm(request.POST, request.FILES)
        if not form.is_valid():
            problem = _("Choose a file like %(name)s first.") % {"name": csv_file.EXPORT_NAME}
            return _import_page(request, problems=[problem])
        upload = form.cleaned_data["file"]
        if upload.size > MAX_BYTES:
            return _import_page(request, problems=[words.describe("file_too_large", {"limit": MAX_BYTES})])
        request.session[_FILE] = {
            "name": upload.name[:80],
            "mode": form.cleaned_data["mode"],
            "content": base64.b64encode(upload.read()).decode(),
        }
        return redirect("users-import")
    return _import_page(request)


@require_POST
def import_confirmed(request: HttpRequest) -> HttpResponse:
    """Import the file that was previewed."""
    held = _held_file(request)
    if held is None:
        return redirect("users-import")
    _name, mode, content = held
    stripped = [_number(line) for line in request.POST.getlist("stripped")]
    try:
        done = csv_file.import_file(content, mode=mode, at=clock.now(), actor=_actor(request), stripped=stripped)
    except FileRefused as refused:
        return _import_page(request, problems=_said_mistakes(refused))
    request.session.pop(_FILE, None)
    # What was staged meant the list of before.
    request.session.pop(_DRAFT, None)
    processed = _("Processed: %(count)s") % {"count": done.processed}
    messages.success(request, f"{processed} · {_said(done.saved)}")
    return redirect("users")


@require_POST
def import_cancelled(request: HttpRequest) -> HttpResponse:
    """Forget the file."""
    request.session.pop(_FILE, None)
    return redirect("users")


def _import_page(request: HttpRequest, problems: list[str] | None = None) -> HttpResponse:
    held, zone = _held_file(request), configuration.zone()
    shown: dict[str, Any] = {"problems": problems or [], "unsaved": len(_draft(request))}
    if held is not None:
        name, mode, content = held
        shown |= {"name": name, "mode": mode.value}
        try:
            plan = csv_file.preview(content, mode=mode, at=clock.now())
        except FileRefused as refused:
            request.session.pop(_FILE, None)
            shown["problems"] = _said_mistakes(refused)
        else:
            rows, more = card_rows.preview_rows(plan, zone)
            shown |= {"plan": plan, "rows": rows, "more": more}
    return render(request, "pages/users/import.html", shown, status=422 if shown["problems"] else 200)


def _said_mistakes(refused: FileRefused) -> list[str]:
    return [words.describe_line(each.line, each.code, each.data) for each in refused.mistakes]


def _said(saved: editing.Saved) -> str:
    parts = [
        ngettext("%(count)d card added", "%(count)d cards added", saved.added) % {"count": saved.added},
        ngettext("%(count)d changed", "%(count)d changed", saved.changed) % {"count": saved.changed},
        ngettext("%(count)d deleted", "%(count)d deleted", saved.deleted) % {"count": saved.deleted},
        ngettext("%(count)d restored", "%(count)d restored", saved.restored) % {"count": saved.restored},
    ]
    counts = (saved.added, saved.changed, saved.deleted, saved.restored)
    said = [part for part, count in zip(parts, counts, strict=True) if count]
    return ", ".join(said) + "." if said else _("Nothing was different.")


def _entered(request: HttpRequest) -> StagedCard:
    """Read a card from the form; raises CardRefused."""
    form = CardForm(request.POST)
    if not form.is_valid():
        field = next(iter(form.errors))
        if field == "expires":
            raise CardRefused("expiry", text=request.POST.get("expires", "")[:40])
        if field == "authorization":
            raise CardRefused("authorization", allowed="accepted, blocked")
        raise CardRefused(f"{field}_too_long", length=len(request.POST.get(field, "")), limit=20)
    entered = form.cleaned_data
    expires: datetime | None = entered["expires"]
    if expires is not None:
        expires = expires.replace(tzinfo=configuration.zone())
    return StagedCard(
        uid=entered["uid"],
        group=entered["group"],
        expires_at=expires,
        authorization=entered["authorization"] or AuthorizationStatus.ACCEPTED.value,
    )


def _held_file(request: HttpRequest) -> tuple[str, ImportMode, bytes] | None:
    held: Mapping[str, str] | None = request.session.get(_FILE)
    try:
        return None if held is None else (held["name"], ImportMode(held["mode"]), base64.b64decode(held["content"]))
    except (KeyError, ValueError, binascii.Error):
        return None


def _draft(request: HttpRequest) -> Draft:
    return Draft.read(request.session.get(_DRAFT))


def _keep(request: HttpRequest, draft: Draft) -> None:
    if len(draft):
        request.session[_DRAFT] = draft.store()
    else:
        request.session.pop(_DRAFT, None)


def _actor(request: HttpRequest) -> str:
    return signed_in(request).get_username()


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 8 else 1  # noqa: PLR2004


def _asked(request: HttpRequest, names: Iterable[str] = _VIEW[1:]) -> str:
    asked = request.GET if request.method == "GET" else request.POST
    return urlencode({name: value[:40] for name in names if (value := asked.get(name, ""))})


def _view(request: HttpRequest) -> str:
    return _asked(request, _VIEW)


def _back(request: HttpRequest, **more: str) -> HttpResponse:
    """Go back to the list as it was looked at."""
    query = "&".join(part for part in (_view(request), urlencode(more)) if part)
    return redirect(f"{reverse('users')}?{query}" if query else reverse("users"))
