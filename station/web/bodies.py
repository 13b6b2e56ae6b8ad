"""Whose large requests are read at all: asked before the body is, with nothing but its head."""

from django.conf import settings
from django.http import parse_cookie
from django.urls import Resolver404, resolve

from station import clock
from station.domain.roles import Role
from station.services import accounts
from station.web import access, login_sessions
from station.web.access import Row


def largest(path: str) -> int:
    """Return how many bytes may be sent to an address by whoever may use it."""
    row = _row(path)
    return row.largest_body if row is not None else access.SMALL_BODY_BYTES


def may_send(path: str, method: str, cookies: str) -> bool:
    """Return whether the sender is signed in and has the role that the address asks for."""
    row = _row(path)
    needed = row.needed(method) if row is not None else None
    if needed is None or needed is Role.STRANGER:
        return False
    user = login_sessions.user_of(parse_cookie(cookies).get(settings.SESSION_COOKIE_NAME, ""), at=clock.now())
    if user is None or accounts.profile_of(user).must_change_password:
        return False
    return accounts.role_of(user) >= needed


def _row(path: str) -> Row | None:
    try:
        return access.row_of(resolve(path).view_name)
    except Resolver404:
        return None
