"""Reading and changing the station's configuration. Every process of a station sees a change at its next reading."""

import logging
import threading
import zoneinfo
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Max

from station import clock
from station.domain.commands import Origin, Status
from station.domain.configuration import (
    Access,
    Change,
    ChangePlan,
    CheckQueries,
    ConfigurationKey,
    ConfigurationRefused,
    Effect,
    InvalidValue,
    Problem,
    Registry,
    RegistryFacts,
    Snapshot,
    Storage,
    UnknownKey,
    changes_between,
    plan_change,
)
from station.domain.configuration.values import MAX_VALUE_LENGTH
from station.domain.link_security import NO_LINK, LinkSecurity
from station.host.logs import mask_secrets
from station.models import AuditEntry, BackendState, ConfigurationValue
from station.services import (
    backend_ca,
    cluster_facts,
    firewall,
    hardware_description,
    identity,
    secret_storage,
    security_log,
)
from station.services.identity import MASK
from station.services.passwords import is_common_password

logger = logging.getLogger(__name__)


# What a change of settings is called in the audit trail.
COMMAND = "ChangeConfiguration"
_SHOWN_OF_REFUSED = 100
# More refusals within the span tell nothing new, and would push older entries out of the audit trail.
_REFUSALS_SPAN = timedelta(minutes=10)
_MOST_REFUSALS = 50
# A change of these is an event of the security whitepaper (section 8, ReconfigurationOfSecurityParameters).
_SECURITY_PARAMETERS = frozenset(
    {
        "AuthorizationKey",
        "SecurityProfile",
        "/WebUi/password/reset",
        "/ocpp/caFile",
        "/ocpp/trustPlainLink",
        "/ocpp/verifyHostname",
        "/Security/enableLocalVendorAccess",
        "/Security/enableRemoteVendorAccess",
        "/update/requireSignature",
    }
)


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One key as somebody outside sees it; `value` is None where it is not shown, `***` for a secret that is set."""

    key: ConfigurationKey
    value: str | None

    @property
    def read_only(self) -> bool:
        """What OCPP calls readonly."""
        return self.key.access is Access.READ_ONLY


@dataclass(frozen=True, kw_only=True)
class Listing:
    """An answer to the question for keys: those that exist for the one who asks, and the names that do not."""

    known: tuple[Listed, ...]
    unknown: tuple[str, ...]


@dataclass
class _Cached:
    """The snapshot last made on one database connection, with what would show that it is out of date."""

    database: object
    data_version: int
    identity_stamp: object
    snapshot: Snapshot


_cache = threading.local()


def snapshot() -> Snapshot:
    """Return the values in force now (not those of live keys); the same object as long as nothing has changed."""
    if connection.vendor != "sqlite":
        return _build()
    connection.ensure_connection()
    database: Any = connection.connection
    # SQLite counts up when another connection has committed; own changes drop the cache in `change`.
    data_version = database.execute("PRAGMA data_version").fetchone()[0]
    known: _Cached | None = getattr(_cache, "entry", None)
    identity_stamp = identity.stamp()
    if (
        known is not None
        and known.database is database
        and known.data_version == data_version
        and known.identity_stamp == identity_stamp
    ):
        return known.snapshot
    fresh = _build()
    if known is not None and known.snapshot.stored == fresh.stored and known.snapshot.registry is fresh.registry:
        # Some other table has changed: whoever compares snapshots by identity need not look again.
        fresh = known.snapshot
    # Inside a transaction a value may still be rolled back, so nothing read there outlives it.
    if not connection.in_atomic_block:
        _cache.entry = _Cached(
            database=database,
            data_version=data_version,
            identity_stamp=identity_stamp,
            snapshot=fresh,
        )
    return fresh


@cache
def _registry(facts: RegistryFacts, features: tuple[str, ...]) -> Registry:
    return Registry(facts, features)


def _build() -> Snapshot:
    from station.services import configuration_sources

    rows = secret_storage.decrypt_configuration(dict(ConfigurationValue.objects.values_list("key", "value")))
    features = configuration_sources.features_of(rows)
    stored = rows | identity.as_values(identity.load())
    return Snapshot(_registry(RegistryFacts.of(stored), features), stored)


def get(name: str) -> str:
    """Return a key's value in force, live keys included; raise `UnknownKey`."""
    present = snapshot()
    key = present.registry.find(name)
    return _live_value(key) if key.storage is Storage.LIVE else present[key.name]


