"""The traffic light in the header, and the list behind it: the worst state of all parts of the station."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from django.conf import settings
from django.urls import reverse

from station import clock, host
from station.domain import concerns
from station.domain.concerns import Concern, Known, Severity, Subject
from station.domain.configuration.checks import TRUST_PLAIN_LINK
from station.domain.roles import Role
from station.models import LogEntry
from station.services import accounts, configuration, database_file, dimming, outbox, secret_storage, vendor_access
from station.services.file_jobs import local
from station.ui import concern_words
from station.ui import format as formats
from station.web import access, menu
from station.web.present import Present

_TONES: Mapping[Severity | None, str] = {None: "good", Severity.NOTICE: "warning", Severity.PROBLEM: "bad"}
# The page that mends it. One that this reader may not open, or that this station has not, is left out.
_PAGES: Mapping[Subject, str] = {
    Subject.NOT_READY: "restart",
    Subject.FAULT: "connectors",
    Subject.OUT_OF_SERVICE: "dashboard",
    Subject.BACKEND_ABSENT: "restart",
    Subject.BACKEND_NOT_SET_UP: "ocpp",
    Subject.BACKEND_OFFLINE: "ocpp",
    Subject.BACKEND_NOT_REGISTERED: "ocpp",
    Subject.LINK_PLAIN: "ocpp",
    Subject.LINK_UNVERIFIED: "ocpp",
    Subject.LINK_TRUSTED_BLINDLY: "ocpp",
    Subject.MESSAGES_SET_ASIDE: "ocpp",
    Subject.DIMMING_ACTIVE: "load-management",
    Subject.DIMMING_SILENT: "load-management",
    Subject.DIMMING_NO_INPUT: "load-management",
    Subject.DIMMING_OFF: "load-management",
    Subject.ENERGY_MANAGER_SILENT: "modbus",
    Subject.MODBUS_CLOSED: "modbus",
    Subject.CLUSTER_UNABLE: "load-management",
    Subject.CLUSTER_SECOND_MASTER: "load-management",
    Subject.CLUSTER_SILENT: "load-management",
    Subject.CLUSTER_LOST: "load-management",
    Subject.MODEM_OFFLINE: "mobile",
    Subject.CLOCK: "date-time",
    Subject.DISK: "log-files",
    Subject.DATABASE_SET_ASIDE: "log-files",
    Subject.SECRETS_LOST: "ocpp",
    Subject.UPDATE_FAILED: "update",
    Subject.VENDOR_ACCESS: "security",
    Subject.PASSWORD_OF_FACTORY: "profile",
}
# Conditions that the event log dates.
_LOGGED: Mapping[Subject, str] = {
    Subject.BACKEND_OFFLINE: "backend.offline",
    Subject.MESSAGES_SET_ASIDE: outbox.SET_ASIDE_CODE,
    Subject.SECRETS_LOST: "storage.secrets.lost",
    Subject.DIMMING_SILENT: dimming.SILENT_CODE,
}


@dataclass(frozen=True, kw_only=True)
class ConcernRow:
    """One line of the list; `url` is empty where no page of this reader mends it, `since` where nobody noted it."""

    tone: str
    title: str
    advice: str
    connector: str
    since: str
    page: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Overall:
    """The light: `tone` good, warning or bad, with words, and the list behind it."""

    tone: str
    text: str
    rows: tuple[ConcernRow, ...]


def look(present: Present, role: Role) -> Overall:
    """Return the state of the whole station for a reader."""
    found = tuple(_dated(concern) for concern in concerns.concerns(_known(present)))
    return Overall(
        tone=_TONES[concerns.worst(found)],
        text=concern_words.summary(found),
        rows=tuple(_row(concern, present, role) for concern in found),
    )


def _known(present: Present) -> Known:
    disk = os.statvfs(settings.DATA.root)
    return Known(
        redis_answers=present.redis_answers,
        hardware=present.hardware,
        backend=present.backend,
        free_bytes=disk.f_bavail * disk.f_frsize,
        clock_is_kept=host.for_settings().clock.is_trustworthy(),
        modem_offline=_modem_offline(),
        trusts_plain_link=configuration.get_bool(TRUST_PLAIN_LINK),
        messages_set_aside=outbox.set_aside_count(),
        databases_set_aside=tuple(database_file.aside(settings.DATA)),
        secrets_lost=tuple(secret_storage.lost()),
        update_failed_at=local.update_failed_at(),
        vendor_access_left_minutes=_vendor_access_left_minutes(),
        password_of_factory=accounts.factory_password_holds(),
    )


def _modem_offline() -> bool:
    status = host.for_settings().modem.status()
    return status is not None and status.signal is None


def _vendor_access_left_minutes() -> int | None:
    left = vendor_access.left(clock.stamp())
    return max(left.values()) // timedelta(minutes=1) if left else None


def _dated(concern: Concern) -> Concern:
    """Fill in since when, where the event log knows."""
    code = f"fault.{concern.code}" if concern.subject is Subject.FAULT else _LOGGED.get(concern.subject)
    if concern.since is not None or code is None:
        return concern
    entries = LogEntry.objects.filter(code=code, cleared_at=None)
    if concern.subject is Subject.FAULT:
        # The station itself is connector 0.
        entries = entries.filter(connector_id=concern.connector or 0)
    return replace(concern, since=entries.order_by("-id").values_list("at", flat=True).first())


def _row(concern: Concern, present: Present, role: Role) -> ConcernRow:
    page = _PAGES[concern.subject]
    return ConcernRow(
        tone=_TONES[concern.severity],
        title=concern_words.title(concern),
        advice=concern_words.advice(concern),
        connector=str(concern.connector or ""),
        since=formats.moment(concern.since, present.zone) if concern.since else "",
        page=str(menu.label_of(page)),
        url=reverse(page) if access.may(role, page) else "",
    )
