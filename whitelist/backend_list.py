"""The local authorization list as the backend sees it (OCPP 1.6 sections 4.4, 5.10 and 5.15): SendLocalList."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db import transaction

from station.domain.authorization import AuthorizationStatus
from station.domain.commands import Origin
from station.domain.moments import expiry_from_wire
from station.models import AuditEntry, BackendState
from station.services import configuration
from whitelist.models import Card, Source
from whitelist.normalise import CardRefused, check_backend_tag, key_of
from whitelist.table import Table, make_card


class UpdateStatus(StrEnum):
    """OCPP 1.6 section 7.46."""

    ACCEPTED = "Accepted"
    FAILED = "Failed"
    NOT_SUPPORTED = "NotSupported"
    VERSION_MISMATCH = "VersionMismatch"


class UpdateType(StrEnum):
    """OCPP 1.6 section 7.47."""

    FULL = "Full"
    DIFFERENTIAL = "Differential"


class ListRefused(Exception):
    """The backend's list cannot be taken as it is; nothing was changed. The message is for the log."""

    def __init__(self, status: UpdateStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Named:
    """One entry of a SendLocalList; without `card` it asks for the deletion of `key`."""

    key: str
    card: Card | None


class BackendList:
    """The whitelist behind `ocpp_client.ports.LocalList`."""

    def version(self) -> int:
        """Return the version of the backend's list; 0 when it is empty."""
        return BackendState.load().list_version

    def contains(self, id_tag: str) -> bool:
        """Return whether a card stands in a list that is in use: such cards never enter the cache."""
        if not configuration.get_bool("LocalAuthListEnabled"):
            return False
        return Card.objects.present().filter(key=key_of(id_tag)).exists()

    def apply(self, version: int, update_type: str, entries: Sequence[Mapping[str, Any]], at: datetime) -> str:
        """Apply a list, all or nothing; return an OCPP UpdateStatus."""
        with transaction.atomic():
            outcome, reason = UpdateStatus.ACCEPTED, ""
            try:
                with transaction.atomic():
                    _take(version, update_type, entries, at)
            except ListRefused as refusal:
                outcome, reason = refusal.status, str(refusal)
            AuditEntry.objects.create(
                at=at,
                origin=Origin.BACKEND.value,
                command="SendLocalList",
                data={"version": version, "update_type": update_type[:20], "entries": len(entries)},
                outcome=outcome.value,
                reason=reason[:80],
            )
        return outcome.value


def _take(version: int, update_type: str, entries: Sequence[Mapping[str, Any]], at: datetime) -> None:
    kind, present_version = _check_request(version, update_type, len(entries))
    named = _read_entries(kind, entries, at)
    table = _table_for(kind, [entry.key for entry in named])
    for entry in named:
        if entry.card is None:
            table.remove(entry.key)
        else:
            table.put(entry.card)
    # What only removes is taken even where the maximum was lowered below what the list holds.
    if table.surplus and any(entry.card is not None for entry in named):
        raise ListRefused(UpdateStatus.FAILED, "list_full")
    had_entries = kind is UpdateType.FULL or _backend_has_entries()
    table.write()
    # Rows that a local edit has taken over still stand in the backend's list: only its own update can empty that.
    emptied = had_entries and not _backend_has_entries()
    wanted_version = 0 if emptied else version
    if wanted_version != present_version:
        BackendState.objects.update(list_version=wanted_version)


def _check_request(version: int, update_type: str, length: int) -> tuple[UpdateType, int]:
    """Check everything in a request but its entries; return its type and the version of the present list."""
    if not configuration.get_bool("LocalAuthListEnabled"):
        raise ListRefused(UpdateStatus.NOT_SUPPORTED, "list_disabled")
    try:
        kind = UpdateType(update_type)
    except ValueError as error:
        raise ListRefused(UpdateStatus.FAILED, "update_type") from error
    # 0 says "empty" and -1 "not supported" in GetLocalListVersion (section 5.10). An empty full list of version 0 is
    # therefore consistent, and certification tests reset a station that way.
    clears = kind is UpdateType.FULL and version == 0 and length == 0
    if version <= 0 and not clears:
        raise ListRefused(UpdateStatus.FAILED, "version_not_positive")
    if length > configuration.get_int("SendLocalListMaxLength"):
        raise ListRefused(UpdateStatus.FAILED, "too_many_in_one_request")
    present_version = BackendState.load().list_version
    if kind is UpdateType.DIFFERENTIAL and version <= present_version:
        raise ListRefused(UpdateStatus.VERSION_MISMATCH, "version_not_newer")
    return kind, present_version


def _table_for(kind: UpdateType, keys: Sequence[str]) -> Table:
    """Read the rows of these keys; for a full list all rows, less the backend's, which it replaces."""
    if kind is UpdateType.DIFFERENTIAL:
        return Table.read(keys)
    table = Table.read()
    for card in table:
        if card.source == Source.BACKEND:
            table.remove(card.key)
    return table


def _backend_has_entries() -> bool:
    return Card.objects.present().filter(source=Source.BACKEND).exists()


def _read_entries(kind: UpdateType, entries: Sequence[Mapping[str, Any]], at: datetime) -> list[Named]:
    named: dict[str, Named] = {}
    for index, entry in enumerate(entries):
        try:
            read = _read_entry(entry, at)
        except (CardRefused, ValueError, OverflowError, TypeError) as error:
            raise ListRefused(UpdateStatus.FAILED, f"entry {index}: {error}") from error
        if read.card is None and kind is UpdateType.FULL:
            raise ListRefused(UpdateStatus.FAILED, f"entry {index}: idTagInfo missing")
        if read.key in named:
            raise ListRefused(UpdateStatus.FAILED, f"entry {index}: idTag twice")
        named[read.key] = read
    return list(named.values())


def _read_entry(entry: Mapping[str, Any], at: datetime) -> Named:
    uid = check_backend_tag(_text(entry.get("idTag")))
    info = entry.get("idTagInfo")
    if info is None:
        return Named(key=key_of(uid), card=None)
    if not isinstance(info, Mapping):
        raise TypeError("idTagInfo is no object")
    parent, expiry = _text(info.get("parentIdTag") or ""), info.get("expiryDate")
    card = make_card(
        uid=uid,
        group=check_backend_tag(parent, "group") if parent.strip() else "",
        expires_at=None if expiry is None else expiry_from_wire(_text(expiry)),
        authorization=AuthorizationStatus(_text(info.get("status"))).value,
        source=Source.BACKEND,
        at=at,
    )
    return Named(key=card.key, card=card)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("text is missing")
    return value
