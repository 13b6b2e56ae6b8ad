"""Deciding on a change of configuration: many keys at once, all or nothing, nothing stored here."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from station.domain.commands import Origin
from station.domain.configuration.keys import (
    CONNECTORS_KEY,
    RATED_CURRENT_KEY,
    CheckQueries,
    ConfigurationKey,
    Context,
    Effect,
    RegistryFacts,
    Storage,
)
from station.domain.configuration.problems import ConfigurationRefused, InvalidValue, Problem, UnknownKey
from station.domain.configuration.registry import Registry
from station.domain.configuration.snapshot import Snapshot
from station.domain.link_security import NO_LINK, LinkSecurity

_SOME_AMPERES = re.compile(r"[0-9]{1,2}")
# May be given beside /auth/identification and then wins; all other disagreements are contradictions.
_YIELDING = frozenset({"AllowOfflineTxForUnknownId"})


@dataclass(frozen=True, kw_only=True)
class Change:
    """One key's new value; `old` and `new` are None where the value is not for anyone's eyes."""

    key: str
    effect: Effect
    old: str | None
    new: str | None


@dataclass(frozen=True, kw_only=True, repr=False)
class ChangePlan:
    """What a permitted change does: values to store per place, values to hand on, and what changes by it.

    In `database` None means: back to the default, because only deviations are stored.
    """

    database: Mapping[str, str | None]
    identity: Mapping[str, str]
    handed_on: Mapping[str, str]
    changes: tuple[Change, ...]


def plan_change(
    items: Mapping[str, str],
    *,
    origin: Origin,
    present: Snapshot,
    queries: CheckQueries,
    link: LinkSecurity = NO_LINK,
) -> ChangePlan:
    """Return what setting these keys does; raise `ConfigurationRefused` with every reason against it."""
    problems: list[Problem] = []
    registry = Registry(_facts_after(items, present.registry.facts), _features(present))
    wanted = _normal_forms(items, registry, origin, present.items_in("SupportedFeatureProfiles"), problems)
    targets = _targets(wanted, registry, origin, present, problems)
    proposed = Snapshot(registry, {**present.stored, **targets})
    context = Context(
        origin=origin, facts=registry.facts, present=present, proposed=proposed, queries=queries, link=link
    )
    for name in {**wanted, **targets}:
        key = registry.find(name)
        value = targets.get(name, wanted.get(name, ""))
        if key.check is None:
            continue
        try:
            key.check(value, context)
        except InvalidValue as refusal:
            problem = Problem(key=refusal.about or name, code=refusal.code, data=refusal.data)
            # Keys that are checked together find the same.
            if problem not in problems:
                problems.append(problem)
    if problems:
        raise ConfigurationRefused(tuple(problems))
    handed_on = {name: value for name, value in wanted.items() if registry.find(name).storage is Storage.HANDED_ON}
    return ChangePlan(
        database={
            name: None if _is_default(registry.find(name), value) else value
            for name, value in targets.items()
            if registry.find(name).storage is Storage.DATABASE
        },
        identity={name: value for name, value in targets.items() if registry.find(name).storage is Storage.IDENTITY},
        handed_on=handed_on,
        changes=changes_between(present, proposed) + _handed_on_changes(handed_on, registry),
    )


def _is_default(key: ConfigurationKey, value: str) -> bool:
    """A default that depends on the station may move later, so a value somebody chose is kept even if it equals it."""
    return key.default_for is None and value == key.default


def changes_between(before: Snapshot, after: Snapshot) -> tuple[Change, ...]:
    """Return every key whose value in force differs, derived keys included."""
    return tuple(
        Change(
            key=key.name,
            effect=key.effect,
            old=before[key.name] if key.readable and key.name in before else None,
            new=after[key.name] if key.readable else None,
        )
        for key in after.registry.keys
        if key.name not in before or before[key.name] != after[key.name]
    )


def _handed_on_changes(handed_on: Mapping[str, str], registry: Registry) -> tuple[Change, ...]:
    return tuple(Change(key=name, effect=registry.find(name).effect, old=None, new=None) for name in handed_on)


def _features(snapshot: Snapshot) -> tuple[str, ...]:
    return tuple(key.name.rpartition("/")[2] for key in snapshot.registry.keys if key.row.endswith("/<feature>"))


def _facts_after(items: Mapping[str, str], present: RegistryFacts) -> RegistryFacts:
    """What the same change says of the station decides which other keys it may name, and what they take."""
    facts = present
    for name, value in items.items():
        if name.lower() in {CONNECTORS_KEY, "numberofconnectors"} and value in {"1", "2"}:
            facts = replace(facts, connectors=int(value))
        elif name.lower() == RATED_CURRENT_KEY.lower() and _SOME_AMPERES.fullmatch(value):
            facts = replace(facts, rated_current_a=int(value))
    return facts


def _normal_forms(
    items: Mapping[str, str],
    registry: Registry,
    origin: Origin,
    profiles: Collection[str],
    problems: list[Problem],
) -> dict[str, str]:
    wanted: dict[str, str] = {}
    for name, text in items.items():
        try:
            key = _find(name, registry, origin, profiles)
            key.refuse_write(origin)
            value = key.parse(text)
        except InvalidValue as refusal:
            problems.append(Problem(key=name, code=refusal.code, data=refusal.data))
            continue
        if wanted.setdefault(key.name, value) != value:
            problems.append(Problem(key=key.name, code="contradiction", data={"other": name}))
    return wanted


def _find(name: str, registry: Registry, origin: Origin, profiles: Collection[str]) -> ConfigurationKey:
    try:
        key = registry.find(name)
    except UnknownKey as unknown:
        raise InvalidValue("unknown_key", nearest=", ".join(unknown.nearest) or "–") from None
    if not key.visible_to(origin, profiles):
        raise InvalidValue("unknown_key", nearest="–")
    return key


def _targets(
    wanted: Mapping[str, str], registry: Registry, origin: Origin, present: Snapshot, problems: list[Problem]
) -> dict[str, str]:
    """Return the stored keys that a change sets, what derived keys stand for included."""
    targets = {
        name: value
        for name, value in wanted.items()
        if registry.find(name).storage in {Storage.DATABASE, Storage.IDENTITY} and registry.find(name).store is None
    }
    for name, value in wanted.items():
        key = registry.find(name)
        if key.store is not None:
            means = key.store(value, origin, present)
        elif key.write is not None:
            means = key.write(value)
        else:
            continue
        for target, meant in means.items():
            if targets.setdefault(target, meant) != meant and target not in _YIELDING:
                problems.append(Problem(key=name, code="contradiction", data={"other": target}))
    return targets
