"""Who is signed in where, as the profile and the page Accounts show it."""

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.http import HttpRequest

from station import clock
from station.services import configuration
from station.ui import browser_words
from station.ui import format as formats
from station.web import login_sessions


@dataclass(frozen=True, kw_only=True)
class SignInRow:
    """One line of the list."""

    id: str
    name: str
    browser: str
    address: str
    since: str
    seen: str
    is_own: bool


def rows(request: HttpRequest, user: User | None = None) -> list[SignInRow]:
    """Return the sign-ins of everybody, or of one user."""
    zone = configuration.zone()
    return [
        SignInRow(
            id=each.id,
            name=each.user.get_username(),
            browser=browser_words.browser(each.browser),
            address=each.address or formats.MISSING,
            since=formats.moment(each.started_at, zone),
            seen=formats.moment(each.seen_at, zone),
            is_own=each.is_own,
        )
        for each in login_sessions.listed(at=clock.now(), own_key=request.session.session_key, user=user)
    ]
