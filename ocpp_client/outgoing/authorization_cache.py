"""The authorization cache: what the backend last said about a card (OCPP 1.6 section 3.5.1)."""

from datetime import datetime
from typing import Any

from ocpp_client.ports import LocalList
from station.domain.authorization import AuthorizationStatus
from station.domain.id_tags import MAX_ID_TAG_LENGTH
from station.domain.moments import lenient_expiry
from station.models import CachedAuthorization
from station.services import configuration
from station.services.flushing import without_flush

MAX_ENTRIES = 1000
_STATUSES = frozenset(AuthorizationStatus)


def enabled() -> bool:
    """Return whether the cache is in use."""
    return configuration.get_bool("AuthorizationCacheEnabled")


# A power cut costs at most what the backend will be asked again.
@without_flush()
def note(id_tag: str, info: dict[str, Any], at: datetime, local_list: LocalList) -> None:
    """Remember an idTagInfo, unless the card stands in the local list (section 3.5.3) or the status is unknown."""
    status, parent = info.get("status"), info.get("parentIdTag")
    if not isinstance(status, str) or status not in _STATUSES or not enabled() or local_list.contains(id_tag):
        return
    if status == "ConcurrentTx":
        # It speaks of this moment, not of the card.
        status = "Accepted"
    CachedAuthorization.objects.update_or_create(
        id_tag=id_tag.casefold(),
        defaults={
            "status": status,
            "parent_id_tag": parent[:MAX_ID_TAG_LENGTH] if isinstance(parent, str) else "",
            # An expiry that is no date counts as none.
            "expires_at": lenient_expiry(info.get("expiryDate")),
            "updated_at": at,
        },
    )
    _evict()


def clear() -> bool:
    """Forget everything; return False where there is no cache (errata 3.23)."""
    if not enabled():
        return False
    CachedAuthorization.objects.all().delete()
    return True


def _evict() -> None:
    """Make room: refused cards first, then those not heard of for longest."""
    excess = CachedAuthorization.objects.count() - MAX_ENTRIES
    if excess <= 0:
        return
    refused = CachedAuthorization.objects.exclude(status="Accepted").order_by("updated_at")
    doomed = list(refused.values_list("id_tag", flat=True)[:excess])
    oldest = CachedAuthorization.objects.filter(status="Accepted").order_by("updated_at")
    doomed += oldest.values_list("id_tag", flat=True)[: excess - len(doomed)]
    CachedAuthorization.objects.filter(id_tag__in=doomed).delete()