def get_int(name: str) -> int:
    """Return a number; raise ValueError where none is set."""
    return int(get(name))


def zone() -> ZoneInfo:
    """Return the station's time zone."""
    return ZoneInfo(get("TimeZone"))


def get_optional_int(name: str) -> int | None:
    """Return a number, or None where none is set."""
    value = get(name)
    return int(value) if value else None


def get_bool(name: str) -> bool:
    """Return a truth value."""
    return get(name) == "true"


def get_list(name: str) -> tuple[str, ...]:
    """Return a list's items."""
    return snapshot().items_in(name)


def _live_value(key: ConfigurationKey) -> str:
    from station.services import configuration_sources

    provider = configuration_sources.LIVE.get(key.row)
    value = provider(key) if provider is not None else None
    return key.default if value is None else value


def listing(origin: Origin, names: Iterable[str] = ()) -> Listing:
    """Return the named keys, or all of them, as `origin` may see them; names in any case, each answered once."""
    present = snapshot()
    profiles = present.items_in("SupportedFeatureProfiles")
    if not (names := tuple(names)):
        visible = (key for key in present.registry.keys if key.visible_to(origin, profiles))
        return Listing(known=tuple(_listed(key, present, origin) for key in visible), unknown=())
    known: dict[str, Listed] = {}
    unknown: list[str] = []
    for name in names:
        try:
            key = present.registry.find(name)
        except UnknownKey:
            unknown.append(name)
            continue
        if key.visible_to(origin, profiles):
            known[key.name] = _listed(key, present, origin)
        else:
            unknown.append(name)
    return Listing(known=tuple(known.values()), unknown=tuple(unknown))


def _listed(key: ConfigurationKey, present: Snapshot, origin: Origin) -> Listed:
    if not key.readable:
        shown = MASK if present[key.name] and origin is not Origin.BACKEND else None
        return Listed(key=key, value=shown)
    value = _live_value(key) if key.storage is Storage.LIVE else present[key.name]
    # OCPP 1.6 section 7.29: what does not fit into CiString500Type is not sent; a cut value would be a wrong one.
    return Listed(key=key, value=value if origin is not Origin.BACKEND or len(value) <= MAX_VALUE_LENGTH else None)


def change(
    items: Mapping[str, str],
    *,
    origin: Origin,
    actor: str,
    at: datetime,
    link: LinkSecurity = NO_LINK,
    takes_back: AuditEntry | None = None,
) -> tuple[Change, ...]:
    """Set many keys, all or none, durably; return what changed, with the effects to apply.

    Raises `ConfigurationRefused` with every reason; what the backend was refused stands in the audit trail. `link` is
    the connection over which the backend asks, `takes_back` the change that this one undoes. The identity file is
    replaced last, so that a failure of the database leaves it alone; if the commit itself fails it gets its old content
    back.
    """
    _cache.entry = None
    before: identity.Identity | None = None
    try:
        with transaction.atomic():
            present = snapshot()
            plan = plan_change(items, origin=origin, present=present, queries=_queries(), link=link)
            _store(plan.database, at)
            _hand_on(plan, at)
            _record(plan, present, AuditEntry(at=at, origin=origin.value, actor=actor, takes_back=takes_back))
            _begin_trial(plan, origin)
            _note_vendor_access(plan.changes, at)
            if plan.identity:
                with identity.exclusive():
                    before = identity.load()
                    identity.save(identity.with_values(before, plan.identity))
    except ConfigurationRefused as refusal:
        if origin is Origin.BACKEND:
            try:
                _record_refusal(items, refusal, origin, actor, at)
            except DatabaseError:
                # A refusal needs no room on the disk.
                logger.exception("What the backend was refused could not be recorded")
        raise
    except BaseException:
        if before is not None:
            with identity.exclusive():
                identity.save(before)
        raise
    finally:
        _cache.entry = None
    _open_firewall(plan.changes)
    _switch_vendor_access(plan.changes, at)
    for changed in plan.changes:
        logger.info("Configuration: %s = %s (%s %s)", changed.key, _shown(changed.new), origin.value, actor)
    return plan.changes


