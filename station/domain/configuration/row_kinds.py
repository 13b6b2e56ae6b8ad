"""Short forms for the rows that most keys of OCPP are."""

from station.domain.configuration import checks, values
from station.domain.configuration.keys import Access, Check, ConfigurationKey, Effect, Parse, Source, Storage


def flag(
    name: str,
    default: str,
    description: str,
    *,
    access: Access = Access.READ_WRITE,
    source: Source = Source.MANUAL,
    effect: Effect = Effect.NONE,
    parse: Parse = values.boolean,
) -> ConfigurationKey:
    """Return a key that is true or false."""
    return ConfigurationKey(
        name=name,
        access=access,
        source=source,
        type="bool",
        default=default,
        parse=parse,
        effect=effect,
        allowed="true" if parse is values.true_only else "true, false",
        description=description,
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
    effect: Effect = Effect.NONE,
    check: Check | None = None,
    aliases: tuple[str, ...] = (),
) -> ConfigurationKey:
    """Return a key with a whole number."""
    return ConfigurationKey(
        name=name,
        access=access,
        source=source,
        type=f"int {unit}".strip(),
        default=str(default),
        check=check,
        parse=values.integer(low, high),
        effect=effect,
        allowed=f"{low} to {high}",
        description=description,
        aliases=aliases,
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
        effect=Effect.METERING,
        check=checks.list_length(f"{name}MaxLength"),
    )


def value(
    name: str,
    parse: Parse,
    description: str,
    *,
    allowed: str,
    kind: str = "text",
    default: str = "",
    access: Access = Access.READ_WRITE,
    source: Source = Source.MANUAL,
    effect: Effect = Effect.NONE,
    secret: bool = False,
    check: Check | None = None,
    storage: Storage = Storage.DATABASE,
) -> ConfigurationKey:
    """Return a key with any other value."""
    return ConfigurationKey(
        name=name,
        access=access,
        source=source,
        type=kind,
        default=default,
        parse=parse,
        allowed=allowed,
        effect=effect,
        secret=secret,
        check=check,
        storage=storage,
        description=description,
    )
