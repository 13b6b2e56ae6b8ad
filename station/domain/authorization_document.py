"""Writes docs/authorization.md: run it as `python -m station.domain.authorization_document > docs/authorization.md`."""

import sys

from station.domain.authorization import render_table

_INTRODUCTION = """\
# Who may charge

Made by `python -m station.domain.authorization_document`; do not edit. One pure function, `decide` in
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
4. *Offline:* a bad entry is refused, whatever else is set. A good one charges if `LocalAuthorizeOffline` is on. Any
   other card charges only with `AllowOfflineTxForUnknownId` or in mode `any`, and only once this backend has
   accepted the station: before, nobody could tell whether the session will ever be taken over.

What the backend says afterwards in StartTransaction.conf follows `StopTransactionOnInvalidId` and
`MaxEnergyOnInvalidId`. If it refuses a card that its own list accepts, the station reports `LocalListConflict`.

## Every card in every situation

All other settings are at their defaults. *Card* is what the whitelist says of the tag (in mode `none`: of the dummy
tag). *Whitelist only* is the authenticator “local whitelist”, and a station without a backend.

"""


def render() -> str:
    """Write the whole document."""
    return _INTRODUCTION + render_table()


if __name__ == "__main__":
    sys.stdout.write(render())