def proposed(items: Mapping[str, str]) -> Snapshot:
    """Return what would be in force after a change at the station, which is not made; raise `ConfigurationRefused`."""
    present = snapshot()
    if not items:
        return present
    plan = plan_change(items, origin=Origin.WEB, present=present, queries=_queries())
    after = {**present.stored, **plan.identity, **plan.database}
    return Snapshot(present.registry, {name: value for name, value in after.items() if value is not None})


def _store(values: Mapping[str, str | None], at: datetime) -> None:
    for name, value in values.items():
        if value is None:
            ConfigurationValue.objects.filter(key=name).delete()
        else:
            store(name, value, at)


def store(name: str, value: str, at: datetime) -> None:
    """Store a value that was checked; a secret is encrypted. Raises ConfigurationRefused where that is impossible."""
    if secret_storage.is_secret(name):
        try:
            value = secret_storage.encrypt(value)
        except secret_storage.KeyFileUnusable as problem:
            raise ConfigurationRefused(
                (Problem(key=name, code="key_file", data={"reason": str(problem)}),)
            ) from problem
    ConfigurationValue.objects.update_or_create(key=name, defaults={"value": value, "changed_at": at})


def _hand_on(plan: ChangePlan, at: datetime) -> None:
    from station.services import configuration_sources

    problems = []
    for name, value in plan.handed_on.items():
        take = configuration_sources.WRITE.get(name, _refuse)
        try:
            take(value, at)
        except InvalidValue as refusal:
            problems.append(Problem(key=name, code=refusal.code, data=refusal.data))
    if problems:
        raise ConfigurationRefused(tuple(problems))


def _refuse(_value: str, _at: datetime) -> None:
    raise InvalidValue("not_applicable")


def _begin_trial(plan: ChangePlan, origin: Origin) -> None:
    """Note a new address of the backend; one that the backend itself has chosen gets no more time than the first."""
    if not any(changed.key == "/ocpp/url" for changed in plan.changes):
        return
    state = BackendState.load()
    state.taken_back_url = ""
    if origin is not Origin.BACKEND:
        state.trial_spent_ms = 0
    state.save(update_fields=["taken_back_url", "trial_spent_ms"])


def _record(plan: ChangePlan, present: Snapshot, entry: AuditEntry) -> None:
    """Leave who changed what in an entry that names origin, actor and moment already."""
    if not plan.changes:
        return
    entry.command, entry.outcome = COMMAND, Status.ACCEPTED.value
    entry.data = {changed.key: _shown(changed.new) for changed in plan.changes}
    entry.before = {changed.key: _shown(changed.old) for changed in plan.changes}
    entry.undo = _undo(plan, present)
    entry.save()
    secured = sorted({changed.key for changed in plan.changes} & _SECURITY_PARAMETERS)
    if secured:
        security_log.record(
            "ReconfigurationOfSecurityParameters", at=entry.at, tech_info=f"{', '.join(secured)} ({entry.origin})"
        )


def _record_refusal(
    items: Mapping[str, str], refusal: ConfigurationRefused, origin: Origin, actor: str, at: datetime
) -> None:
    """Leave what was refused and why; the name of a key that does not exist is only a mistake."""
    problems = [problem for problem in refusal.problems if problem.code != "unknown_key"]
    if not problems:
        return
    reasons = "; ".join(map(str, problems))
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in reasons)
    logger.warning("Configuration: refused to %s %s: %s", origin.value, actor, shown)
    earlier = AuditEntry.objects.filter(at__gt=at - _REFUSALS_SPAN, at__lte=at)
    if earlier.filter(origin=origin.value, outcome=Status.REJECTED.value).count() >= _MOST_REFUSALS:
        return
    registry = snapshot().registry
    texts: dict[str, str] = {}
    for name, text in items.items():
        with suppress(UnknownKey):
            key = registry.find(name)
            texts[key.name] = mask_secrets(text)[:_SHOWN_OF_REFUSED] if key.readable else MASK
    AuditEntry.objects.create(
        at=at,
        origin=origin.value,
        actor=actor,
        command=COMMAND,
        data=texts,
        outcome=Status.REJECTED.value,
        reason=problems[0].code,
    )


