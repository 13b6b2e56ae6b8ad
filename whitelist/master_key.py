"""The master key: the card that ships with the station and is in its whitelist ex works."""

from datetime import datetime

from django.db import transaction

from station.domain.authorization import AuthorizationStatus
from station.services import identity
from whitelist.models import MasterKeyNote, Source
from whitelist.normalise import key_of
from whitelist.table import Table, make_card


def ensure_master_key(at: datetime) -> bool:
    """Enter the identity's master key, once: deleted by somebody, it stays away. Return whether it was entered now."""
    uid = identity.load().master_key
    key = key_of(uid)
    if not uid or MasterKeyNote.objects.filter(key=key).exists():
        return False
    with transaction.atomic():
        MasterKeyNote.objects.update_or_create(id=1, defaults={"key": key, "entered_at": at})
        table = Table.read([key])
        if table.get(key) is not None:
            return False
        table.put(
            make_card(
                uid=uid,
                group="",
                expires_at=None,
                authorization=AuthorizationStatus.ACCEPTED.value,
                source=Source.LOCAL,
                at=at,
            )
        )
        table.write()
    return True
