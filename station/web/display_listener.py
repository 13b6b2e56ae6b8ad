"""The driver's display at an address of its own, which only this computer reaches: a screen without log in.

Whatever comes to that port is answered here and gets no further, so no page of the station is open there.
"""

import logging
import os
from collections.abc import Callable
from typing import Any

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.template import loader
from django.utils import translation

from station import clock
from station.services import branding, configuration
from station.ui import display_words
from station.web import driver_display, origins, present
from station.web.driver_display import DisplayView

logger = logging.getLogger(__name__)

GetResponse = Callable[[HttpRequest], HttpResponseBase]

_AGAIN_S = 3
_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def is_at_display(request: HttpRequest) -> bool:
    """Return whether a request has come to the display's port; the listener says so, not the request."""
    port = os.environ.get("STATION_DISPLAY_PORT", "")
    return bool(port) and request.META.get("SERVER_PORT") == port


class DisplayListener:
    """Answers what comes to the display's port."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not is_at_display(request):
            return self.get_response(request)
        if request.method not in {"GET", "HEAD"}:
            return _refuse(405)
        # A name that somebody else has pointed at this computer must not read the screen (DNS rebinding).
        try:
            name, _port = origins.split_host(request.META.get("HTTP_HOST", ""))
        except ValueError:
            return _refuse(400)
        if name not in _NAMES:
            return _refuse(400)
        try:
            return _answer(request)
        except DatabaseError as error:
            # It is moved aside, or brought to this version, under whoever looks; the display asks again by itself.
            logger.warning("the display waits for the database: %s", error)
            if not connection.in_atomic_block:
                # A connection to a file that was replaced stays with the old one.
                connection.close()
            return _one_moment()


def _answer(request: HttpRequest) -> HttpResponse:
    match request.path:
        case "/":
            return _screen(request, "display/page.html")
        case "/state":
            return _screen(request, "display/state.html", seen=request.GET.get("seen", ""))
        case "/logo/operator" | "/logo/vendor":
            return logo(request.path.rpartition("/")[2])
    return _refuse(404)


def _screen(request: HttpRequest, template: str, *, seen: str = "") -> HttpResponse:
    view = driver_display.look(present.look(clock.now()), configuration.snapshot())
    if seen and seen == view.token:
        return HttpResponse(status=204)
    address = f"logo/{view.logo.brand}" if view.logo else ""
    with translation.override(view.language):
        return render(request, template, _context(view, address))


def _one_moment() -> HttpResponse:
    """Return a page that needs nothing of the station and loads itself again."""
    said = {"text": driver_display.in_both_languages(display_words.ONE_MOMENT), "again_s": _AGAIN_S}
    response = HttpResponse(loader.render_to_string("display/one_moment.html", said), status=503)
    response["Retry-After"] = str(_AGAIN_S)
    # Django writes every 5xx to the log as an error, and the display asks every second.
    response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001
    return response


def _context(view: DisplayView, logo_address: str) -> dict[str, Any]:
    return {
        "view": view,
        "logo_address": logo_address,
        "away_title": driver_display.in_both_languages(display_words.TITLES[display_words.OUT_OF_SERVICE]),
        "away_text": driver_display.in_both_languages(display_words.AWAY),
    }


def logo(brand: str) -> HttpResponse:
    """Send a logo; its address changes with it, so a browser need not ask again."""
    picture = branding.read_logo(brand)
    if picture is None:
        return _refuse(404)
    response = HttpResponse(picture, "image/png")
    response["Cache-Control"] = "private, max-age=86400"
    return response


def _refuse(status: int) -> HttpResponse:
    return HttpResponse("There is nothing but the driver's display here.\n", "text/plain", status=status)
