"""What stands between a request and its view: own names only, a strict browser policy, sessions that end."""

import logging
from collections.abc import Callable
from datetime import datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django_htmx.http import HttpResponseClientRedirect

from station import clock
from station.domain.roles import Role
from station.host import web_certificate
from station.services import accounts
from station.ui import words
from station.web import access, display_listener, login_sessions, origins
from station.web.access import Row

logger = logging.getLogger(__name__)

GetResponse = Callable[[HttpRequest], HttpResponseBase]

_CONTENT_SECURITY_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def content_security_policy(*, connect_to: str) -> str:
    """Return the policy of a page that may ask one more origin, for instance the station's own new address."""
    return f"{_CONTENT_SECURITY_POLICY}; connect-src 'self' {connect_to}"


_PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()" for feature in ("camera", "geolocation", "microphone", "payment", "serial", "usb")
)
# A month: after a factory reset the certificate is self-made again.
_STRICT_S = 30 * 24 * 3600
_HEALTH_PATH = "/healthz"


class AllowedHosts:
    """Refuses requests under a foreign name (DNS rebinding), and sends plain HTTP to HTTPS where there is HTTPS."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        host = request.META.get("HTTP_HOST", "")
        if not origins.is_own_host(host, now_s=clock.monotonic_s()):
            return HttpResponse("This name or address does not belong to this station.\n", "text/plain", status=400)
        stays_plain = request.path == _HEALTH_PATH or display_listener.is_at_display(request)
        if settings.SERVES_HTTPS and not request.is_secure() and not stays_plain:
            return self._to_https(request, host)
        return self.get_response(request)

    @staticmethod
    def _to_https(request: HttpRequest, host: str) -> HttpResponse:
        name, _ = origins.split_host(host)
        place = f"[{name}]" if ":" in name else name
        port = origins.https_port()
        suffix = "" if port == 443 else f":{port}"  # noqa: PLR2004 - the port that https means
        response = HttpResponse(status=308)
        # A target without its slash would become a part of the name.
        response["Location"] = f"https://{place}{suffix}/{request.get_full_path().lstrip('/')}"
        return response


class ContentSecurityPolicy:
    """Lets pages load nothing but our own files, and keeps them out of every cache."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.setdefault("Content-Security-Policy", _CONTENT_SECURITY_POLICY)
        response["Permissions-Policy"] = _PERMISSIONS_POLICY
        response.setdefault("Cache-Control", "no-store")
        return response


class StrictTransport:
    """Keeps browsers at HTTPS, but only where they trust the certificate anyway.

    With a self-made one it would take away the exception that people made for it (RFC 6797 section 12.1), and for an
    address instead of a name it has no effect.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if request.is_secure() and web_certificate.is_from_an_authority(settings.DATA):
            name, _ = origins.split_host(request.META.get("HTTP_HOST", ""))
            if not _is_address(name):
                response["Strict-Transport-Security"] = f"max-age={_STRICT_S}"
        return response


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


class SessionRules:
    """Ends idle and old sessions, enforces the table of access, and insists on a password of one's own."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, _view: Callable[..., Any], _args: Any, _kwargs: Any
    ) -> HttpResponseBase | None:
        """Answer in the view's place where the rules say so."""
        at = clock.now()
        if isinstance(request.user, User) and login_sessions.has_ended(request.session, at=at):
            logout(request)
        name = request.resolver_match.view_name if request.resolver_match else ""
        row = access.row_of(name)
        if row is None:
            logger.error("%s stands in no row of station.web.access.TABLE, so nobody may use it", name)
            return self._refuse(request, None)
        needed = row.needed(request.method)
        if needed is None:
            return self._wrong_method(request, row)
        return self._check(request, row, needed, at)

    def _check(self, request: HttpRequest, row: Row, needed: Role, at: datetime) -> HttpResponseBase | None:
        if not isinstance(request.user, User):
            return self._to_login(request, row) if needed > Role.STRANGER else None
        if not row.passive:
            login_sessions.note_activity(request.session, at=at)
        if needed is Role.STRANGER:
            return None
        if not row.before_password_change and accounts.profile_of(request.user).must_change_password:
            return self._go(request, resolve_url("profile"))
        return None if accounts.role_of(request.user) >= needed else self._refuse(request, needed)

    def _refuse(self, request: HttpRequest, needed: Role | None) -> HttpResponseBase:
        if not isinstance(request.user, User):
            return self._to_login(request)
        context = {
            "needed": words.word(words.ROLES, needed.name) if needed is not None else "",
            "role": words.word(words.ROLES, accounts.role_of(request.user).name),
        }
        return render(request, "403.html", context, status=403)

    @staticmethod
    def _wrong_method(request: HttpRequest, row: Row) -> HttpResponseBase:
        response = render(request, "405.html", status=405)
        response["Allow"] = ", ".join(row.methods)
        return response

    def _to_login(self, request: HttpRequest, row: Row | None = None) -> HttpResponseBase:
        if request.headers.get("HX-Request"):
            return self._go(request, resolve_url(settings.LOGIN_URL))
        if request.method == "GET":
            return redirect_to_login(request.get_full_path())
        back = {"next": request.get_full_path()} if row is not None and "GET" in row.methods else {}
        return redirect(f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'ended': '1', **back})}")

    @staticmethod
    def _go(request: HttpRequest, url: str) -> HttpResponseBase:
        if request.headers.get("HX-Request"):
            return HttpResponseClientRedirect(url)
        return redirect(url)
