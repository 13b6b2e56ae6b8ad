"""docs/authorization.md: what becomes of every card in every situation, as `decide` says."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from station.domain.authorization import (
    Authenticator,
    AuthorizationQuery,
    AuthorizationStatus,
    Decision,
    Entry,
    IdentificationMode,
    decide,
)

_INTRODUCTION = """\
# Who may charge

Made by `python -m scripts.documents`; do not edit. One pure function, `decide` in
`station/domain/authorization.py`, judges every card; the table below is what it answers. Each verdict comes with a
reason, which is the code found in the log.

## What a card is

A card is an OCPP *idTag*: 1 to 20 characters in which upper and lower case are the same. Numbers that people enter on
the page Users or in a CSV file may have separators (`04:A2:B3:C4`, `04-A2-B3-C4`); they are kept as readers deliver
them (`04A2B3C4`). What the backend sends is kept as it came. An optional group (*parentIdTag*, *GID* on the page) ties
cards together: a session begun with one of them can be ended with another.

## What the station knows by itself

* **The whitelist**, up to 1000 entries beside the master key that ships with the station. The backend maintains it
  with SendLocalList, people maintain it on the page Users; each entry remembers who wrote it last. A full list of the
  backend replaces the backend's entries and those of the same cards; entries made at the station survive it. Editing
  an entry at the station never changes the list's version. `LocalAuthListEnabled` switches its use off, except where
  the whitelist alone decides.
* **The authorization cache**: what the backend last said about cards that are not in the whitelist
  (`AuthorizationCacheEnabled`).

An entry counts as good when its status is Accepted and its expiry, if it has one, lies ahead. The whitelist goes before
the cache.

## The order of the questions

1. *Is the connector reserved for somebody else?* Then the card is refused before anything below is asked.
2. *Does the whitelist alone decide?* It does when the authenticator is “local whitelist”, and on a station without a
   backend. A good entry charges, a bad one is refused, an unknown card charges only in identification mode `any`. In
   mode `none` a cable is enough, unless the dummy tag has a bad entry.
3. *Is the backend reachable?* It is asked (Authorize), unless `LocalPreAuthorize` is on and the card has a good
   entry. A bad entry is always asked about: the backend may know better. If the connection is lost or no answer comes
   in time, the rules of 4 hold. A CALLERROR, and an answer without a status that the standard knows, are answers: the
   card is refused (`backend_answer_unusable`), whatever the rules of 4 would say. Whatever else is odd in an answer
   that names a status, such as an expiry that is no date, changes nothing about its status. The date 0001-01-01 is
   what several backends write for “no date”; it counts as none.
   With `PreAuthorize` set to `giro-e`, the payment for a card at the reader that is not in the whitelist has to be
   approved first: before Authorize the backend gets a DataTransfer of the vendor `giro-e`, message `PreAuthorize`, with
   the token of the station and the card (`{"token": "…", "idTag": "…"}`). Anything but *Accepted* refuses the card
   (`payment_declined`). Without a connection it is refused, too (`offline_payment`); the cache does not count for it.
   How giro-e travels over OCPP is not published: this message is our own.
4. *Offline:* a bad entry is refused, whatever else is set. A good one charges if `LocalAuthorizeOffline` is on. Any
   other card charges only with `AllowOfflineTxForUnknownId` or in mode `any`, and only once this backend has
   accepted the station: before, nobody could tell whether the session will ever be taken over.

What the backend says afterwards in StartTransaction.conf follows `StopTransactionOnInvalidId` and
`MaxEnergyOnInvalidId`. If it refuses a card that its own list accepts, the station reports `LocalListConflict`.
An answer without a status that the standard knows (none, no idTagInfo, nonsense) does not accept the card either, and
a refusal counts with or without a usable transactionId. Without one the StartTransaction is set aside at once instead
of being sent again: the backend might begin another transaction for each repetition.

## Every card in every situation

All other settings are at their defaults. *Card* is what the whitelist says of the tag (in mode `none`: of the dummy
tag). *Whitelist only* is the authenticator “local whitelist”, and a station without a backend.

"""


class Card(StrEnum):
    """What the whitelist says of the card in a row of the table."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    BLOCKED = "blocked"
    EXPIRED = "expired"


class Situation(StrEnum):
    """How the station stands to its backend in a row of the table."""

    ONLINE = "online"
    OFFLINE = "offline"
    BEFORE_FIRST_BOOT = "before first boot"
    WHITELIST_ONLY = "whitelist only"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: a card in a situation, and what becomes of it."""

    mode: IdentificationMode
    situation: Situation
    card: Card
    decision: Decision


_TABLE_NOW = datetime(2030, 1, 1, tzinfo=UTC)
_TABLE_ENTRIES: dict[Card, Entry | None] = {
    Card.KNOWN: Entry(status=AuthorizationStatus.ACCEPTED, expires_at=_TABLE_NOW + timedelta(days=1)),
    Card.UNKNOWN: None,
    Card.BLOCKED: Entry(status=AuthorizationStatus.BLOCKED),
    Card.EXPIRED: Entry(status=AuthorizationStatus.ACCEPTED, expires_at=_TABLE_NOW - timedelta(days=1)),
}


def table() -> Iterator[Row]:
    """Go through every card in every situation and mode, the other settings at their defaults."""
    for mode in IdentificationMode:
        for situation in Situation:
            for card, entry in _TABLE_ENTRIES.items():
                query = AuthorizationQuery(
                    id_tag="DUMMY" if mode is IdentificationMode.NONE else "04A2B3C4",
                    now=_TABLE_NOW,
                    mode=mode,
                    authenticator=(
                        Authenticator.WHITELIST if situation is Situation.WHITELIST_ONLY else Authenticator.BACKEND
                    ),
                    online=situation is Situation.ONLINE,
                    ever_accepted=situation is not Situation.BEFORE_FIRST_BOOT,
                    list_entry=entry,
                )
                yield Row(mode=mode, situation=situation, card=card, decision=decide(query))


def render() -> str:
    """Write the whole document."""
    lines = [
        "| identification | situation | card | verdict | reason |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row.mode} | {row.situation} | {row.card} | {row.decision.verdict} | `{row.decision.reason}` |"
        for row in table()
    ]
    return _INTRODUCTION + "\n".join(lines) + "\n"
