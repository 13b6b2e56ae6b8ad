"""Factory settings: what somebody orders at the page, and what the next start carries out before anything else runs.

The order is a file: nothing is deleted while processes write, and a reset that is interrupted is repeated from its
beginning at the next start. The identity and what production wrote stay, and what must not vanish by law or contract
(reference/security.md, section 2.4): the security log, the grid operator's interventions, signed meter values, and
messages of charging sessions that the backend has not got, unless somebody has decided to drop them.
"""

import json
import logging
import os
import shutil
from dataclasses import asdict, dataclass
from datetime import datetime

from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models, transaction
from django.db.models import Q, QuerySet

from station import private_files
from station.domain.commands import Origin, Status
from station.domain.file_jobs import Kind, Step
from station.models import (
    AuditEntry,
    ChargingSession,
    DimmingIntervention,
    FileJob,
    MeterSample,
    OutboxMessage,
    SecurityEvent,
)
from station.models.backend import OutboxStatus
from station.paths import DataDirectory
from station.services import branding, configuration, secret_storage, security_log, signed_archive
from station.services.signed_archive import ArchiveUnusable

COMMAND = "FactoryReset"
_EVENT = "LocalFactoryReset"
# The roles and what Django makes with its tables; the security log survives everything.
# What the grid operator has ordered has to be proved for two years, whoever owns the station then.
_KEPT_TABLES = {ContentType, Permission, Group, Group.permissions.through, SecurityEvent, DimmingIntervention}
# The system software is not a setting: the version that runs stays, and so does the way back.
_KEPT_FILES = {"slots"}
logger = logging.getLogger(__name__)


class SomebodyIsCharging(Exception):
    """A session is running, whose record would be lost."""


