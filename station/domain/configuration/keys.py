"""What a configuration key is: one row of the registry, with everything that reads and writes need to know of it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self, TypeAlias

from station.domain.commands import Origin
from station.domain.configuration import feature_profiles
from station.domain.configuration.problems import InvalidValue
from station.domain.link_security import NO_LINK, LinkSecurity

CONNECTOR_PLACEHOLDER = "<connector-id>"
FEATURE_PLACEHOLDER = "<feature>"
CONNECTORS_KEY = "/identity/connectors"
RATED_CURRENT_KEY = "/identity/ratedCurrentA"


class Access(StrEnum):
    """Who may do what with a key over OCPP and in the web interface; the command line may write all but live keys."""

    READ_ONLY = "r"
    READ_WRITE = "rw"
    WRITE_ONLY = "w"
    LOCAL = "local"


class Source(StrEnum):
    """Where a key comes from: the manuals, this project, OCPP 1.6, its security whitepaper or that on signed values."""

    MANUAL = "manual"
    PROJECT = "project"
    OCPP = "ocpp"
    SECURITY = "security"
    SIGNED_VALUES = "signed_values"


class Effect(StrEnum):
    """What has to happen after a change; NONE: whoever uses the value reads it anew by itself."""

    NONE = "none"
    OCPP_CONNECTION = "ocpp_connection"
    OCPP_TIMERS = "ocpp_timers"
    RESTART = "restart"


class Storage(StrEnum):
    """Where a value lives: a database row, the identity file, other keys, a running process; or it is handed on."""

    DATABASE = "database"
    IDENTITY = "identity"
    DERIVED = "derived"
    LIVE = "live"
    HANDED_ON = "handed_on"


@dataclass(frozen=True, kw_only=True)
class RegistryFacts:
    """What of the station decides which keys exist and what their defaults are."""

    connectors: int = 2
    rated_current_a: int = 32

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Self:
        """Read the keys that say so."""
        return cls(connectors=int(values[CONNECTORS_KEY]), rated_current_a=int(values[RATED_CURRENT_KEY]))


def _yes() -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class OtherStation:
    """Another station of the cluster: each of its points may draw `fallback_ma` when its link is lost."""

    points: int
    fallback_ma: int


@dataclass(frozen=True, kw_only=True)
class ClusterFacts:
    """What a station knows of its cluster beyond its own settings.

    `members`: the others that it leads, or has led as the master. `neighbours`: the others as its own master tells
    them, with the limit that holds there (None: not now). `other_master`: the name of another station that leads the
    same cluster. `has_server`: whether this computer has what a master needs.
    """

    members: tuple[OtherStation, ...] = ()
    neighbours: tuple[OtherStation, ...] = ()
    neighbours_limit_a: int | None = None
    other_master: str = ""
    has_server: bool = True


@dataclass(frozen=True, kw_only=True)
class CheckQueries:
    """What checks must ask outside the configuration; each member is a question."""

    has_backend_ca: Callable[[], bool] = _yes
    has_own_certificate: Callable[[], bool] = _yes
    knows_time_zone: Callable[[str], bool] = field(default=lambda _name: True)
    may_be_simulated: Callable[[], bool] = _yes
    cluster: Callable[[], ClusterFacts] = field(default=ClusterFacts)
    is_common_password: Callable[[str], bool] = field(default=lambda _password: False)
    has_dimming_input: Callable[[], bool] = _yes
    connected_phases: Callable[[int], Mapping[int, int]] = field(default=lambda _connectors: {})


@dataclass(frozen=True, kw_only=True, repr=False)
class Context:
    """What a check may look at: who asks, the values in force now and those that would be in force afterwards.

    `link` is the connection over which the backend asks.
    """

    origin: Origin
    facts: RegistryFacts
    present: Mapping[str, str]
    proposed: Mapping[str, str]
    queries: CheckQueries = CheckQueries()
    link: LinkSecurity = NO_LINK


Parse: TypeAlias = Callable[[str], str]
Check: TypeAlias = Callable[[str, Context], None]
Store: TypeAlias = Callable[[str, Origin, Mapping[str, str]], Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class ConfigurationKey:
    """One key. `parse` brings a text into normal form or raises `InvalidValue`; `check` judges it among the others.

    `read` computes the value in force from the stored ones (missing: the stored value itself); `write` says, for a
    derived key, which stored keys a new value sets; `store` does so where that depends on who asks and on the values
    in force. `row` is the registry's name with placeholders.
    `on_page`: a local key that a person may set in the web interface, too.
    """

    name: str
    access: Access
    source: Source
    type: str
    parse: Parse
    default: str = ""
    allowed: str = ""
    description: str = ""
    effect: Effect = Effect.NONE
    storage: Storage = Storage.DATABASE
    secret: bool = False
    on_page: bool = False
    default_for: Callable[[RegistryFacts], str] | None = None
    check: Check | None = None
    read: Callable[[Mapping[str, str]], str] | None = None
    write: Callable[[str], Mapping[str, str]] | None = None
    store: Store | None = None
    aliases: tuple[str, ...] = ()
    row: str = ""
    connector_id: int | None = None

    @property
    def readable(self) -> bool:
        """Whether its value may be shown to anyone at all."""
        return not self.secret and self.access is not Access.WRITE_ONLY

    def default_with(self, facts: RegistryFacts) -> str:
        """Return the value that holds on such a station until somebody changes it."""
        return self.default if self.default_for is None else self.default_for(facts)

    def visible_to(self, origin: Origin, profiles: Collection[str]) -> bool:
        """Return whether the key exists for this origin.

        Over OCPP there are no local keys, and none of a feature profile that is not among the supported `profiles`.
        """
        if origin is not Origin.BACKEND:
            return True
        return self.access is not Access.LOCAL and not feature_profiles.is_off(self.name, profiles)

    def refuse_write(self, origin: Origin) -> None:
        """Raise `InvalidValue` when this origin may not set the key, whatever the value."""
        if self.storage is Storage.LIVE:
            raise InvalidValue("read_only" if origin is not Origin.LOCAL else "live_value")
        if origin in {Origin.WEB, Origin.MODBUS} and self.on_page:
            # The Modbus server writes only the settings that its register table names.
            return
        if origin is not Origin.LOCAL and self.access in {Access.READ_ONLY, Access.LOCAL}:
            raise InvalidValue("read_only")
