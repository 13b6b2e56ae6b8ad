"""The smallest valid cards, and the list at a glance."""

from typing import Any

from tests.db.whitelist.conftest import AT
from whitelist.models import Card, Source
from whitelist.normalise import key_of


def make(uid: str = "AA", **values: Any) -> Card:
    return Card.objects.create(**{"uid": uid, "key": key_of(uid), "changed_at": AT} | values)


def make_many(count: int, source: Source = Source.LOCAL) -> None:
    Card.objects.bulk_create(
        Card(uid=f"{index:08X}", key=f"{index:08x}", changed_at=AT, source=source) for index in range(count)
    )


def listed() -> dict[str, str]:
    """Return UID and source of every card that is present."""
    return dict(Card.objects.present().order_by("key").values_list("uid", "source"))
