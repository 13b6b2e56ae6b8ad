"""Network – Interfaces: the external interface, and the trial every change of it is on."""

import logging
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_interface
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from station import clock
from station.domain.network import (
    FIELDS,
    SERVICE_NETWORK,
    TRIAL_S,
    Family,
    Method,
    NetworkSettings,
    SettingsRefused,
    read,
    trimmed,
)
from station.host.ports import ExternalInterface, NetworkUnavailable, TrialIsOver
from station.services import network
from station.services.network import Trial, TrialState
from station.ui import format as formats
from station.ui import network_words
from station.web import middleware, origins, present
from station.web.requests import signed_in

logger = logging.getLogger(__name__)

_SAID_FOR = timedelta(days=1)
_LABELS = {
    "ipv4": {
        "address": gettext_lazy("Address"),
        "netmask": gettext_lazy("Netmask"),
        "gateway": gettext_lazy("Gateway"),
        "dns": gettext_lazy("DNS (primary)"),
    },
    "ipv6": {
        "address": gettext_lazy("Address"),
        "netmask": gettext_lazy("Prefix length"),
        "gateway": gettext_lazy("Gateway"),
        "dns": gettext_lazy("DNS (primary)"),
    },
}
_HELP = {
    "ipv4-netmask": gettext_lazy("255.255.255.0 or 24."),
    "ipv4-gateway": gettext_lazy("The router. May be empty when the station needs no way out here."),
    "ipv6-gateway": gettext_lazy("The router. May be empty when the station needs no way out here."),
    "ipv4-dns": gettext_lazy("Resolves names. May be empty."),
    "ipv6-dns": gettext_lazy("Resolves names. May be empty."),
}
# Translators: where the station's address comes from.
_ORIGIN_MANUAL = pgettext_lazy("where an address comes from", "Manual")
_ORIGIN_SHARED = pgettext_lazy("where an address comes from", "Shared")
_METHODS: dict[str, tuple[tuple[Method, "str | Promise", "str | Promise"], ...]] = {
    "ipv4": (
        (Method.AUTO, gettext_lazy("Auto (DHCP)"), gettext_lazy("The router gives the station its address.")),
        (Method.MANUAL, _ORIGIN_MANUAL, gettext_lazy("A fixed address.")),
        (
            Method.SHARED,
            _ORIGIN_SHARED,
            gettext_lazy(
                "The station is the DHCP server of this network and leads to the internet: one modem serves several "
                "stations. Without an address it takes 192.168.30.50."
            ),
        ),
    ),
    "ipv6": (
        (Method.AUTO, gettext_lazy("Auto (DHCP)"), gettext_lazy("The router gives the station its address.")),
        (Method.MANUAL, _ORIGIN_MANUAL, gettext_lazy("A fixed address.")),
    ),
}


@dataclass(frozen=True, kw_only=True)
class FieldView:
    """One text field."""

    name: str
    label: str
    value: str
    help: str
    example: str
    error: str
    is_shared: bool


@dataclass(frozen=True, kw_only=True)
class MethodView:
    """One method to choose."""

    value: str
    label: str
    help: str
    chosen: bool


@dataclass(frozen=True, kw_only=True)
class FamilyView:
    """The fields of IPv4 or IPv6."""

    name: str
    title: str
    methods: tuple[MethodView, ...]
    method_error: str
    fields: tuple[FieldView, ...]


@dataclass(frozen=True, kw_only=True)
class Link:
    """Where the station can be confirmed: the address, and the link with the ticket."""

    address: str
    url: str


@dataclass(frozen=True, kw_only=True)
class TrialView:
    """A change, as its page shows it."""

    state: str
    left_s: int
    ticket: str
    links: tuple[Link, ...]
    is_good_place: bool
    needs_look_up: bool
    mac: str
    moment: str
    detail: str
    probe: str


@require_http_methods(["GET", "POST"])
def interfaces(request: HttpRequest) -> HttpResponse:
    """Show what is set and what is in force; begin the trial of a change."""
    at = clock.now()
    trial = network.latest(at=at)
    if trial is not None and trial.is_open:
        if request.method == "POST":
            _tell_that_one_is_on_trial(request, trial)
        return _trial_page(request, trial)
    entered: dict[str, str] | None = None
    errors: dict[str, str] = {}
    refusal = ""
    if request.method == "POST":
        entered = {name: value for name, value in request.POST.items() if isinstance(value, str)}
        try:
            began = network.begin(read(entered), actor=signed_in(request).get_username(), at=at)
        except SettingsRefused as refused:
            errors = {each.field: network_words.problem(each) for each in reversed(refused.problems)}
        except network.TrialRuns:
            _tell_that_one_is_on_trial(request, network.latest(at=at))
            return redirect("interfaces")
        except NetworkUnavailable as unavailable:
            refusal = network_words.unavailable(unavailable.reason, unavailable.detail)
        else:
            if _was_trimmed(entered):
                messages.info(request, _("Blanks and commas that do not belong to an address were corrected."))
            if began is None:
                messages.info(request, _("Nothing was different."))
                return redirect("interfaces")
            _activate_soon(began.ticket)
            return _trial_page(request, began)
    return _page(request, trial, entered=entered, errors=errors, refusal=refusal)


