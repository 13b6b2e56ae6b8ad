"""Communication – OCPP: server, chargebox ID, authorization key, the certificates the server is checked by."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from cryptography import x509
from cryptography.x509.oid import NameOID
from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from station import clock
from station.domain.configuration import InvalidValue
from station.domain.configuration.checks import TRUST_PLAIN_LINK
from station.host.logs import mask_secrets
from station.models import TrustedCertificate
from station.services import accounts, backend_ca, configuration, operator_profiles
from station.services.messages import CheckBackend, send_to_ocpp_sync
from station.services.operator_profiles import OperatorProfile, Profiles
from station.ui import format as formats
from station.ui import problems
from station.web import access, backend_trials, facts, ladder_view, present
from station.web.requests import signed_in
from station.web.settings_form import Setting, SettingsForm

# A chain of certificates; whatever is larger is none.
_LARGEST_PEM = 100_000
_KEY = "AuthorizationKey"
SETTINGS = (
    Setting(
        key="/ocpp/serverVendor",
        label=gettext_lazy("Server vendor"),
        help=gettext_lazy("A note for people, as the next field: neither changes what the station does."),
    ),
    Setting(
        key="/ocpp/serverProfile",
        label=gettext_lazy("Server profile"),
        example="Production",
    ),
    Setting(
        key="/ocpp/url",
        label=gettext_lazy("Server (URL)"),
        help=gettext_lazy("The station appends its chargebox ID, unless the address contains ${chargeBoxIdentity}."),
        example="wss://backend.example.com/ocpp",
    ),
    Setting(
        key="SecurityProfile",
        label=gettext_lazy("Security of the connection"),
        choices=(
            ("0", gettext_lazy("None"), gettext_lazy("The station does not show who it is.")),
            ("1", gettext_lazy("Authorization key"), gettext_lazy("Basic authentication; encrypted only with wss://.")),
            ("2", gettext_lazy("Authorization key over TLS"), gettext_lazy("The server's certificate is checked.")),
            (
                "3",
                gettext_lazy("Certificates on both sides"),
                gettext_lazy("The station shows one of its own."),
            ),
        ),
    ),
    Setting(
        key=_KEY,
        label=gettext_lazy("Authorization key"),
        help=gettext_lazy("The password of the station at the server: 16 to 40 characters."),
    ),
    Setting(
        key="/ocpp/chargeBoxIdentity",
        label=gettext_lazy("Chargebox ID (template)"),
        help=gettext_lazy("${serial} stands for the serial number."),
        example="TE${serial}",
        is_template=True,
    ),
    Setting(
        key="/ocpp/verifyHostname",
        label=gettext_lazy("Check the name in the server's certificate"),
        warning=gettext_lazy("Without this check anybody with a certificate of the same CA can play the server."),
        expert=True,
    ),
    Setting(
        key=TRUST_PLAIN_LINK,
        label=gettext_lazy("Trust the server although the connection is not proven"),
        warning=gettext_lazy(
            "Whoever listens in can take the station over: set its password, open vendor access, send it to another "
            "server. Only for closed mobile networks whose operator vouches for them."
        ),
        expert=True,
    ),
)


class CertificateForm(forms.Form):
    """A PEM file."""

    pem = forms.FileField()


@dataclass(frozen=True, kw_only=True)
class CertificateView:
    """A CA certificate in words."""

    id: int
    name: str
    issuer: str
    begin: str
    end: str
    fingerprint: str
    problem: str


@require_http_methods(["GET", "POST"])
def ocpp(request: HttpRequest) -> HttpResponse:
    """Show the connection and its settings; try new ones before they are saved, or save them untried."""
    profiles, draft = operator_profiles.load(), backend_trials.settings(request)
    chosen = _chosen(request, profiles, draft)
    locked = chosen.settings if chosen is not None else {}
    form = SettingsForm(request, SETTINGS, locked=locked) if _may_change(request) else None
    if request.method == "POST" and form is not None and _take(request, form, is_custom=chosen is None):
        return redirect("ocpp-trial" if backend_trials.current(request) else "ocpp")
    if form is not None and request.method == "GET" and draft:
        form.show(draft)
    now = present.look(clock.now())
    return render(
        request,
        "pages/communication/ocpp.html",
        {
            "form": form,
            "connection": facts.connections(now)[1],
            "ladder": ladder_view.of_connection(now),
            "last_failure": ladder_view.last_failure(now),
            "may_change": form is not None,
            "operators": _operators(profiles, chosen),
            "operator": chosen.id if chosen is not None else operator_profiles.CUSTOM,
            "ca_hint": chosen.ca_hint if chosen is not None else "",
            "unusable": profiles.unusable,
            "station_serial": configuration.get("/identity/serial"),
            "chargebox_id": configuration.get("/ocpp/chargeBoxIdentity"),
            "address": mask_secrets(now.backend.url if now.backend else configuration.get("/ocpp/url")),
            "certificates": [_view(row, now.at, now.zone) for row in backend_ca.installed()],
        },
        status=422 if form is not None and form.is_refused else 200,
    )


def _chosen(request: HttpRequest, profiles: Profiles, draft: Mapping[str, str]) -> OperatorProfile | None:
    """Return the operator that was chosen on the page, of the draft, or else the one in force; None: custom."""
    if request.method == "POST":
        return profiles.find(request.POST.get("operator", operator_profiles.CUSTOM))
    asked = request.GET.get("operator")
    if asked is not None:
        return profiles.find(asked)
    return profiles.after(draft) if draft else profiles.in_force()


def _operators(profiles: Profiles, chosen: OperatorProfile | None) -> list[tuple[str, str, bool]]:
    """Return what the list of operators offers: id, name, whether it is chosen."""
    named = {operator_profiles.FACTORY: _("Factory settings (no server)"), operator_profiles.DEMO: _("Demo backend")}
    offered = [(each.id, named.get(each.id, each.name), each is chosen) for each in profiles.usable]
    return [(operator_profiles.CUSTOM, _("(custom)"), chosen is None), *offered]


@require_POST
def check(request: HttpRequest) -> HttpResponse:
    """Have the way to the backend looked at."""
    if send_to_ocpp_sync(CheckBackend()):
        messages.info(request, _("The way to the server is being looked at."))
    else:
        messages.error(request, _("The OCPP client does not answer. Restart the daemon (menu at the top right)."))
    return redirect("ocpp")


def _may_change(request: HttpRequest) -> bool:
    return access.may(accounts.role_of(signed_in(request)), "ocpp", "POST")


def _take(request: HttpRequest, form: SettingsForm, *, is_custom: bool) -> bool:
    """Save what was entered or have it tried; return False where something was refused."""
    if request.POST.get("action") != "check":
        backend_trials.forget(request)
        return form.save()
    wanted = form.check()
    if wanted is None:
        return False
    kept_key = backend_trials.settings(request).get(_KEY)
    if kept_key and _KEY not in wanted:
        # Entered for the trial before this one; a field of a secret begins empty.
        wanted[_KEY] = kept_key
    if not configuration.proposed(wanted)["/ocpp/url"]:
        if is_custom and configuration.get("/ocpp/url"):
            # An emptied field would end the connection that works, although this was to try what replaces it.
            form.refuse(
                _(
                    "There is no address to check. Enter one, for example wss://backend.example.com/ocpp; to do "
                    "without a server, press “Save without checking”."
                )
            )
            return False
        backend_trials.forget(request)
        return form.save()
    backend_trials.begin(request, wanted, at=clock.now())
    return True


@require_POST
def add_certificate(request: HttpRequest) -> HttpResponse:
    """Install the certificates of a file."""
    form = CertificateForm(request.POST, request.FILES)
    if not form.is_valid() or form.cleaned_data["pem"].size > _LARGEST_PEM:
        messages.error(request, problems.say("no_certificate", {}))
        return redirect("ocpp")
    try:
        added = backend_ca.install(form.cleaned_data["pem"].read(), at=clock.now(), actor=_actor(request))
    except InvalidValue as refusal:
        messages.error(request, problems.say(refusal.code, refusal.data))
    else:
        for row in added:
            messages.success(request, _("Added: %(name)s") % {"name": _name(row.subject)})
    return redirect("ocpp")


@require_POST
def remove_certificate(request: HttpRequest, row_id: int) -> HttpResponse:
    """Trust a certificate no longer."""
    removed = backend_ca.remove(row_id, at=clock.now(), actor=_actor(request))
    if removed is None:
        raise Http404
    messages.success(request, _("Removed: %(name)s") % {"name": _name(removed)})
    return redirect("ocpp")


def _actor(request: HttpRequest) -> str:
    return signed_in(request).get_username()


def _view(row: TrustedCertificate, now: datetime, zone: ZoneInfo) -> CertificateView:
    problem = ""
    if row.not_after <= now:
        problem = _("expired")
    elif row.not_before > now:
        problem = _("not valid yet")
    elif row.from_unproven_link:
        problem = _("sent over an unproven connection")
    pairs = [row.fingerprint[at : at + 2].upper() for at in range(0, len(row.fingerprint), 2)]
    return CertificateView(
        id=row.pk,
        name=_name(row.subject),
        issuer=_name(row.issuer),
        begin=formats.moment(row.not_before, zone),
        end=formats.moment(row.not_after, zone),
        fingerprint=":".join(pairs),
        problem=problem,
    )


def _name(distinguished: str) -> str:
    """Return the common name, or else everything."""
    try:
        name = x509.Name.from_rfc4514_string(distinguished)
    except ValueError:
        return distinguished
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else distinguished
