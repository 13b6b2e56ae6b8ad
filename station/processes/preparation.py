"""Everything a run needs before its processes start: directory, database, identity, certificate, free ports."""

import json
import logging
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from django.conf import settings
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from django.utils.translation import gettext as _

from station import clock, private_files
from station.domain.commands import Origin, Status
from station.paths import DataDirectory
from station.processes import certificate, web_ports
from station.processes.plan import Address, Plan
from station.processes.programs.redis import names_simulated_ports_only
from station.services import database_fitting, write_probe

logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")

# Below the ports that Linux gives to outgoing connections (net.ipv4.ip_local_port_range).
_FREE_PORTS = range(15_000, 32_000, 10)
_ATTEMPTS = 50
_SET_ASIDE = "SetBrokenFileAside"
_PROVISIONING_REFUSED = "station.provisioning.refused"
_PROVISIONING_LEFT = "station.provisioning.left"
_SECRETS_LOST = "storage.secrets.lost"


class AddressIsTaken(RuntimeError):
    """Another program listens where the station was told to; said in the language that is active."""


class RealHardwareIsConfigured(RuntimeError):
    """Simulating would overwrite the description of real hardware; said in the language that is active."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What the preparation found out; `factory_password` as long as it was told to nobody."""

    serial: str
    factory_password: str | None
    has_hardware: bool


def check_addresses(plan: Plan) -> None:
    """Refuse addresses that are already in use. Raises AddressIsTaken naming flag, address and reason."""
    seen: dict[object, str] = {}
    for flag, address in plan.listeners.items():
        if address in seen:
            text = _("%(flag)s %(address)s: already given by %(other)s")
            raise AddressIsTaken(text % {"flag": flag, "address": address, "other": seen[address]})
        seen[address] = flag
        found = web_ports.obstacle(address)
        if found:
            raise AddressIsTaken(f"{flag} {found.text}")


def prepare(plan: Plan, *, at: datetime) -> Prepared:
    """Bring the data directory into the state the processes expect; harmless when repeated."""
    from station.host.addresses import outside_addresses
    from station.host.crash_record import CrashRecord
    from station.services import (
        accounts,
        configuration,
        factory_reset,
        firewall,
        identity,
        password_recovery,
        secret_storage,
        security_log,
    )
    from whitelist import editing, master_key

    data = DataDirectory(plan.data)
    # WhiteNoise looks for collected files there and complains of a missing directory.
    Path(settings.STATIC_ROOT).mkdir(exist_ok=True)
    _prepare_database(data, at)
    with _unless_the_disk_is_full("the factory reset"):
        factory_reset.carry_out(data)
    with _unless_the_disk_is_full("encrypting earlier secrets"):
        secret_storage.protect_earlier_values()
    for folder in (data.root, data.certificates, data.run):
        private_files.remove_drafts(folder, at=at)
    identity.ensure(at=at)
    made = identity.load()
    if plan.simulate:
        _describe_simulated_hardware(data, made.connectors)
    accounts.ensure_admin(at=at)
    master_key.ensure_master_key(at)
    with _unless_the_disk_is_full("noting the start"):
        if _computer_has_started(plan, data):
            # What was deleted before the reboot can no longer be restored; a restart of the daemon keeps it.
            editing.purge_deleted()
            _record_mended_boot_memory(at)
            private_files.write(data.last_boot, clock.boot_id().encode())
        password_recovery.note_start(clock.stamp())
        security_log.record("StartupOfTheDevice", at=at)
    with _unless_the_disk_is_full("publishing the firewall"):
        firewall.publish(configuration.snapshot())
    # A start by hand is a way out of safe mode.
    CrashRecord(data).forget()
    if plan.https:
        box_identity = configuration.get("/ocpp/chargeBoxIdentity")
        certificate.ensure(data, identity=box_identity, addresses=outside_addresses(), at=at)
    with _unless_the_disk_is_full("recording what was set aside"):
        _record_files_set_aside(data, at)
        _record_lost_secrets(at)
        _record_refused_provisioning(at)
        _record_provisioning_left(at)
    if plan.demo_backend:
        with _unless_the_disk_is_full("pointing at the demo backend"):
            _point_at_demo_backend(data, f"ws://{plan.demo_backend}/", at)
    connections.close_all()
    return Prepared(
        serial=made.serial, factory_password=identity.untold_password(), has_hardware=data.hardware.exists()
    )


