"""Network – Mobile: the modem, why it is not online, the data of the SIM card, the signal while mounting an antenna."""

from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from django.views.decorators.http import require_GET, require_http_methods

from station.domain.configuration import mobile_keys as keys
from station.domain.mobile import Cause, ModemStatus, cause, quality
from station.domain.mobile_providers import PROVIDERS
from station.host import mobile as modem
from station.host.dbus.bus import ServiceRefused
from station.services import mobile
from station.ui import computer_words, words
from station.ui import format as formats
from station.web.settings_form import Setting, SettingsForm, field_name

SETTINGS = (
    Setting(
        key=keys.PROVIDER,
        label=gettext_lazy("Provider"),
        help=gettext_lazy("With a provider of the list, access point, user name and password are known."),
        choices=(
            (keys.AUTOMATIC, pgettext_lazy("provider", "Automatic"), gettext_lazy("the SIM card tells")),
            (keys.CUSTOM, pgettext_lazy("provider", "Custom"), gettext_lazy("enter the APN yourself")),
            *((each.id, each.label, each.apn) for each in PROVIDERS),
        ),
        folded=True,
    ),
    Setting(
        key=keys.SERVICE_MODE,
        label=gettext_lazy("Service mode"),
        choices=(
            (keys.AUTOMATIC, pgettext_lazy("service mode", "Automatic"), ""),
            ("4g", gettext_lazy("4G (LTE) only"), ""),
            ("3g", gettext_lazy("3G (UMTS) only"), ""),
            ("2g", gettext_lazy("2G (GSM) only"), ""),
        ),
        folded=True,
    ),
    Setting(key=keys.APN, label="APN", example="internet.telekom", only_with=keys.CUSTOM),
    Setting(
        key=keys.PIN,
        label="PIN",
        help=gettext_lazy("Only for a SIM card that asks for it: 4 to 8 digits. It is sent once, when it is saved."),
        example="1234",
    ),
    Setting(
        key=keys.AUTHENTICATION,
        label=gettext_lazy("Authentication method"),
        choices=(
            ("chap", "CHAP", ""),
            ("pap", "PAP", ""),
            ("chap_or_pap", gettext_lazy("CHAP or PAP"), ""),
            ("none", pgettext_lazy("authentication method", "None"), ""),
        ),
        folded=True,
        only_with=keys.CUSTOM,
    ),
    Setting(key=keys.USER, label=gettext_lazy("User name"), only_with=keys.CUSTOM),
    Setting(key=keys.PASSWORD, label=gettext_lazy("Password"), only_with=keys.CUSTOM),
)


@dataclass(frozen=True, kw_only=True)
class ModemView:
    """The modem in words; without one, or with one that does not answer, `missing` says so."""

    missing: str = ""
    is_online: bool = False
    cause: str = ""
    advice: str = ""
    tries: str = ""
    signal: str = ""
    signal_word: str = ""
    signal_tone: str = ""
    signal_percent: int | None = None
    strength: str = ""
    sim: str = ""
    registration: str = ""
    operator: str = ""
    technology: str = ""
    manufacturer: str = ""
    model: str = ""
    imei: str = ""
    iccid: str = ""
    apn: str = ""


@require_http_methods(["GET", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """Show the modem and the data of its SIM card; take new ones."""
    form = SettingsForm(request, SETTINGS)
    if request.method == "POST" and form.save():
        if request.POST.get(field_name(keys.PIN)):
            # Entered by a person: it may be tried once more, even if it is the one that was refused.
            mobile.forget_refusal()
        _apply(request)
        return redirect("mobile")
    return render(
        request,
        "pages/network/mobile.html",
        {"form": form, "modem": _look()},
        status=422 if form.is_refused else 200,
    )


@require_GET
def live(request: HttpRequest) -> HttpResponse:
    """Return what the modem says now, for the page that shows it."""
    return render(request, "components/modem.html", {"modem": _look()})


@require_GET
def antenna(request: HttpRequest) -> HttpResponse:
    """Show the signal in a size that is read from a distance, and the best since the page was opened."""
    return render(request, "pages/network/antenna.html", _antenna(request))


@require_GET
def antenna_live(request: HttpRequest) -> HttpResponse:
    """Return the signal of this second."""
    return render(request, "components/antenna.html", _antenna(request))


def _antenna(request: HttpRequest) -> dict[str, object]:
    view = _look(often=True)
    asked = request.GET.get("best", "")
    before = int(asked) if asked.isascii() and asked.isdigit() and len(asked) <= len("100") else None
    seen = [value for value in (before, view.signal_percent) if value is not None]
    best = min(max(seen), 100) if seen else None
    return {"modem": view, "best": best, "best_words": formats.percent(best)}


def _apply(request: HttpRequest) -> None:
    try:
        status = mobile.follow(modem.for_settings())
    except ServiceRefused as refusal:
        messages.warning(
            request,
            _("The settings are saved, but the modem has not taken them over yet. %(reason)s")
            % {"reason": computer_words.refused(refusal)},
        )
        return
    why = cause(status, mobile.pin_record(status)) if status is not None else None
    if why in {Cause.PIN_WRONG, Cause.PIN_TOO_FEW_TRIES}:
        messages.error(request, " ".join(str(part) for part in computer_words.CAUSES[why]))


def _look(*, often: bool = False) -> ModemView:
    try:
        status = modem.for_settings().examine(often=often)
    except ServiceRefused as refusal:
        return ModemView(missing=computer_words.refused(refusal))
    if status is None:
        return ModemView(missing=_("No modem was found. A station that has one may take a minute after its start."))
    return _view(status)


def _view(status: ModemStatus) -> ModemView:
    why = cause(status, mobile.pin_record(status))
    what, advice = computer_words.CAUSES[why] if why is not None else ("", "")
    word = quality(status.signal)
    return ModemView(
        is_online=status.is_online,
        cause=str(what),
        advice=str(advice),
        tries="" if status.tries_left is None else str(status.tries_left),
        signal=formats.percent(status.signal),
        signal_word=words.word(computer_words.QUALITIES, word),
        signal_tone=computer_words.QUALITY_TONES[word],
        signal_percent=status.signal,
        strength="" if status.rsrp_dbm is None else f"{status.rsrp_dbm} dBm".replace("-", "−"),
        sim=words.word(computer_words.SIM_STATES, status.sim),
        registration=words.word(computer_words.REGISTRATIONS, status.registration),
        operator=status.operator or formats.MISSING,
        technology=status.technology or formats.MISSING,
        manufacturer=status.manufacturer or formats.MISSING,
        model=status.model or formats.MISSING,
        imei=status.imei or formats.MISSING,
        iccid=status.iccid or formats.MISSING,
        apn=mobile.profile().apn,
    )
