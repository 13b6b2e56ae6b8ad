"""docs/configuration_keys.md: the reference of all keys, as the registry has them."""

from station.domain.configuration.keys import Access, ConfigurationKey, Effect, Source
from station.domain.configuration.registry import ROWS

_HEADINGS = {
    Source.MANUAL: "Keys of the manuals",
    Source.OCPP: "Keys of OCPP 1.6 that the manuals leave out",
    Source.SECURITY: "Keys of the OCPP 1.6 security whitepaper",
    Source.SIGNED_VALUES: "Keys of the OCA's application note on signed meter values, and of SAFE",
    Source.PROJECT: "Keys of this station",
}
_INTRODUCTION = """# Configuration keys

Made from the registry by `python -m scripts.documents`; do not edit.

Keys are read and set over OCPP (GetConfiguration, ChangeConfiguration), on the pages of the web interface, and with
`manage.py config`. Their names may be written in any case. Access: `r` can be read, `rw` read and written, `w` only
written; `local` does not exist over OCPP. The command line may also set keys with access `r` that are not measured,
and those with access `local`. Secrets can be written and are never shown. “Applied by” names what takes a change up;
where nothing is named, the next use does.
"""


def render() -> str:
    """Return the reference as Markdown, one table per source of keys."""
    parts = [_INTRODUCTION]
    for source, heading in _HEADINGS.items():
        parts.append(f"## {heading}\n")
        parts.append("| key | access | type | default | allowed | applied by | meaning |\n| --- " + "| --- " * 6 + "|")
        parts.extend(_row(key) for key in sorted(ROWS, key=lambda key: key.name.lower()) if key.source is source)
        parts.append("")
    return "\n".join(parts)


def _row(key: ConfigurationKey) -> str:
    meaning = key.description
    if key.aliases:
        meaning += f" Also accepted as {', '.join(f'`{alias}`' for alias in key.aliases)}."
    if key.secret and key.access is not Access.WRITE_ONLY:
        meaning += " Secret."
    default = f"`{key.default}`" if key.default else ""
    effect = "" if key.effect is Effect.NONE else key.effect.value.replace("_", " ")
    cells = (f"`{key.name}`", key.access.value, key.type, default, key.allowed, effect, meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
