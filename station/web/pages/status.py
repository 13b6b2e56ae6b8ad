"""The state of the station: everything that needs somebody's attention, as the light in the header counts it."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET


@require_GET
def status(request: HttpRequest) -> HttpResponse:
    """Show the list; the frame of every page has looked already."""
    return render(request, "pages/status.html")
