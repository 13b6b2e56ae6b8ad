"""Software – Versions: which software runs on which part of the station."""

from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from station import clock
from station.domain.snapshot import PointSnapshot
from station.host import versions as software
from station.host.ports import Slot
from station.services import identity
from station.web import present

Rows = list[tuple[str, str]]


@require_GET
def versions(request: HttpRequest) -> HttpResponse:
    """Show the versions, also as one text for the hotline."""
    groups = [(_("Station"), _station()), (_("Computer"), _computer()), (_("Charging points"), list(_points()))]
    groups = [(title, rows) for title, rows in groups if rows]
    lines = [
        f"{_('Serial number')}: {identity.load().serial}",
        *(f"{label}: {value}" for _title, rows in groups for label, value in rows),
    ]
    return render(request, "pages/software/versions.html", {"groups": groups, "text": "\n".join(lines)})


def slot_words(slot: Slot) -> str:
    """Return what is in a slot, and which of the two runs."""
    version = slot.version or _("nothing")
    if slot.is_running:
        return _("%(version)s (is running)") % {"version": version}
    if slot.starts_next:
        return _("%(version)s (starts with the next reboot)") % {"version": version}
    return version


def _station() -> Rows:
    found = software.versions()
    slots = software.slots()
    return [
        (_("OS"), found.os),
        (_("Station client"), found.client),
        (_("Web interface"), found.web),
        *((_("System slot %(name)s") % {"name": slot.name.upper()}, slot_words(slot)) for slot in slots),
    ]


def _computer() -> Rows:
    found = software.versions()
    return [
        (_("Distribution"), found.distribution),
        (_("Kernel"), found.kernel),
        ("Python", found.python),
        (_("Processor"), found.machine),
    ]


def _points() -> Iterator[tuple[str, str]]:
    now = present.look(clock.now())
    for number in now.connector_numbers:
        point = now.connector(number) or present.recorded(number)
        yield _("EVSE controller %(number)d") % {"number": point.number}, _controller(point)
        yield _("Meter %(number)d") % {"number": point.number}, _meter(point)


def _controller(point: PointSnapshot) -> str:
    if not point.controller.firmware:
        return _("not known: the controller does not answer")
    parts = (point.controller.model, point.controller.hardware_id, point.controller.firmware)
    return " · ".join(part for part in parts if part)


def _meter(point: PointSnapshot) -> str:
    parts = (point.meter.vendor, point.meter.model, point.meter.serial)
    return " · ".join(part for part in parts if part) or _("not known: the meter does not answer")
