"""How long a signed-in session lives, and how many there may be."""

from datetime import datetime, timedelta

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


def begin(request: HttpRequest, user: User, *, at: datetime) -> None:
    """Sign in: a new session key, and the user's oldest sessions beyond the allowed number end."""
    backend = getattr(user, "backend", "django.contrib.auth.backends.ModelBackend")
    login(request, user, backend=backend)
    request.session[_STARTED] = request.session[_SEEN] = at.timestamp()
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


def _end_surplus(user: User, at: datetime) -> None:
    Session.objects.filter(expire_date__lt=at).delete()
    own = []
    for row in Session.objects.all():
        content = row.get_decoded()
        if content.get(SESSION_KEY) == str(user.pk) and BACKEND_SESSION_KEY in content:
            own.append((content.get(_STARTED, 0), row.session_key))
    surplus = [key for _, key in sorted(own, reverse=True)[MAXIMUM:]]
    Session.objects.filter(session_key__in=surplus).delete()
