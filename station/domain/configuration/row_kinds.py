"""Short forms for the rows of the registry."""

from collections.abc import Callable, Mapping

from station.domain.configuration import checks, values
from station.domain.configuration.keys import (
    Access,
    Check,
    ConfigurationKey,
    Effect,
    Parse,
    RegistryFacts,
    Source,
    Storage,
    Store,
)


def flag(
    name: str,
    default: str,
    description: str,
    *,
    allowed: str = "true, false",
    access: Access = Access.READ_WRITE,
    source: Source = Source.MANUAL,
    effect: Effect = Effect.NONE,
    storage: Storage = Storage.DATABASE,
    parse: Parse = values.boolean,
    check: Check | None = None,
    read: Callable[[Mapping[str, str]], str] | None = None,
    write: Callable[[str], Mapping[str, str]] | None = None,
    on_page: bool = False,
) -> ConfigurationKey:
    """Return a key that is true or false."""
    return ConfigurationKey(
        name=name,
        access=access,
        source=source,
        type="bool",
        default=default,
        parse=parse,
        check=check,
        read=read,
        write=write,
        effect=effect,
        storage=storage,
        allowed=allowed,
        description=description,
        on_page=on_page,
    )


def number(
    name: str,
    default: int,
    low: int,
    high: int,
    description: str,
    *,
    access: Access = Access.READ_WRITE,
    source: Source = Source.MANUAL,
    unit: str = "",
    allowed: str = "",
    effect: Effect = Effect.NONE,
    storage: Storage = Storage.DATABASE,
    check: Check | None = None,
    aliases: tuple[str, ...] = (),
    also: tuple[int, ...] = (),
    on_page: bool = False,
) -> ConfigurationKey:
    """Return a key with a whole number."""
    return ConfigurationKey(
        name=name,
        access=access,
        source=source,
        type=f"int {unit}".strip(),
        default=str(default),
        check=check,
        parse=values.integer(low, high, also=also),
        effect=effect,
        storage=storage,
        allowed=allowed or f"{low} to {high}",
        description=description,
        aliases=aliases,
        on_page=on_page,
    )


def word_list(
    name: str,
    default: str,
    parse: Parse,
    description: str,
    *,
    allowed: str,
    access: Access = Access.READ_WRITE,
    source: Source = Source.MANUAL,
    effect: Effect = Effect.NONE,
    check: Check | None = None,
) -> ConfigurationKey:
    """Return a key with a list."""
    return ConfigurationKey(
        name=name,
        access=access,
        source=source,
        type="csl",
        default=default,
        parse=parse,
        check=check,
        effect=effect,
        allowed=allowed,
        description=description,
    )


def measurand_list(name: str, default: str, description: str, source: Source) -> ConfigurationKey:
    """Return a key with a list of measurands, as long as its …MaxLength key permits."""
    return word_list(
        name,
        default,
        values.measurands,
        description,
        allowed=f"measurands, at most {name}MaxLength",
        source=source,
        check=checks.list_length(f"{name}MaxLength"),
    )


def value(
    name: str,
    parse: Parse,
    description: str,
    *,
    allowed: str = "",
    kind: str = "text",
    default: str = "",
    default_for: Callable[[RegistryFacts], str] | None = None,
    access: Access = Access.READ_WRITE,
    source: Source = Source.MANUAL,
    effect: Effect = Effect.NONE,
    secret: bool = False,
    storage: Storage = Storage.DATABASE,
    check: Check | None = None,
    read: Callable[[Mapping[str, str]], str] | None = None,
    write: Callable[[str], Mapping[str, str]] | None = None,
    store: Store | None = None,
    aliases: tuple[str, ...] = (),
    on_page: bool = False,
) -> ConfigurationKey:
    """Return a key with any other value."""
    return ConfigurationKey(
        name=name,
        access=access,
        source=source,
        type=kind,
        default=default,
        default_for=default_for,
        parse=parse,
        allowed=allowed,
        effect=effect,
        secret=secret,
        check=check,
        read=read,
        write=write,
        store=store,
        storage=storage,
        description=description,
        aliases=aliases,
        on_page=on_page,
    )


def measured(name: str, description: str, *, kind: str, default: str = "", allowed: str = "") -> ConfigurationKey:
    """Return a key of the manuals that the running station fills in; nobody can set it."""
    return value(
        name,
        values.text(),
        description,
        kind=kind,
        default=default,
        allowed=allowed,
        access=Access.READ_ONLY,
        storage=Storage.LIVE,
    )