def _prepare_database(data: DataDirectory, at: datetime) -> None:
    """Have a database of this version; one that cannot be used is replaced, and says so."""
    from station.services import database_file, event_log, session_rebuilding

    damaged = database_file.set_damaged_aside(data)
    fitted = fit_to_this_version(data)
    migrate()
    if fitted is not None:
        logger.warning("%s rows of a later version were taken over, %s could not be", fitted.rows, fitted.lost)
        event_log.log("storage.database.fitted", at=at, rows=fitted.rows, lost=fitted.lost, file=fitted.file.name)
    if damaged is not None:
        aside, problem = damaged
        logger.error("the database was damaged (%s); it is kept as %s, and a new one begins", problem, aside)
        event_log.log("storage.database.replaced", at=at, file=aside.name, problem=problem)
    if data.sessions_to_rebuild.exists():
        with _unless_the_disk_is_full("rebuilding sessions"):
            rebuilt = session_rebuilding.rebuild()
            logger.warning("from the archive of signed meter data: %s", rebuilt)
            event_log.log("storage.sessions.rebuilt", at=at, sessions=rebuilt.sessions, owed=rebuilt.owed)
            data.sessions_to_rebuild.unlink()


def choose_modbus_port(*, at: datetime) -> None:
    """Give a station beside other programs ports of its own for energy managers, once: 502 may belong to others."""
    from station.services import configuration

    present = configuration.snapshot()
    if "/modbus/port" not in present.stored:
        points = int(present["/identity/connectors"])
        for first in random.SystemRandom().sample(_FREE_PORTS, _ATTEMPTS):
            if not any(Address("0.0.0.0", first + number).occupied_by_another() for number in range(points)):
                with _unless_the_disk_is_full("choosing the Modbus port"):
                    configuration.change({"/modbus/port": str(first)}, origin=Origin.LOCAL, actor="runstation", at=at)
                break
    connections.close_all()


def _computer_has_started(plan: Plan, data: DataDirectory) -> bool:
    """Return whether the computer was started since the last preparation; a simulated one starts with its software."""
    if plan.simulate:
        return True
    try:
        return private_files.read(data.last_boot) != clock.boot_id().encode()
    except OSError:
        return True


@contextmanager
def _unless_the_disk_is_full(what: str) -> Iterator[None]:
    """Let a station start that cannot write: it says so itself, and the next start makes up for this."""
    try:
        yield
    except (DatabaseError, OSError) as error:
        if not write_probe.is_short_of_room():
            raise
        logger.warning("%s waits for the next start, the disk is full: %s", what, error)


def _record_files_set_aside(data: DataDirectory, at: datetime) -> None:
    """Leave an audit entry for each file that could not be used and was set aside, by whichever process."""
    from station.models import AuditEntry

    for path in (*private_files.files_set_aside(data.root), *private_files.files_set_aside(data.certificates)):
        file = str(path.relative_to(data.root))
        if not AuditEntry.objects.filter(command=_SET_ASIDE, data__file=file).exists():
            AuditEntry.objects.create(
                at=at,
                origin=Origin.LOCAL.value,
                actor="start",
                command=_SET_ASIDE,
                data={"file": file},
                outcome=Status.ACCEPTED.value,
            )


def _record_lost_secrets(at: datetime) -> None:
    """Leave an entry in event log and audit when secrets can no longer be decrypted, once."""
    from station.models import AuditEntry, LogEntry
    from station.services import event_log, secret_storage

    lost = secret_storage.lost()
    if not lost:
        event_log.end(_SECRETS_LOST, at=at)
    elif not LogEntry.objects.filter(code=_SECRETS_LOST, cleared_at=None).exists():
        event_log.begin(_SECRETS_LOST, at=at, keys=lost)
        AuditEntry.objects.create(
            at=at,
            origin=Origin.LOCAL.value,
            actor="start",
            command="ReadStoredSecrets",
            data={"keys": lost},
            outcome=Status.REJECTED.value,
        )


def _record_mended_boot_memory(at: datetime) -> None:
    """Leave an event when a power cut had torn what the boot loader knows of the slots."""
    from station.host import boot_memory
    from station.host.dbus.rauc import bootname
    from station.services import event_log

    if files := boot_memory.mended(settings.DATA):
        event_log.log("computer.boot_memory.mended", at=at, files=", ".join(files), slot=bootname())