class UpdateIsBeingInstalled(Exception):
    """New system software is being written or has its first start."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """Who ordered the reset and when; `keep_messages`: what the backend has not got goes to the next one set up."""

    at: str
    actor: str
    keep_messages: bool


def undelivered() -> int:
    """Count the messages of charging sessions that no backend has got, those set aside included."""
    return OutboxMessage.objects.exclude(status=OutboxStatus.DELIVERED).count()


def order(*, keep_messages: bool, actor: str, at: datetime) -> None:
    """Let the next start reset the station. Raises `SomebodyIsCharging`, `UpdateIsBeingInstalled` or OSError."""
    if ChargingSession.objects.running().exists():
        raise SomebodyIsCharging
    steps = (Step.INSTALLING, Step.REBOOTING)
    if FileJob.objects.filter(kind__in=Kind.FIRMWARE.rivals, step__in=steps, finished_at=None).exists():
        raise UpdateIsBeingInstalled
    content = asdict(Order(at=at.isoformat(), actor=actor, keep_messages=keep_messages))
    private_files.write(settings.DATA.factory_reset, json.dumps(content).encode())


def withdraw() -> None:
    """Forget the order: the station could not be restarted."""
    settings.DATA.factory_reset.unlink(missing_ok=True)


def carry_out(data: DataDirectory) -> None:
    """Do what was ordered, if anything was; for a start, while no other process runs.

    The order goes last. Raises OSError or DatabaseError when the disk is full; then it is still there.
    """
    ordered = _read(data)
    if ordered is None:
        return
    at = datetime.fromisoformat(ordered.at)
    logger.warning("factory reset, ordered by %s at %s", ordered.actor, ordered.at)
    _delete_files(data)
    with transaction.atomic():
        configuration.reset_to_factory(origin=Origin.WEB, actor=ordered.actor, at=at)
        left = _delete_rows(keep_messages=ordered.keep_messages)
        AuditEntry.objects.create(
            at=at,
            origin=Origin.WEB.value,
            actor=ordered.actor,
            command=COMMAND,
            data={"messages_kept": left},
            outcome=Status.ACCEPTED.value,
        )
        if not SecurityEvent.objects.filter(type=_EVENT, at=at).exists():
            security_log.record(_EVENT, at=at, tech_info=f"user {ordered.actor}")
    _note_in_archive(at)
    # What was deleted must be readable neither in free pages nor in a copy of the old ones.
    secret_storage.rotate()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data.factory_reset.unlink()
    private_files.flush_directory(data.root)


def _note_in_archive(at: datetime) -> None:
    """Keep that no damage brings the sessions so far back, but for those that are still to be told."""
    if not settings.DATA.signed_archive.exists():
        return
    owed = OutboxMessage.objects.exclude(status=OutboxStatus.DELIVERED).exclude(session=None)
    left = ChargingSession.objects.filter(id__in=owed.values("session")).exclude(signed_begin=None)
    facts = {"reset": True, "left": list(left.values_list("signed_begin", flat=True))}
    try:
        signed_archive.note_told(at, connector_id=0, begin_number=None, facts=facts)
    except ArchiveUnusable:
        logger.exception("the factory reset is not noted in the archive of signed meter data")


def _read(data: DataDirectory) -> Order | None:
    try:
        return Order(**json.loads(private_files.read(data.factory_reset)))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        # Nobody but `order` writes it, and at once: what is not readable is no order.
        logger.exception("an unreadable order of a factory reset is set aside")
        private_files.set_aside(data.factory_reset)
        return None


def _delete_rows(*, keep_messages: bool) -> int:
    """Empty every table but for what is kept; return how many messages that are."""
    messages: QuerySet[OutboxMessage] = OutboxMessage.objects.none()
    # Calibration law: what a meter has signed is not the station's to delete.
    kept = Q(pk__in=MeterSample.objects.filter(signed__isnull=False).values("session_id"))
    if keep_messages:
        messages = OutboxMessage.objects.exclude(status=OutboxStatus.DELIVERED)
        kept |= Q(pk__in=messages.exclude(session=None).values("session_id")) | Q(stopped_at=None)
    kept_messages = set(messages.values_list("pk", flat=True))
    kept_sessions = set(ChargingSession.objects.filter(kept).values_list("pk", flat=True))
    for model in apps.get_models(include_auto_created=True):
        if model in _KEPT_TABLES:
            continue
        if model is OutboxMessage:
            _delete(model, "id", kept_messages)
        elif model is ChargingSession:
            _delete(model, "id", kept_sessions)
        elif model is MeterSample:
            _delete(model, "session_id", kept_sessions)
        else:
            _delete(model, "id", set())
    return len(kept_messages)


def _delete(model: type[models.Model], column: str, kept: set[int]) -> None:
    """Delete a table's rows but the kept ones; references are checked at the end of the transaction only."""
    table = connection.ops.quote_name(model._meta.db_table)  # noqa: SLF001 - Django's documented API
    if not kept:
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608 - a name of our own
        return
    present = set(model._base_manager.values_list(column, flat=True))  # noqa: SLF001 - as above
    with connection.cursor() as cursor:
        cursor.executemany(f"DELETE FROM {table} WHERE {column} = %s", [(key,) for key in present - kept])  # noqa: S608


def _delete_files(data: DataDirectory) -> None:
    # The computer's own service keeps the settings of the network, and may not be there yet.
    private_files.write(data.network_reset, b"")
    of_people = (
        data.database_before,
        data.database_changing,
        data.database_later,
        data.network_trial,
        data.provisioning_refused,
        data.pin_attempt,
        data.cluster_password,
        data.cluster_epoch,
        data.cluster_other_master,
        *(data.logo(brand) for brand in branding.BRANDS),
    )
    for path in (*data.files.iterdir(), *data.certificates.iterdir(), *data.root.glob("*.broken-*"), *of_people):
        if path.name in _KEPT_FILES:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for path in data.logs.iterdir():
        if path.suffix == ".log":
            # Other processes go on writing into it.
            os.truncate(path, 0)
        elif path.is_file() or path.is_symlink():
            path.unlink(missing_ok=True)
