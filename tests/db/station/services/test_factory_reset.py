"""The factory reset: attack scenario 31 of reference/security.md, and what law and contract want kept."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection

from station import host as station_host
from station.domain.commands import Origin
from station.domain.file_jobs import Kind, Step
from station.domain.network import NetworkSettings
from station.domain.roles import Role
from station.host.ports import NetworkUnavailable
from station.models import (
    AuditEntry,
    ChargingSession,
    ConfigurationValue,
    FileJob,
    LogEntry,
    MeterSample,
    OutboxMessage,
    SecurityEvent,
)
from station.models.backend import OutboxStatus
from station.paths import DataDirectory
from station.services import (
    accounts,
    configuration,
    event_log,
    factory_reset,
    identity,
    network,
    secret_storage,
    session_rebuilding,
    signed_archive,
)
from station.services.factory_reset import SomebodyIsCharging, UpdateIsBeingInstalled
from station.services.signed_archive import Entry
from tests.ocmf import RecordSigner
from whitelist.models import Card

pytestmark = pytest.mark.django_db(transaction=True)
AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
CANARY = "canary-of-the-old-owner"


class PowerOff(BaseException):
    """The power goes at this moment."""


def session(number: int, *, running: bool = False, **changes: object) -> ChargingSession:
    values = {
        "connector_id": 1,
        "id_tag": f"{CANARY[:14]}{number}",
        "started_at": AT,
        "meter_start_wh": 0,
        "meter_last_wh": 10,
        "meter_last_at": AT,
        "stopped_at": None if running else AT + timedelta(hours=1),
    }
    return ChargingSession.objects.create(**(values | changes))


def message(of: ChargingSession | None, status: str = OutboxStatus.PENDING) -> OutboxMessage:
    number = OutboxMessage.objects.count()
    return OutboxMessage.objects.create(
        message_id=f"m{number}", kind="session_ended", fact={}, session=of, at=AT, status=status
    )


@pytest.fixture
def used(data: DataDirectory) -> DataDirectory:
    """Return the directory of a station that somebody has used."""
    identity.save(identity.Identity(serial="4711", production_date="2025-09", factory_password_hash="!"))
    user = accounts.ensure_admin(at=AT)
    accounts.set_password(user, "four unrelated words here", origin=Origin.WEB, at=AT)
    accounts.make_user("anna", "violet harbour spoon thirteen", Role.OPERATOR, origin=Origin.LOCAL, at=AT)
    values = {"/ocpp/url": f"wss://{CANARY}.example/", "AuthorizationKey": f"{CANARY}-key"}
    configuration.change(values, origin=Origin.LOCAL, actor="test", at=AT)
    Card.objects.create(uid=CANARY[:20], key=CANARY[:20], changed_at=AT)
    event_log.log("start.refused", at=AT, id_tag=CANARY)
    for place in (data.logs / "web.log", data.logs / "web.log.1.gz", data.certificates / "known_hosts"):
        place.write_text(CANARY)
    (data.files / "archives").mkdir()
    (data.files / "archives" / "4711.tar.gz").write_text(CANARY)
    (data.files / "slots").mkdir()
    (data.files / "slots" / "state.json").write_text("{}")
    for place in (data.root / "station.sqlite3.broken-1", data.network_trial, data.logo("operator"), data.pin_attempt):
        place.write_text(CANARY)
    return data


def order(*, keep: bool = True) -> None:
    factory_reset.order(keep_messages=keep, actor="admin", at=AT)


def files_with(root: Path, text: str) -> list[str]:
    return [str(path) for path in root.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_nothing_of_the_old_owner_is_left_behind(used: DataDirectory):
    message(session(1), OutboxStatus.DELIVERED)
    key = used.storage_key.read_bytes()
    order()

    factory_reset.carry_out(used)

    assert files_with(used.root, CANARY) == []
    assert not ConfigurationValue.objects.exists()
    assert not Card.objects.exists()
    assert not ChargingSession.objects.exists()
    assert not LogEntry.objects.exists()
    assert not User.objects.exists()
    assert used.storage_key.read_bytes() != key
    assert configuration.get("/ocpp/url") == ""
    assert not used.factory_reset.exists()


@pytest.mark.parametrize("keep", [True, False])
def test_what_was_forgotten_does_not_come_back_with_the_next_damage(used: DataDirectory, *, keep: bool):
    meter, owed, told = RecordSigner(), session(1), session(2)
    for row in (owed, told):
        begin, end = meter.pair(first=2 * row.pk)
        facts = {"id_tag": CANARY[:20], "message": f"{row.pk}"}
        common: dict[str, Any] = {
            "at": AT,
            "connector_id": row.connector_id,
            "meter_serial": "M1",
            "public_key": meter.public_key,
        }
        number = signed_archive.append(Entry(kind=signed_archive.Kind.BEGIN, raw=begin, facts=facts, **common)).number
        signed_archive.append(Entry(kind=signed_archive.Kind.END, raw=end, begin_number=number, **common))
        ChargingSession.objects.filter(pk=row.pk).update(signed_begin=number)
    message(owed)
    message(told, OutboxStatus.DELIVERED)
    order(keep=keep)

    factory_reset.carry_out(used)

    OutboxMessage.objects.all().delete()
    ChargingSession.objects.all().delete()
    session_rebuilding.rebuild()
    rebuilt = ChargingSession.objects.values_list("connector_id", flat=True)
    assert list(rebuilt) == ([1] if keep else [])


def test_identity_software_and_security_log_stay_and_say_who_it_was(used: DataDirectory):
    before = set(SecurityEvent.objects.values_list("pk", flat=True))
    order()

    factory_reset.carry_out(used)

    assert identity.load().serial == "4711"
    assert (used.files / "slots" / "state.json").exists()
    assert before < set(SecurityEvent.objects.values_list("pk", flat=True))
    assert SecurityEvent.objects.get(type="LocalFactoryReset").tech_info == "user admin"
    entry = AuditEntry.objects.get()
    assert (entry.command, entry.actor, entry.origin) == ("FactoryReset", "admin", "web")
    admin = accounts.ensure_admin(at=AT)
    assert admin.password == "!"


def test_messages_nobody_has_got_stay_with_their_sessions_or_go_as_decided(used: DataDirectory):
    owed, told = session(1), session(2)
    waiting, aside = message(owed), message(owed, OutboxStatus.SET_ASIDE)
    message(told, OutboxStatus.DELIVERED)
    MeterSample.objects.create(session=owed, at=AT, context="Sample.Periodic", quantities={})
    MeterSample.objects.create(session=told, at=AT, context="Sample.Periodic", quantities={})
    assert factory_reset.undelivered() == 2
    order()

    factory_reset.carry_out(used)

    assert set(OutboxMessage.objects.values_list("pk", flat=True)) == {waiting.pk, aside.pk}
    assert ChargingSession.objects.get().pk == owed.pk
    assert MeterSample.objects.get().session_id == owed.pk
    order(keep=False)
    factory_reset.carry_out(used)
    assert not OutboxMessage.objects.exists()
    assert not ChargingSession.objects.exists()


def test_what_a_meter_has_signed_stays_even_when_its_message_goes(used: DataDirectory):
    signed, plain = session(1), session(2)
    message(signed)
    MeterSample.objects.create(session=signed, at=AT, context="Sample.Periodic", quantities={}, signed={"data": "…"})
    MeterSample.objects.create(session=plain, at=AT, context="Sample.Periodic", quantities={})
    order(keep=False)

    factory_reset.carry_out(used)

    assert ChargingSession.objects.get().pk == signed.pk
    assert MeterSample.objects.get().signed == {"data": "…"}
    assert not OutboxMessage.objects.exists()


@pytest.mark.parametrize("place", ["_delete_rows", "secret_storage.rotate", "VACUUM"])
def test_a_power_cut_in_the_middle_is_made_up_for_at_the_next_start(
    used: DataDirectory, monkeypatch: pytest.MonkeyPatch, place: str
):
    kept = message(session(1))
    order()

    def cut(*_args: object, **_kwargs: object) -> None:
        raise PowerOff

    with monkeypatch.context() as patch:
        if place == "VACUUM":
            patch.setattr(secret_storage, "rotate", lambda: patch.setattr(connection, "cursor", cut))
        else:
            patch.setattr(f"station.services.factory_reset.{place}", cut)
        with pytest.raises(PowerOff):
            factory_reset.carry_out(used)
    assert used.factory_reset.exists()
    factory_reset.carry_out(used)

    assert files_with(used.root, f"{CANARY}.example") == []
    assert OutboxMessage.objects.get().pk == kept.pk
    assert SecurityEvent.objects.filter(type="LocalFactoryReset").count() == 1
    assert AuditEntry.objects.count() == 1
    assert not used.factory_reset.exists()


def test_the_references_of_what_is_left_are_whole(used: DataDirectory):
    message(session(1))
    order()

    factory_reset.carry_out(used)

    with connection.cursor() as cursor:
        assert cursor.execute("PRAGMA foreign_key_check").fetchall() == []
        assert cursor.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_new_table_is_emptied_unless_somebody_decides_otherwise(used: DataDirectory):
    order(keep=False)

    factory_reset.carry_out(used)

    filled = {model._meta.label for model in apps.get_models(include_auto_created=True) if model._base_manager.exists()}
    assert filled <= {
        "auth.Permission",
        "auth.Group",
        "auth.Group_permissions",
        "contenttypes.ContentType",
        "station.SecurityEvent",
        "station.AuditEntry",
    }


def test_nobody_is_reset_while_charging_or_during_an_installation(used: DataDirectory):
    running = session(1, running=True)
    with pytest.raises(SomebodyIsCharging):
        order()
    running.delete()
    job = FileJob.objects.create(kind=Kind.FIRMWARE, step=Step.REBOOTING, created_at=AT)
    with pytest.raises(UpdateIsBeingInstalled):
        order()
    job.delete()

    assert not used.factory_reset.exists()
    factory_reset.carry_out(used)
    assert Card.objects.exists()


def test_an_unreadable_order_resets_nothing(used: DataDirectory):
    used.factory_reset.write_text(json.dumps({"at": "now"})[:7])

    factory_reset.carry_out(used)

    assert Card.objects.exists()
    assert not used.factory_reset.exists()


def test_the_network_gets_its_factory_settings_as_soon_as_its_service_is_there(
    used: DataDirectory, settings: Any, monkeypatch: pytest.MonkeyPatch
):
    settings.SIMULATE = True
    station_host.for_settings.cache_clear()
    port = station_host.for_settings().network
    port.restore(NetworkSettings(never_default=True))
    order()
    factory_reset.carry_out(used)

    def away(_settings: NetworkSettings) -> None:
        raise NetworkUnavailable("absent")

    with monkeypatch.context() as patch:
        patch.setattr(type(port), "restore", lambda _self, wanted: away(wanted))
        network.finish_reset()
    assert used.network_reset.exists()
    assert port.external().settings == NetworkSettings(never_default=True)
    network.finish_reset()
    station_host.for_settings.cache_clear()

    assert port.external().settings == NetworkSettings()
    assert not used.network_reset.exists()
