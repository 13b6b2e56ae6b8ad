"""Operators whose connection is known: one TOML file each, that fills the settings of the OCPP page.

The station brings "Factory settings" and, on a simulated one, the demo backend. Files of an operator's own lie in the
directory `operators` of the data directory (deploy/README.md describes them).
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from station.domain.configuration import ConfigurationRefused
from station.services import configuration

CUSTOM = "custom"
FACTORY = "factory"
DEMO = "demo"
_LARGEST_BYTES = 20_000
_TEXTS = ("name", "vendor", "server_profile", "url", "chargebox_id", "ca_hint")
_MOST_CHARACTERS = 500
# What leads to a server; names are for people only.
_LEADING = ("/ocpp/url", "SecurityProfile", "/ocpp/chargeBoxIdentity")


class ProfileUnusable(ValueError):
    """The file of an operator cannot be used; the message says why."""


@dataclass(frozen=True, kw_only=True)
class OperatorProfile:
    """What an operator's server needs. `settings` are configuration keys and their values.

    `ca_hint` says to people which CA certificates they have to add.
    """

    id: str
    name: str
    ca_hint: str = ""
    settings: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Profiles:
    """The profiles that can be chosen, and the files that cannot, with the reason."""

    usable: tuple[OperatorProfile, ...]
    unusable: tuple[tuple[str, str], ...]

    def find(self, profile_id: str) -> OperatorProfile | None:
        """Return a profile by its id."""
        return next((each for each in self.usable if each.id == profile_id), None)

    def in_force(self) -> OperatorProfile | None:
        """Return the profile whose settings are in force; None: custom."""
        return self.after({})

    def after(self, wanted: Mapping[str, str]) -> OperatorProfile | None:
        """Return the profile whose settings would be in force after a change."""
        present = configuration.snapshot()
        stored = {name: present.stored.get(name, present.registry.find(name).default) for name in _LEADING}
        stored |= {name: value for name, value in wanted.items() if name in stored}
        return next((each for each in self.usable if _leads(each, stored)), None)


def load() -> Profiles:
    """Read all profiles."""
    usable, unusable = [], []
    for path in sorted(settings.DATA.operators.glob("*.toml")):
        try:
            usable.append(_read(path))
        except ProfileUnusable as problem:
            unusable.append((path.name, str(problem)))
    return Profiles(usable=(*_own(), *usable), unusable=tuple(unusable))


def _leads(profile: OperatorProfile, stored: Mapping[str, str]) -> bool:
    return all(profile.settings.get(name, value) == value for name, value in stored.items())


def _own() -> list[OperatorProfile]:
    own = [OperatorProfile(id=FACTORY, name=FACTORY, settings=_settings(""))]
    note = settings.DATA.demo_backend_url
    if settings.SIMULATE and note.exists():
        url = note.read_text(errors="replace").strip()
        own.append(OperatorProfile(id=DEMO, name=DEMO, settings=_settings(url)))
    return own


def _settings(url: str, *, security: str = "1", vendor: str = "", server: str = "") -> dict[str, str]:
    return {
        "/ocpp/url": url,
        "SecurityProfile": security,
        "/ocpp/serverVendor": vendor,
        "/ocpp/serverProfile": server,
    }


def _read(path: Path) -> OperatorProfile:
    content = _content(path)
    if unknown := content.keys() - {*_TEXTS, "security_profile"}:
        raise ProfileUnusable(f"unknown: {', '.join(sorted(unknown))}")
    texts = {name: content.get(name, "") for name in _TEXTS}
    for name, text in texts.items():
        if not isinstance(text, str) or len(text) > _MOST_CHARACTERS:
            raise ProfileUnusable(f"{name} is no text of up to {_MOST_CHARACTERS} characters")
    if not texts["name"].strip() or not texts["url"].strip():
        raise ProfileUnusable("name and url are needed")
    security = content.get("security_profile", 2)
    wanted = _settings(
        texts["url"].strip(),
        security=str(security),
        vendor=texts["vendor"].strip(),
        server=texts["server_profile"].strip(),
    )
    if texts["chargebox_id"]:
        wanted["/ocpp/chargeBoxIdentity"] = texts["chargebox_id"].strip()
    try:
        configuration.proposed(wanted)
    except ConfigurationRefused as refusal:
        raise ProfileUnusable("; ".join(map(str, refusal.problems))) from None
    return OperatorProfile(
        id=path.stem,
        name=texts["name"].strip(),
        ca_hint=texts["ca_hint"].strip(),
        settings=wanted,
    )


def _content(path: Path) -> dict[str, Any]:
    try:
        raw = path.read_bytes()[: _LARGEST_BYTES + 1]
        if len(raw) > _LARGEST_BYTES:
            raise ProfileUnusable(f"larger than {_LARGEST_BYTES} bytes")
        return tomllib.loads(raw.decode())
    except OSError as problem:
        raise ProfileUnusable(problem.strerror or "cannot be read") from problem
    except ValueError as problem:
        if isinstance(problem, ProfileUnusable):
            raise
        raise ProfileUnusable(str(problem)[:200]) from problem
