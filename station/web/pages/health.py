"""Whether the station can charge, for monitoring."""

import hashlib
import os
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from station import clock
from station.host import factory_file
from station.host.power import process_start_ticks
from station.services import database_file, identity, live, outbox, provisioning, secret_storage
from station.ui import provisioning_words, words
from station.web import present


@require_safe
def healthz(_request: HttpRequest) -> JsonResponse:
    """Answer 200 when the control loop is alive and ready, else 503 with the reasons. The backend does not matter."""
    hardware = live.hardware()
    if hardware is None and not live.is_reachable():
        # Whether the control loop works cannot be told; sessions do not depend on Redis.
        codes = ["redis_absent"]
    elif hardware is None or not present.is_fresh(hardware, clock.now()):
        codes = ["hardware_absent"]
    elif not hardware.ready:
        codes = list(hardware.not_ready)
    else:
        return JsonResponse({"ready": True, "run": run()} | (_details() or {}))
    details = _details()
    if details is None and "records_unwritable" not in codes:
        # The process that says so otherwise may not come up without the database.
        codes.append("records_unwritable")
    # What is wrong in a file is told in English, as the log does: programs ask.
    mistakes = "; ".join(each.text for each in hardware.mistakes) if hardware else ""
    reasons = [{"code": code, "text": f"{words.word(words.NOT_READY, code)} {mistakes}".strip()} for code in codes]
    answer = JsonResponse({"ready": False, "run": run(), "reasons": reasons} | (details or {}), status=503)
    # Django writes every 5xx to the log as an error; this one is an answer, and it is asked for every few seconds.
    answer._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001
    return answer


def run() -> str:
    """Name this run of the web interface: a page that waits for a restart sees that it is another one."""
    pid = os.getpid()
    return hashlib.sha256(f"{clock.boot_id()} {pid} {process_start_ticks(pid)}".encode()).hexdigest()[:16]


def _details() -> dict[str, Any] | None:
    """Tell what keeps nobody from charging and still needs somebody's attention; None: the database cannot be read."""
    try:
        found = [
            *_messages_set_aside(),
            *_secrets_lost(),
            *_identity_damaged(),
            *_database_set_aside(),
            *_provisioning_refused(),
            *_provisioning_left(),
        ]
    except DatabaseError:
        return None
    return {"details": found} if found else {}


def _messages_set_aside() -> Iterator[dict[str, Any]]:
    if count := outbox.set_aside_count():
        text = ngettext(
            "%(count)d message was refused by the backend and set aside.",
            "%(count)d messages were refused by the backend and set aside.",
            count,
        )
        yield {"code": "messages_set_aside", "count": count, "text": text % {"count": count}}


def _database_set_aside() -> Iterator[dict[str, Any]]:
    if files := database_file.aside(settings.DATA):
        yield {"code": "database_set_aside", "files": files, "text": words.database_set_aside(files)}


def _secrets_lost() -> Iterator[dict[str, Any]]:
    if keys := secret_storage.lost():
        yield {"code": "secrets_lost", "keys": keys, "text": words.secrets_lost(keys)}


def _identity_damaged() -> Iterator[dict[str, Any]]:
    if damage := identity.broken():
        is_missing = isinstance(damage, identity.IdentityFileMissing)
        yield {"code": "identity_damaged", "text": words.identity_damaged(damage, is_missing=is_missing)}


def _provisioning_refused() -> Iterator[dict[str, Any]]:
    if mistakes := provisioning.refused_at_this_start():
        yield {
            "code": "provisioning_refused",
            "mistakes": [mistake.code for mistake in mistakes],
            "text": provisioning_words.refused_at_the_start(
                ((each.code, each.data) for each in mistakes), is_left=factory_file.is_left(settings.DATA)
            ),
        }


def _provisioning_left() -> Iterator[dict[str, Any]]:
    if factory_file.is_left(settings.DATA):
        yield {"code": "provisioning_left", "text": str(provisioning_words.LEFT_BEHIND)}
