"""Finding out whether the database takes a write, and the disk keeps it."""

from django.db import transaction
from django.db.models import F

from station.models import BackendState


@transaction.atomic
def write() -> None:
    """Write something that changes nothing; raises DatabaseError."""
    BackendState.load()
    BackendState.objects.filter(id=1).update(changed_at=F("changed_at"))
