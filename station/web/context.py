"""What every page's frame shows: menu, user menu, language."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import get_language

from station import clock
from station.host import factory_file
from station.services import accounts, configuration, database_file, identity, provisioning, secret_storage
from station.ui import provisioning_words, words
from station.web import access, banners, menu, overall, present


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Return the frame's view model; people who are not signed in get the language switch only."""
    frame: dict[str, Any] = {"languages": settings.LANGUAGES, "language": get_language()}
    user = getattr(request, "user", None)
    match = request.resolver_match
    if not isinstance(user, User) or match is None or match.namespace == "admin":
        return frame
    profile = accounts.profile_of(user)
    frame["profile"] = profile
    frame["station_name"] = configuration.get("/ocpp/chargeBoxIdentity")
    frame["suggest_own_password"] = accounts.should_suggest_own_password(profile) and match.view_name != "profile"
    if not profile.must_change_password:
        frame["station_notices"] = list(_station_notices())
        role = accounts.role_of(user)
        if role >= access.LIVE:
            now = present.look(clock.now())
            frame |= {"overall": overall.look(now, role), "data_at": now.local_time, "live_page": match.view_name}
            frame["vendor_access"] = banners.vendor_access(role)
        frame["menu"] = [
            {
                "label": section.label,
                "pages": [
                    {
                        "label": page.label,
                        "icon": page.icon,
                        "url": reverse(page.url_name),
                        "current": f"{match.view_name}-".startswith(f"{page.url_name}-"),
                    }
                    for page in section.pages
                ],
            }
            for section in menu.sections(role, expert=profile.expert)
        ]
        frame["may_restart"] = access.may(role, "restart", "POST")
    return frame


def _station_notices() -> Iterator[str]:
    """Tell what somebody has to see to, on every page."""
    if lost := secret_storage.lost():
        yield words.secrets_lost(lost)
    if damage := identity.broken():
        yield words.identity_damaged(damage, is_missing=isinstance(damage, identity.IdentityFileMissing))
    if files := database_file.aside(settings.DATA):
        yield words.database_set_aside(files)
    is_left = factory_file.is_left(settings.DATA)
    if mistakes := provisioning.refused_at_this_start():
        yield provisioning_words.refused_at_the_start(((each.code, each.data) for each in mistakes), is_left=is_left)
    elif is_left:
        yield str(provisioning_words.LEFT_BEHIND)
