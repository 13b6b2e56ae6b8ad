"""User management – Authentication: what a driver must present, who decides, and what that means for every card."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from station import clock
from station.web import decisions
from station.web.settings_form import Setting, SettingsForm

SETTINGS = (
    Setting(
        key="/auth/identification",
        label=gettext_lazy("Identification"),
        choices=(
            (
                "whitelisted",
                gettext_lazy("A whitelisted RFID"),
                gettext_lazy("Checked by the backend, or by the whitelist while the backend cannot be reached."),
            ),
            (
                "any",
                gettext_lazy("Any (unknown) RFID or a whitelisted RFID"),
                gettext_lazy("Checked by the backend; while it cannot be reached, every card is accepted."),
            ),
            (
                "none",
                gettext_lazy("No RFID"),
                gettext_lazy(
                    "Charging begins when the car is plugged in. The dummy RFID is sent to the backend for every "
                    "session and has to be released there."
                ),
            ),
        ),
    ),
    Setting(
        key="/auth/authenticator",
        label=gettext_lazy("Authenticator"),
        choices=(
            (
                "backend",
                gettext_lazy("Backend (OCPP)"),
                gettext_lazy("The whitelist takes over by itself while the backend cannot be reached."),
            ),
            ("whitelist", gettext_lazy("Local whitelist"), gettext_lazy("The backend is not asked.")),
        ),
    ),
    Setting(
        key="/hw/auth/device/Dummy/id/value",
        label=gettext_lazy("Reader: dummy RFID"),
        help=gettext_lazy("Stands for a card where none is needed; 1 to 20 characters."),
        example="DUMMY",
        expert=True,
    ),
    Setting(
        key="/hw/auth/device/Dummy/allowStop",
        label=gettext_lazy("Without a card, the button at the station ends the session"),
        expert=True,
    ),
    Setting(
        key="LocalPreAuthorize",
        label=gettext_lazy("Do not wait for the backend where the card is known here"),
        expert=True,
    ),
    Setting(
        key="LocalAuthorizeOffline",
        label=gettext_lazy("Known cards may charge while the backend cannot be reached"),
        expert=True,
    ),
    Setting(
        key="PreAuthorize",
        label=gettext_lazy("Payment is approved first"),
        help=gettext_lazy(
            "For cards that are not known here: the backend is asked to approve the payment before it is asked about "
            "the card. Without a connection such cards are refused."
        ),
        choices=(("", gettext_lazy("no"), ""), ("giro-e", "giro-e", "")),
        expert=True,
    ),
    Setting(
        key="GiroEStaticToken",
        label=gettext_lazy("Token for giro-e"),
        help=gettext_lazy("From the payment service; sent with each request for an approval."),
        expert=True,
    ),
    Setting(
        key="AuthIdLegicPrime",
        label=gettext_lazy("LEGIC prime: which bytes of the card's number count"),
        help=gettext_lazy("Empty: all. {uid:r}: the last byte first; {uid:1-4}: the first four bytes."),
        example="{uid:1-4}",
        expert=True,
    ),
    Setting(
        key="AuthIdLegicAdvant",
        label=gettext_lazy("LEGIC advant: which bytes of the card's number count"),
        help=gettext_lazy("As for LEGIC prime."),
        example="{uid:8-1}",
        expert=True,
    ),
)


@require_http_methods(["GET", "POST"])
def authentication(request: HttpRequest) -> HttpResponse:
    """Show the settings with their consequences; take new ones."""
    form = SettingsForm(request, SETTINGS)
    if request.method == "POST" and form.save():
        return redirect("authentication")
    rows = decisions.table(clock.now())
    return render(
        request,
        "pages/users/authentication.html",
        {"form": form, "rows": rows, "situations": [cell.situation for cell in rows[0].cells]},
        status=422 if form.is_refused else 200,
    )