def _undo(plan: ChangePlan, present: Snapshot) -> dict[str, tuple[str | None, str | None]]:
    """Return the stored values before and after, of which none may be a secret; None: the default."""
    found = {
        name: (present.stored.get(name), after)
        for name, after in plan.database.items()
        if present.registry.find(name).readable
    }
    return {
        name: values
        for name, values in found.items()
        if values[0] != values[1] and all(text is None or mask_secrets(text) == text for text in values)
    }


def _shown(value: str | None) -> str:
    return MASK if value is None else mask_secrets(value)


def _queries() -> CheckQueries:
    return CheckQueries(
        has_backend_ca=backend_ca.is_installed,
        has_own_certificate=backend_ca.has_own_certificate,
        knows_time_zone=_knows_time_zone,
        is_common_password=is_common_password,
        may_be_simulated=_may_be_simulated,
        # Several keys of one change ask.
        cluster=cache(cluster_facts.known),
        has_dimming_input=hardware_description.has_dimming_input,
        connected_phases=hardware_description.connected_phases,
    )


def _knows_time_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _may_be_simulated() -> bool:
    """A station that never started has no hardware yet; whoever uses the value asks `settings.SIMULATE` again."""
    data = settings.DATA
    return settings.SIMULATE or data.simulation.exists() or not data.hardware.exists()


def reset_to_factory(*, origin: Origin, actor: str, at: datetime) -> tuple[Change, ...]:
    """Forget every stored value; the identity stays. Return what changed by it."""
    _cache.entry = None
    try:
        with transaction.atomic():
            before = snapshot()
            ConfigurationValue.objects.all().delete()
            changes = changes_between(before, _build())
            _note_vendor_access(changes, at)
            AuditEntry.objects.create(
                at=at, origin=origin.value, actor=actor, command="ResetConfiguration", outcome=Status.ACCEPTED.value
            )
    finally:
        _cache.entry = None
    _open_firewall(changes)
    _switch_vendor_access(changes, at)
    return changes


def _open_firewall(changes: Iterable[Change]) -> None:
    if firewall.KEYS & {changed.key for changed in changes}:
        firewall.publish(snapshot())


def _note_vendor_access(changes: Iterable[Change], at: datetime) -> None:
    from station.services import vendor_access

    vendor_access.note(changes, replace(clock.stamp(), at=at))


def _switch_vendor_access(changes: Iterable[Change], at: datetime) -> None:
    from station.services import vendor_access

    if set(vendor_access.KEYS.values()) & {changed.key for changed in changes}:
        vendor_access.apply(replace(clock.stamp(), at=at))


class ConfigurationWatch:
    """Tells a process what has changed since it last asked, whoever changed it; for loops that apply effects."""

    def __init__(self) -> None:
        self._audited = _newest_entry()
        self._seen = snapshot()

    def has_news(self) -> bool:
        """Return whether anything was changed since the last call, also what has been taken back meanwhile.

        Whoever heard of it in between has applied what holds no longer.
        """
        before, self._audited = self._audited, _newest_entry()
        was_changed = (
            self._audited < before
            or AuditEntry.objects.filter(
                pk__gt=before, pk__lte=self._audited, command=COMMAND, outcome=Status.ACCEPTED.value
            ).exists()
        )
        return bool(self.changes()) or was_changed

    def changes(self) -> tuple[Change, ...]:
        """Return the keys that differ since the last call; costs next to nothing when none does."""
        present = snapshot()
        if present is self._seen:
            return ()
        changes = changes_between(self._seen, present)
        self._seen = present
        return changes


def _newest_entry() -> int:
    """Return the number of the newest entry of the audit; numbers are never used again."""
    return AuditEntry.objects.aggregate(newest=Max("pk"))["newest"] or 0


def effects_of(changes: Iterable[Change]) -> frozenset[Effect]:
    """Return what has to be applied after these changes."""
    return frozenset(changed.effect for changed in changes) - {Effect.NONE}
