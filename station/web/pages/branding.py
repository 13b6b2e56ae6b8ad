"""Display – Branding: whose logo the driver's display shows, and what it says of the charging points."""

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from station import clock
from station.domain.png import PngRefused
from station.services import branding, configuration, identity
from station.web import display_samples, driver_display, present
from station.web.display_listener import logo as send_logo
from station.web.driver_display import (
    BRANDING,
    HOTLINE,
    LANGUAGE,
    PHONE_ADDRESS,
    DisplayView,
    evse_id_key,
    label_key,
    price_key,
)
from station.web.price_form import PriceForm
from station.web.requests import signed_in
from station.web.settings_form import Field, Setting, SettingsForm, field_name

_STATION_SETTINGS = (
    Setting(
        key=BRANDING,
        label=gettext_lazy("Branding"),
        choices=(
            ("neutral", gettext_lazy("Neutral"), gettext_lazy("No logo.")),
            ("operator", gettext_lazy("Operator"), gettext_lazy("The operator's logo, once it is uploaded.")),
            ("vendor", gettext_lazy("Vendor"), gettext_lazy("The vendor's logo, or else the vendor's name.")),
        ),
    ),
    Setting(
        key=LANGUAGE,
        label=gettext_lazy("Language of the display"),
        choices=(
            ("both", gettext_lazy("German and English in turn"), ""),
            ("de", gettext_lazy("German"), ""),
            ("en", gettext_lazy("English"), ""),
        ),
    ),
    Setting(
        key=HOTLINE,
        label=gettext_lazy("Support hotline"),
        help=gettext_lazy("Shown at the bottom of the display, in every state."),
        example="+49 89 123456-0",
    ),
    Setting(
        key=PHONE_ADDRESS,
        label=gettext_lazy("Address for drivers' phones"),
        help=gettext_lazy(
            "The display then shows a QR code that leads to a page with the state of the charging point, without "
            "log-in and without anything personal. Whoever reaches the station in its network can open it. Empty: "
            "no such page."
        ),
        example="https://192.168.1.20",
    ),
)
_REFUSED_LOGOS: Mapping[str, "str | Promise"] = {
    "not_png": gettext_lazy("This is not a PNG file. Save the logo as PNG, for example logo.png."),
    "damaged": gettext_lazy("The file is damaged. Save the logo as PNG once more."),
    "too_large": gettext_lazy("The logo has too many pixels: 1024 × 512 at most, 352 × 56 are enough."),
    "too_big": gettext_lazy("The file is too large: 256 kB at most."),
    "missing": gettext_lazy("Choose a PNG file first."),
}
_LONGEST_TRIED = 500


class LogoForm(forms.Form):
    """A picture."""

    logo = forms.FileField()


@dataclass(frozen=True, kw_only=True)
class PointFields:
    """What belongs to one charging point."""

    number: int
    fields: tuple[Field, ...]
    price: PriceForm


@dataclass(frozen=True, kw_only=True)
class LogoView:
    """An uploaded logo, or the place for one."""

    brand: str
    label: str
    address: str


