"""All keys of one station: the rows, spread over its charging points, found by name in any spelling of case."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from station.domain.configuration.keys import (
    CONNECTOR_PLACEHOLDER,
    FEATURE_PLACEHOLDER,
    ConfigurationKey,
    RegistryFacts,
)
from station.domain.configuration.mobile_keys import MOBILE_KEYS
from station.domain.configuration.problems import UnknownKey
from station.domain.configuration.standard_keys import STANDARD_KEYS
from station.domain.configuration.station_keys import CONNECTION_KEYS, IDENTITY_KEYS, PAGE_KEYS
from station.domain.configuration.vendor_keys import VENDOR_KEYS

ROWS: tuple[ConfigurationKey, ...] = tuple(
    replace(key, row=key.name)
    for key in VENDOR_KEYS + CONNECTION_KEYS + IDENTITY_KEYS + STANDARD_KEYS + PAGE_KEYS + MOBILE_KEYS
)


def _spread(row: ConfigurationKey, facts: RegistryFacts, features: Iterable[str]) -> Iterable[ConfigurationKey]:
    if CONNECTOR_PLACEHOLDER in row.name:
        for connector_id in range(1, facts.connectors + 1):
            name, *aliases = (
                each.replace(CONNECTOR_PLACEHOLDER, str(connector_id)) for each in (row.name, *row.aliases)
            )
            yield replace(row, name=name, aliases=tuple(aliases), connector_id=connector_id)
    elif FEATURE_PLACEHOLDER in row.name:
        for feature in features:
            yield replace(row, name=row.name.replace(FEATURE_PLACEHOLDER, feature))
    else:
        yield row


class Registry:
    """The keys of a station with these facts and product features."""

    def __init__(self, facts: RegistryFacts, features: Iterable[str] = ()) -> None:
        features = tuple(features)
        self.facts = facts
        self.keys = tuple(key for row in ROWS for key in _spread(row, facts, features))
        self._by_lower = {name.lower(): key for key in self.keys for name in (key.name, *key.aliases)}
        self.defaults: Mapping[str, str] = {key.name: key.default_with(facts) for key in self.keys}
        self._computed = tuple((key.name, key.read) for key in self.keys if key.read is not None)

    def find(self, name: str) -> ConfigurationKey:
        """Return the key of this name or alias, in any case; raise `UnknownKey` with similar names."""
        key = self._by_lower.get(name.lower())
        if key is None:
            raise UnknownKey(name, self._nearest(name))
        return key

    def _nearest(self, name: str) -> tuple[str, ...]:
        lower = name.lower()
        close = difflib.get_close_matches(lower, self._by_lower, n=3, cutoff=0.5)
        containing = (known for known in self._by_lower if lower in known) if lower else ()
        return tuple(dict.fromkeys(self._by_lower[known].name for known in (*close, *containing)))[:3]

    def in_force(self, stored: Mapping[str, str]) -> dict[str, str]:
        """Return every key's value in force for what is stored; rows of keys that no longer exist are passed over."""
        values = dict(self.defaults)
        values.update((name, value) for name, value in stored.items() if name in values)
        values.update([(name, read(values)) for name, read in self._computed])
        return values
