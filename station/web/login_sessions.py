"""How long a signed-in session lives, how many there may be, and who is signed in where."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, login
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.http import HttpRequest

IDLE_S = 15 * 60
ABSOLUTE_S = 12 * 3600
MAXIMUM = 5
# A stamp older than this is renewed; writing at every request would wear the flash memory.
_STAMP_KEPT_S = 30
_STARTED, _SEEN = "started_at_s", "seen_at_s"
_ADDRESS, _BROWSER = "address", "browser"
_LONGEST_BROWSER = 300


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """Somebody who is signed in. `id` names the session without opening it; `browser` is what it calls itself."""

    id: str
    user: User
    address: str
    browser: str
    started_at: datetime
    seen_at: datetime
    is_own: bool


def begin(request: HttpRequest, user: User, *, at: datetime) -> None:
    """Sign in: a new session key, and the user's oldest sessions beyond the allowed number end."""
    backend = getattr(user, "backend", "django.contrib.auth.backends.ModelBackend")
    login(request, user, backend=backend)
    request.session[_STARTED] = request.session[_SEEN] = at.timestamp()
    request.session[_ADDRESS] = request.META.get("REMOTE_ADDR", "")
    request.session[_BROWSER] = request.META.get("HTTP_USER_AGENT", "")[:_LONGEST_BROWSER]
    request.session.save()
    _end_surplus(user, at)


def has_ended(session: SessionBase, *, at: datetime) -> bool:
    """Return whether the session was idle for too long or is too old.

    A clock that was corrected by minutes ends no session; one set back further does, as it would prolong it.
    """
    now_s = at.timestamp()
    started_s, seen_s = session.get(_STARTED), session.get(_SEEN)
    if started_s is None or seen_s is None:
        return True
    return not (-IDLE_S < now_s - started_s < ABSOLUTE_S and -IDLE_S < now_s - seen_s < IDLE_S)


def note_activity(session: SessionBase, *, at: datetime) -> None:
    """Remember that the user did something."""
    if abs(at.timestamp() - session[_SEEN]) >= _STAMP_KEPT_S:
        session[_SEEN] = at.timestamp()


def shift(session: SessionBase, *, by: timedelta) -> None:
    """Let a session live on as before although the clock was set: its person has done that."""
    for stamp in (_STARTED, _SEEN):
        session[stamp] += by.total_seconds()


def user_of(session_key: str, *, at: datetime) -> User | None:
    """Find who a session belongs to now; None when it has ended, also by a password change elsewhere."""
    content = SessionStore(session_key or None)
    if SESSION_KEY not in content or has_ended(content, at=at):
        return None
    user = User.objects.filter(pk=content[SESSION_KEY], is_active=True).first()
    if user is None or content.get(HASH_SESSION_KEY) != user.get_session_auth_hash():
        return None
    return user


def listed(*, at: datetime, own_key: str | None, user: User | None = None) -> list[SignIn]:
    """Return who is signed in now (`user`: only this one), the last active first."""
    found = (_sign_in(key, at, own_key) for key in _keys())
    wanted = [each for each in found if each is not None and user in (None, each.user)]
    return sorted(wanted, key=lambda each: each.seen_at, reverse=True)


def end(sign_in: SignIn) -> None:
    """Sign somebody out."""
    Session.objects.filter(session_key__in=[key for key in _keys() if _name(key) == sign_in.id]).delete()


def _keys() -> Iterator[str]:
    yield from Session.objects.values_list("session_key", flat=True)


def _name(session_key: str) -> str:
    # The key itself opens the session; it is shown to nobody.
    return hashlib.sha256(session_key.encode()).hexdigest()[:16]


def _sign_in(key: str, at: datetime, own_key: str | None) -> SignIn | None:
    user = user_of(key, at=at)
    if user is None:
        return None
    content = SessionStore(key)
    return SignIn(
        id=_name(key),
        user=user,
        address=content.get(_ADDRESS, ""),
        browser=content.get(_BROWSER, ""),
        started_at=datetime.fromtimestamp(content[_STARTED], UTC),
        seen_at=datetime.fromtimestamp(content[_SEEN], UTC),
        is_own=key == own_key,
    )


def _end_surplus(user: User, at: datetime) -> None:
    Session.objects.filter(expire_date__lt=at).delete()
    own = []
    for row in Session.objects.all():
        content = row.get_decoded()
        if content.get(SESSION_KEY) == str(user.pk) and BACKEND_SESSION_KEY in content:
            own.append((content.get(_STARTED, 0), row.session_key))
    surplus = [key for _, key in sorted(own, reverse=True)[MAXIMUM:]]
    Session.objects.filter(session_key__in=surplus).delete()
