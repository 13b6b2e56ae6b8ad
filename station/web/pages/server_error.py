"""What a browser gets when a page fails in a way nobody expected."""

from django.http import HttpRequest, HttpResponse
from django.template import loader
from django.views import defaults

from station.services import write_probe

_INSUFFICIENT_STORAGE = 507


def server_error(request: HttpRequest) -> HttpResponse:
    """Return the page of an error; a full disk is told as such.

    A log-in and every saved form write, so that on a full disk all of them end here. It concerns charging, too, and
    other than a mistake of ours it can be mended by whoever reads this.
    """
    if write_probe.is_short_of_room():
        return HttpResponse(loader.get_template("507.html").render(), status=_INSUFFICIENT_STORAGE)
    return defaults.server_error(request)