def _page(
    request: HttpRequest, trial: Trial | None, *, entered: dict[str, str] | None, errors: dict[str, str], refusal: str
) -> HttpResponse:
    context: dict[str, Any] = {
        "ended": _trial_view(request, trial) if trial is not None and _is_news(trial, clock.now()) else None,
        "refusal": refusal,
        "is_refused": bool(errors),
        "seconds": TRIAL_S,
    }
    try:
        interface = network.external()
    except NetworkUnavailable as unavailable:
        context["unavailable"] = network_words.unavailable(unavailable.reason, unavailable.detail)
    else:
        shown = entered if entered is not None else _fields(interface.settings)
        context |= {
            "interface": interface,
            "lacks": interface.shared_lacks,
            "strayed": next(filter(_is_of_service_port, interface.addresses), ""),
            "never_default": shown.get("never-default") == "true",
            "families": [_family_view(family, interface, shown, errors) for family in Family],
        }
    status = 422 if errors or refusal else 200
    return render(request, "pages/network/interfaces.html", context, status=status)


def _is_news(trial: Trial, at: datetime) -> bool:
    """Return whether a change did not become what somebody wanted, not long ago."""
    return trial.state in {TrialState.TAKEN_BACK, TrialState.FAILED} and at - trial.at < _SAID_FOR


@require_GET
def trial(request: HttpRequest) -> HttpResponse:
    """Return how the change on trial stands, for the page that waits for it; nothing while it stands the same."""
    found = network.latest(at=clock.now())
    if found is None:
        return redirect("interfaces")
    if request.GET.get("state") == found.state:
        # A panel that is exchanged takes the keyboard's place in it along.
        return HttpResponse(status=204)
    return render(request, "components/network_trial.html", {"trial": _trial_view(request, found), "is_live": True})


@require_POST
def keep(request: HttpRequest) -> HttpResponse:
    """Confirm the change, by somebody who is logged in."""
    try:
        network.keep(request.POST.get("ticket", ""), reached_at=_reached_at(request), at=clock.now())
    except (TrialIsOver, network.NotInForce, network.ConfirmedFromOldPlace, NetworkUnavailable) as refusal:
        messages.error(request, _say(refusal))
    else:
        messages.success(request, _("The new network settings stay."))
    return redirect("interfaces")


@require_POST
def withdraw(request: HttpRequest) -> HttpResponse:
    """Put the old settings back at once."""
    try:
        network.withdraw(request.POST.get("ticket", ""), actor=signed_in(request).get_username(), at=clock.now())
    except (TrialIsOver, NetworkUnavailable) as refusal:
        messages.error(request, _say(refusal))
    else:
        messages.success(request, _("The old settings are in force again."))
    return redirect("interfaces")


@require_http_methods(["GET", "POST"])
def confirm(request: HttpRequest, ticket: str) -> HttpResponse:
    """Confirm the change at the new address, where nobody is logged in yet: the link is the proof."""
    at = clock.now()
    if request.method == "POST":
        try:
            network.keep(ticket, reached_at=_reached_at(request), at=at)
        except (TrialIsOver, network.NotInForce, network.ConfirmedFromOldPlace, NetworkUnavailable) as refusal:
            return _confirm_page(request, ticket, refusal=_say(refusal), status=409)
        messages.success(request, _("The new network settings stay."))
        return redirect("interfaces")
    found = network.latest(at=at)
    if found is None or found.ticket != ticket or not found.is_open:
        return _confirm_page(request, "", refusal=_say(TrialIsOver()), status=404)
    return _confirm_page(request, ticket, left_s=found.left_s(clock.monotonic_s()))


def _confirm_page(
    request: HttpRequest, ticket: str, *, left_s: int = 0, refusal: str = "", status: int = 200
) -> HttpResponse:
    context = {"ticket": ticket, "left_s": left_s, "refusal": refusal, "host": request.get_host()}
    return render(request, "pages/network/confirm.html", context, status=status)


def _activate_soon(ticket: str) -> None:
    # The page with the link has to be on its way before the interface goes down.
    timer = threading.Timer(network.DELAY_S, _activate, args=(ticket,))
    # Nothing waits for it: a process that ends before has changed nothing.
    timer.daemon = True
    timer.start()


def _activate(ticket: str) -> None:
    try:
        network.activate(ticket, at=clock.now())
    except Exception:
        logger.exception("the new network settings could not be put in force; the old ones come back by themselves")
    finally:
        connection.close()


def _tell_that_one_is_on_trial(request: HttpRequest, trial: Trial | None) -> None:
    """Say that what was entered is not what is on trial; pressing Save twice is no change of somebody else."""
    if trial is not None and trial.actor == signed_in(request).get_username() and _is_entered(request, trial):
        return
    messages.error(
        request,
        _(
            "Your change was not saved: another one is on trial. Wait until it is confirmed or taken back, then enter "
            "yours again."
        ),
    )


