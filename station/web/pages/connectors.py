"""Station – Connectors: what the charging points are and measure."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from station import clock
from station.web import present, tables


@require_GET
def connectors(request: HttpRequest) -> HttpResponse:
    """Show the four live tables."""
    now = present.look(clock.now())
    return render(
        request, "pages/station/connectors.html", {"tables": tables.all_tables(now), "is_live": bool(now.hardware)}
    )
