"""Where to report a weakness of this station (RFC 9116), for everybody."""

import re
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from station import clock
from station.domain.moments import EARLIEST_STAMP
from station.services import configuration

# RFC 9116 section 2.5.5 recommends less than a year. It is made anew with each answer, so only copies grow old.
_VALID_FOR = timedelta(days=180)


@require_safe
def security_txt(_request: HttpRequest) -> HttpResponse:
    """Name the contact; 404 while there is none, because a file without one is not valid."""
    contact = settings.SECURITY_CONTACT or _hotline()
    if not contact:
        raise Http404
    lines = {
        "Contact": contact,
        "Expires": f"{expiry(clock.now()):%Y-%m-%dT%H:%M:%SZ}",
        "Preferred-Languages": "en, de",
    }
    return HttpResponse(
        "".join(f"{name}: {value}\n" for name, value in lines.items()), content_type="text/plain; charset=utf-8"
    )


def expiry(now: datetime) -> datetime:
    """Return until when a copy holds: a midnight, and none in the past because a clock was lost."""
    holds = max(now, EARLIEST_STAMP).astimezone(UTC) + _VALID_FOR
    return holds.replace(hour=0, minute=0, second=0, microsecond=0)


def _hotline() -> str:
    number = re.sub(r"[^+0-9]", "", configuration.get("/Gui/Operator/Contact/phone"))
    return f"tel:{number}" if number else ""
