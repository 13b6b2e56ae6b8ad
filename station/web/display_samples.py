"""States for the preview of the display, so that its every screen can be looked at without a car."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from station.domain.authorization import Reason
from station.domain.commands import Refusal
from station.domain.connector import Phase
from station.domain.faults import FaultCode
from station.domain.snapshot import (
    FinishedSessionSnapshot,
    HardwareSnapshot,
    PointSnapshot,
    RefusalSnapshot,
    SessionSnapshot,
)
from station.domain.units import MilliAmpere, Watt
from station.web.present import Present

NAMES: Mapping[str, "str | Promise"] = {
    "": _("as it is now"),
    "free": _("free"),
    "authorized": _("card accepted"),
    "plugged": _("cable plugged in"),
    "refused": _("card refused"),
    "charging": _("charging"),
    "finished": _("finished"),
    "fault": _("fault"),
    "out_of_service": _("out of order"),
}
_LASTED = timedelta(minutes=42)
_ENERGY_WH = 14_285


def show(name: str, present: Present) -> Present:
    """Return the present with all charging points in a state of this name; itself for any other."""
    if not name or name not in NAMES:
        return present
    points = tuple(_point(name, number, present) for number in present.connector_numbers)
    hardware = present.hardware or HardwareSnapshot(
        revision=0,
        at=present.at,
        not_ready=(),
        status="Available",
        faults=(),
        mains_ma=MilliAmpere(0),
        reader_ok=True,
        points=(),
    )
    return replace(present, hardware=replace(hardware, not_ready=(), points=points))


def _point(name: str, number: int, present: Present) -> PointSnapshot:
    free = PointSnapshot(number=number, status="Available", phase=Phase.AVAILABLE)
    began = present.at - _LASTED
    match name:
        case "authorized":
            return replace(free, phase=Phase.AUTHORIZED, status="Preparing")
        case "plugged":
            return replace(free, phase=Phase.PLUGGED, status="Preparing")
        case "refused":
            refusal = RefusalSnapshot(
                at=present.at, id_tag="", reason=Refusal.TAG_REFUSED, because=Reason.BACKEND_EXPIRED
            )
            return replace(free, last_refusal=refusal)
        case "charging":
            session = SessionSnapshot(
                id=0, id_tag="", origin="reader", started_at=began, meter_start_wh=0, energy_wh=_ENERGY_WH
            )
            return replace(free, phase=Phase.CHARGING, status="Charging", session=session, power_w=Watt(20_410))
        case "finished":
            ended = FinishedSessionSnapshot(
                id=0, id_tag="", started_at=began, ended_at=present.at, energy_wh=_ENERGY_WH, reason="Local"
            )
            return replace(free, phase=Phase.FINISHING, status="Finishing", last_session=ended)
        case "fault":
            return replace(free, status="Faulted", faults=(FaultCode.EV_COMMUNICATION_ERROR.value,))
        case "out_of_service":
            return replace(free, status="Unavailable")
    return free