def _is_entered(request: HttpRequest, trial: Trial) -> bool:
    try:
        return read({name: value for name, value in request.POST.items() if isinstance(value, str)}) == trial.wanted
    except SettingsRefused:
        return False


def _trial_page(request: HttpRequest, found: Trial) -> HttpResponse:
    view = _trial_view(request, found)
    response = render(request, "pages/network/trial.html", {"trial": view, "simulated": settings.SIMULATE})
    if view.probe:
        # The page asks the new address whether the station is there already; nothing else may be asked elsewhere.
        response["Content-Security-Policy"] = middleware.content_security_policy(connect_to=view.probe)
    return response


def _trial_view(request: HttpRequest, found: Trial) -> TrialView:
    links = tuple(
        Link(address=address, url=f"{_origin(request, address)}{resolve_url('interfaces-confirm', found.ticket)}")
        for address in found.wanted.fixed_addresses
    )
    try:
        good, mac = network.is_good_place(found, _reached_at(request)), ""
        if found.is_open:
            mac = network.external().mac
    except NetworkUnavailable:
        good, mac = False, ""
    # An address that nobody moves to is not asked: on a desk it is a stranger's.
    stays = _reached_at(request) not in found.addresses_before or _reached_at(request) in found.wanted.fixed_addresses
    now = present.look(clock.now())
    return TrialView(
        state=found.state.value,
        left_s=found.left_s(clock.monotonic_s()),
        ticket=found.ticket,
        links=links,
        is_good_place=good or stays,
        needs_look_up=found.wanted.ipv4.method is Method.AUTO and not stays,
        mac=mac,
        moment=formats.moment(found.at, now.zone),
        detail=found.detail,
        probe=_origin(request, links[0].address) if links and not stays and found.is_open else "",
    )


def _origin(request: HttpRequest, address: str) -> str:
    place = f"[{address}]" if ip_address(address).version == 6 else address  # noqa: PLR2004 - IPv6
    _name, port = origins.split_host(request.get_host())
    return f"{request.scheme}://{place}" + (f":{port}" if port else "")


def _reached_at(request: HttpRequest) -> str:
    # Daphne tells the address of the socket here, not the name the browser asked for.
    return str(request.META.get("SERVER_NAME", ""))


def _say(refusal: Exception) -> str:
    match refusal:
        case network.NotInForce():
            return _("The new settings are not in force yet. Try again in two seconds.")
        case network.ConfirmedFromOldPlace():
            return _(
                "This page still comes from the old address. Open the station at its new address and confirm there."
            )
        case NetworkUnavailable():
            return network_words.unavailable(refusal.reason, refusal.detail)
        case _:
            return _("This change is not on trial any more. If nobody confirmed it in time, the old settings are back.")


def _is_of_service_port(address: str) -> bool:
    interface = ip_interface(address)
    return interface.version == SERVICE_NETWORK.version and interface.ip in SERVICE_NETWORK


def _was_trimmed(entered: dict[str, str]) -> bool:
    names = [f"{family}-{name}" for family in Family for name in FIELDS]
    return any(entered.get(name, "") != trimmed(entered.get(name, "")) for name in names)


def _fields(present_settings: NetworkSettings) -> dict[str, str]:
    """Return what is set, as the fields of the form have it."""
    fields = {"never-default": "true" if present_settings.never_default else ""}
    for family in Family:
        each = present_settings.family(family)
        interface = each.interface
        netmask = ""
        if interface is not None:
            netmask = str(interface.netmask) if family is Family.IPV4 else str(interface.network.prefixlen)
        fields |= {
            f"{family}-method": each.method.value,
            f"{family}-address": str(interface.ip) if interface is not None else "",
            f"{family}-netmask": netmask,
            f"{family}-gateway": str(each.gateway or ""),
            f"{family}-dns": str(each.dns or ""),
        }
    return fields


def _family_view(
    family: Family, interface: ExternalInterface, shown: dict[str, str], errors: dict[str, str]
) -> FamilyView:
    chosen = shown.get(f"{family}-method", "")
    offered = list(_METHODS[family])
    if interface.settings.family(family).method is Method.OTHER:
        raw = next((each.partition(": ")[2] for each in interface.raw_methods if each.startswith(family)), "")
        offered.insert(
            0, (Method.OTHER, _("As set on the computer (%(method)s)") % {"method": raw}, _("Stays as it is."))
        )
    return FamilyView(
        name=family.value,
        title="IPv4" if family is Family.IPV4 else "IPv6",
        methods=tuple(
            MethodView(value=value.value, label=str(label), help=str(text), chosen=value.value == chosen)
            for value, label, text in offered
        ),
        method_error=errors.get(f"{family}-method", ""),
        fields=tuple(
            FieldView(
                name=f"{family}-{name}",
                label=str(_LABELS[family][name]),
                value=shown.get(f"{family}-{name}", ""),
                help=str(_HELP.get(f"{family}-{name}", "")),
                example=network_words.EXAMPLES[f"{family}-{name}"],
                error=errors.get(f"{family}-{name}", ""),
                is_shared=name in {"address", "netmask"},
            )
            for name in FIELDS
        ),
    )
