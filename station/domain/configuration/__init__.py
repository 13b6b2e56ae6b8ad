"""The one registry of configuration keys: what exists, what a value may be, what is in force, what a change does."""

from station.domain.commands import Origin
from station.domain.configuration.backend import authorization_key_bytes, endpoint
from station.domain.configuration.keys import (
    Access,
    CheckQueries,
    ClusterFacts,
    ConfigurationKey,
    Context,
    Effect,
    OtherStation,
    RegistryFacts,
    Source,
    Storage,
)
from station.domain.configuration.plan import Change, ChangePlan, changes_between, plan_change
from station.domain.configuration.problems import ConfigurationRefused, InvalidValue, Problem, UnknownKey
from station.domain.configuration.registry import ROWS, Registry
from station.domain.configuration.snapshot import Snapshot

__all__ = [
    "ROWS",
    "Access",
    "Change",
    "ChangePlan",
    "CheckQueries",
    "ClusterFacts",
    "ConfigurationKey",
    "ConfigurationRefused",
    "Context",
    "Effect",
    "InvalidValue",
    "Origin",
    "OtherStation",
    "Problem",
    "Registry",
    "RegistryFacts",
    "Snapshot",
    "Source",
    "Storage",
    "UnknownKey",
    "authorization_key_bytes",
    "changes_between",
    "endpoint",
    "plan_change",
]
