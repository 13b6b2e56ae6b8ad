"""The values in force at one moment, with typed reading."""

from collections.abc import Iterator, Mapping

from station.domain.configuration.registry import Registry
from station.domain.configuration.values import items_of


class Snapshot(Mapping[str, str]):
    """Every key's value in force, secrets included: for programs, never for output. Names in any case, and aliases."""

    def __init__(self, registry: Registry, stored: Mapping[str, str]) -> None:
        self.registry = registry
        self.stored = stored
        self._values = registry.in_force(stored)

    def __getitem__(self, name: str) -> str:
        value = self._values.get(name)
        return self._values[self.registry.find(name).name] if value is None else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __repr__(self) -> str:
        return f"<Snapshot of {len(self)} keys>"

    def integer(self, name: str) -> int:
        """Return a number; raise ValueError where none is set."""
        return int(self[name])

    def boolean(self, name: str) -> bool:
        """Return a truth value."""
        return self[name] == "true"

    def items_in(self, name: str) -> tuple[str, ...]:
        """Return a list's items."""
        return items_of(self[name])