def _record_refused_provisioning(at: datetime) -> None:
    """Leave an event for a factory file that was refused at this start of the computer."""
    from station.host import factory_file
    from station.services import event_log, provisioning

    if mistakes := provisioning.refused_at_this_start():
        event_log.begin_anew(
            _PROVISIONING_REFUSED,
            at=at,
            mistakes=[[mistake.code, dict(mistake.data)] for mistake in mistakes],
            is_left=factory_file.is_left(settings.DATA),
        )
    else:
        event_log.end(_PROVISIONING_REFUSED, at=at)
        settings.DATA.provisioning_refused.unlink(missing_ok=True)


def _record_provisioning_left(at: datetime) -> None:
    """Leave an event while the factory's file, which holds a password, cannot be removed."""
    from station.host import factory_file
    from station.services import event_log

    if factory_file.is_left(settings.DATA):
        event_log.begin(_PROVISIONING_LEFT, at=at)
    else:
        event_log.end(_PROVISIONING_LEFT, at=at)


def migrate() -> None:
    """Bring the tables up to date; quick when they are. What was before is copied, for the way back."""
    executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    database = Path(connections[DEFAULT_DB_ALIAS].settings_dict["NAME"])
    is_behind = bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    if is_behind:
        _as_database_error(lambda: database_fitting.keep_copy(database))
    # What Django does after the last step (permissions, content types) may be missing where only the mark is left.
    if is_behind or database_fitting.is_changing(database):
        call_command("migrate", verbosity=0, interactive=False)
        database_fitting.end_change(database)


def fit_to_this_version(data: DataDirectory) -> database_fitting.Fitted | None:
    """Bring a database that a later version has left back to the tables of this one."""
    connections.close_all()
    try:
        return _as_database_error(lambda: database_fitting.fit(data, make=_make_tables))
    except (DatabaseError, OSError):
        if write_probe.is_short_of_room():
            raise
        # Nothing of it can be used by this version, and a station that does not start helps nobody; nothing is deleted.
        logger.exception("the database of a later version cannot be fitted to this one; it is set aside")
        return database_fitting.Fitted(rows=0, lost=0, file=database_fitting.go_on_without(data))


def _make_tables(path: Path) -> None:
    """Lay the tables of this version into a new file."""
    connection = connections[DEFAULT_DB_ALIAS]
    name = connection.settings_dict["NAME"]
    try:
        connection.settings_dict["NAME"] = path
        call_command("migrate", verbosity=0, interactive=False)
    finally:
        connection.close()
        connection.settings_dict["NAME"] = name


def _as_database_error(work: Callable[[], _Result]) -> _Result:
    """Let who waits for room on the disk see the refusals of SQLite as those of the database."""
    try:
        return work()
    except sqlite3.Error as error:
        raise DatabaseError(str(error)) from error


def _describe_simulated_hardware(data: DataDirectory, connectors: int) -> None:
    from hardware.simulator.config import chosen, chosen_reader, hardware_config
    from hardware.simulator.pty_line import forget_lines

    wanted = hardware_config(data.root, connectors, devices=chosen(data.root), reader=chosen_reader(data.root))
    try:
        present = json.loads(data.hardware.read_text())
    except FileNotFoundError:
        present = None
    except ValueError as problem:
        if not data.hardware.read_bytes().strip(b"\0 \r\n\t"):
            # Torn by a power cut; there is nothing in it that could be lost.
            private_files.set_aside(data.hardware)
            _describe_simulated_hardware(data, connectors)
            return
        text = _("%(path)s is not JSON; mend it or move it away")
        raise RealHardwareIsConfigured(text % {"path": data.hardware}) from problem
    if present is not None and not names_simulated_ports_only(present):
        text = _("%(path)s describes real hardware; move it away to simulate")
        raise RealHardwareIsConfigured(text % {"path": data.hardware})
    forget_lines(data.simulation)
    if present != wanted:
        private_files.write(data.hardware, f"{json.dumps(wanted, indent=2)}\n".encode())


def _point_at_demo_backend(data: DataDirectory, url: str, at: datetime) -> None:
    """Point a station without a backend at the demo backend, and follow it to another port."""
    from station.services import configuration

    data.simulation.mkdir(mode=0o700, exist_ok=True)
    note = data.demo_backend_url
    earlier = note.read_text(errors="replace") if note.exists() else ""
    if configuration.get("/ocpp/url") in {"", earlier}:
        configuration.change({"/ocpp/url": url}, origin=Origin.LOCAL, actor="runstation", at=at)
        private_files.write(note, url.encode())
