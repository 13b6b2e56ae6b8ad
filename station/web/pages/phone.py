"""The page behind the QR code: what the driver's display says of one charging point, for the driver's own phone."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language
from django.views.decorators.http import require_GET

from station import clock
from station.services import configuration, identity
from station.web import driver_display, present
from station.web.driver_display import LANGUAGE, PHONE_ADDRESS
from station.web.request_rate import RequestRate

# A phone asks every five seconds; several may stand behind one address of a router.
RATE = RequestRate(per_address=60, in_all=600)
REFRESH_S = 5


@require_GET
def phone(request: HttpRequest, connector_id: int) -> HttpResponse:
    """Show a charging point to whoever has scanned its code, where the operator has switched that on."""
    if not configuration.get(PHONE_ADDRESS) or not 1 <= connector_id <= identity.load().connectors:
        raise Http404
    if not RATE.allows(request.META.get("REMOTE_ADDR", ""), now_s=clock.monotonic_s()):
        return render(request, "phone.html", {"is_too_often": True, "refresh_s": 60}, status=429)
    language = "de" if (get_language() or "").startswith("de") else "en"
    values = {**configuration.snapshot(), LANGUAGE: language}
    view = driver_display.look(present.look(clock.now()), values)
    shown = {"view": view, "point": view.points[connector_id - 1] if connector_id <= len(view.points) else None}
    response = render(request, "phone.html", {**shown, "refresh_s": REFRESH_S})
    response["Cache-Control"] = "no-store"
    return response