@require_http_methods(["GET", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """Show the settings and what the display makes of them; take new ones."""
    numbers = range(1, identity.load().connectors + 1)
    settings = {number: _point_settings(number) for number in numbers}
    form = SettingsForm(request, (*_STATION_SETTINGS, *(each for point in settings.values() for each in point)))
    prices = [PriceForm(number, request.POST) for number in numbers]
    is_refused = any(price.is_refused for price in prices)
    if request.method == "POST":
        more = {price.key: price.value for price in prices}
        if is_refused:
            form.check()
        elif form.save(more):
            return redirect("branding")
    fields = {field.name: field for field in form.fields}
    return render(
        request,
        "pages/display/branding.html",
        {
            "form": form,
            "is_refused": is_refused or form.is_refused,
            "station_fields": _among(fields, _STATION_SETTINGS),
            "points": [
                PointFields(number=price.number, fields=_among(fields, settings[price.number]), price=price)
                for price in prices
            ],
            "logos": [
                LogoView(brand=branding.OPERATOR, label=_("Logo of the operator"), address=_logo(branding.OPERATOR)),
                LogoView(brand=branding.VENDOR, label=_("Logo of the vendor"), address=_logo(branding.VENDOR)),
            ],
            "samples": display_samples.NAMES,
            **_preview(request),
        },
        status=422 if is_refused or form.is_refused else 200,
    )


@require_POST
def preview(request: HttpRequest) -> HttpResponse:
    """Show what the display would make of a form that is not saved yet."""
    return _render_preview(request)


@require_GET
def logo(_request: HttpRequest, brand: str) -> HttpResponse:
    """Send an uploaded logo."""
    return send_logo(_existing(brand))


@require_POST
def set_logo(request: HttpRequest, brand: str) -> HttpResponse:
    """Take a new logo."""
    form, problem = LogoForm(request.POST, request.FILES), ""
    if not form.is_valid():
        problem = "missing"
    elif form.cleaned_data["logo"].size > branding.LARGEST_LOGO_BYTES:
        problem = "too_big"
    else:
        picture = form.cleaned_data["logo"].read()
        try:
            branding.store_logo(_existing(brand), picture, at=clock.now(), actor=signed_in(request).get_username())
        except PngRefused as refusal:
            problem = refusal.code
    if problem:
        messages.error(request, str(_REFUSED_LOGOS[problem]))
    else:
        messages.success(request, _("The logo is stored."))
    return redirect("branding")


@require_POST
def remove_logo(request: HttpRequest, brand: str) -> HttpResponse:
    """Take a logo away."""
    branding.remove_logo(_existing(brand), at=clock.now(), actor=signed_in(request).get_username())
    messages.success(request, _("The logo is removed."))
    return redirect("branding")


def _existing(brand: str) -> str:
    if brand not in branding.BRANDS:
        raise Http404
    return brand


def _point_settings(number: int) -> tuple[Setting, ...]:
    return (
        Setting(
            key=evse_id_key(number),
            label=gettext_lazy("EVSE ID"),
            help=gettext_lazy("As ISO 15118 and eMI³ write it: country, operator, E and a number of the operator's."),
            example="DE*ABC*E12345*1",
        ),
        Setting(
            key=label_key(number),
            label=gettext_lazy("Charging point number"),
            help=gettext_lazy("What drivers read, for a card terminal for instance. Empty: the number of the point."),
            example="A7",
        ),
    )


# The charging points that a station can have.
_POINTS = (1, 2)
SETTINGS = (
    *_STATION_SETTINGS,
    *(
        each
        for number in _POINTS
        for each in (*_point_settings(number), Setting(key=price_key(number), label=gettext_lazy("Ad-hoc price")))
    ),
)


def _among(fields: Mapping[str, Field], settings: tuple[Setting, ...]) -> tuple[Field, ...]:
    return tuple(field for each in settings if (field := fields.get(field_name(each.key))) is not None)


def _logo(brand: str) -> str:
    version = branding.logo_version(brand)
    return f"{reverse('branding-logo', args=[brand])}?{version}" if version else ""


def _preview(request: HttpRequest) -> dict[str, Any]:
    view = _view(request)
    return {"view": view, "logo_address": reverse("branding-logo", args=[view.logo.brand]) if view.logo else ""}


def _render_preview(request: HttpRequest) -> HttpResponse:
    context = _preview(request)
    with translation.override(context["view"].language):
        return render(request, "display/state.html", context)


def _view(request: HttpRequest) -> DisplayView:
    """Make the display of the form as it is; what cannot be saved is left as it is in force."""
    numbers = range(1, identity.load().connectors + 1)
    keys = [BRANDING, LANGUAGE, HOTLINE, PHONE_ADDRESS, *map(evse_id_key, numbers), *map(label_key, numbers)]
    tried = {
        key: request.POST[field_name(key)].strip()[:_LONGEST_TRIED] for key in keys if field_name(key) in request.POST
    }
    tried |= {form.key: form.value for number in numbers if not (form := PriceForm(number, request.POST)).is_refused}
    if tried.get(LANGUAGE, configuration.get(LANGUAGE)) not in {"de", "en"}:
        # Where both take turns, whoever reads this page sees the display in the language of the page.
        tried[LANGUAGE] = translation.get_language() or "en"
    now = present.look(clock.now())
    sample = request.POST.get("sample", "")
    return driver_display.look(display_samples.show(sample, now), ChainMap(tried, dict(configuration.snapshot())))
