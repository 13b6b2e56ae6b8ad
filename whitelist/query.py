"""Everything the decision about a card depends on, read from the database."""

from datetime import datetime

from station.domain.authorization import (
    Authenticator,
    AuthorizationQuery,
    AuthorizationStatus,
    Entry,
    IdentificationMode,
)
from station.models import BackendState, CachedAuthorization
from station.services import configuration
from whitelist import lookup


def collect_query(id_tag: str, now: datetime) -> AuthorizationQuery:
    """Read everything the decision depends on.

    Whether the backend is reachable is asked of the database: a Redis that has just come back knows nothing yet, and a
    driver must not be refused for that (the control loop doubts it only once the snapshot of the link has expired).
    """
    url, identity = configuration.get("/ocpp/url"), configuration.get("/ocpp/chargeBoxIdentity")
    backend = BackendState.load()
    cached = CachedAuthorization.objects.filter(id_tag=id_tag.casefold()).first()
    # The manuals' rule for the cache key is a compatibility matter; the standard keeps list and cache apart.
    return AuthorizationQuery(
        id_tag=id_tag,
        now=now,
        mode=IdentificationMode(configuration.get("/auth/identification")),
        authenticator=Authenticator(configuration.get("/auth/authenticator")),
        backend_configured=bool(url),
        online=backend.connected,
        ever_accepted=backend.accepted_by == f"{url} {identity}",
        local_list_enabled=configuration.get_bool("LocalAuthListEnabled"),
        cache_enabled=configuration.get_bool("AuthorizationCacheEnabled"),
        local_pre_authorize=configuration.get_bool("LocalPreAuthorize"),
        local_authorize_offline=configuration.get_bool("LocalAuthorizeOffline"),
        allow_offline_unknown=configuration.get_bool("AllowOfflineTxForUnknownId"),
        list_entry=lookup.find(id_tag),
        cache_entry=_entry(cached),
        dummy_id=configuration.get("/hw/auth/device/Dummy/id/value"),
        pays_first=configuration.get("PreAuthorize") != "",
    )


def _entry(cached: CachedAuthorization | None) -> Entry | None:
    if cached is None:
        return None
    return Entry(
        status=AuthorizationStatus(cached.status),
        expires_at=cached.expires_at,
        parent_id_tag=cached.parent_id_tag or None,
    )
