"""Who may charge: one decision for a presented tag, from the web page's settings, the lists and the backend.

The order of questions is that of OCPP 1.6 sections 3.5 and 4.1; the identification modes are those of the manuals'
page Authentication. Whether a connector is reserved for somebody else is asked before (`station.domain.reservations`).
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from station.domain.id_tags import MAX_ID_TAG_LENGTH


class IdentificationMode(StrEnum):
    """What a driver must present; the values are those of the key /auth/identification."""

    ANY = "any"
    NONE = "none"
    WHITELISTED = "whitelisted"


class Authenticator(StrEnum):
    """Who judges a tag; the values are those of the key /auth/authenticator."""

    BACKEND = "backend"
    WHITELIST = "whitelist"


class AuthorizationStatus(StrEnum):
    """OCPP 1.6 section 7.2."""

    ACCEPTED = "Accepted"
    BLOCKED = "Blocked"
    EXPIRED = "Expired"
    INVALID = "Invalid"
    CONCURRENT_TX = "ConcurrentTx"


class EntrySource(StrEnum):
    """Who wrote a row of the whitelist."""

    LOCAL = "local"
    BACKEND = "backend"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What the whitelist or the cache knows of a tag."""

    status: AuthorizationStatus
    expires_at: datetime | None = None
    parent_id_tag: str | None = None
    source: EntrySource = EntrySource.BACKEND


@dataclass(frozen=True, kw_only=True)
class BackendAnswer:
    """The idTagInfo of an Authorize.conf or StartTransaction.conf.

    `status` None: the backend has answered, but with a CALLERROR or without a status that the standard knows.
    `payment_declined`: it did not approve the payment, and was not asked about the card.
    """

    status: AuthorizationStatus | None
    expires_at: datetime | None = None
    parent_id_tag: str | None = None
    payment_declined: bool = False


@dataclass(frozen=True, kw_only=True)
class AuthorizationQuery:
    """Everything the decision depends on.

    `online`: the backend has accepted the boot on a connection that is open now. `ever_accepted`: it has accepted this
    station with its present URL and identity before. `list_entry` and `cache_entry` are what was found for the tag,
    whether or not list and cache are enabled. `pays_first`: the backend has to approve the payment of a card nobody
    knows before it is asked about the card (PreAuthorize).
    """

    id_tag: str
    now: datetime
    mode: IdentificationMode = IdentificationMode.WHITELISTED
    authenticator: Authenticator = Authenticator.BACKEND
    backend_configured: bool = True
    online: bool = True
    ever_accepted: bool = True
    local_list_enabled: bool = True
    cache_enabled: bool = True
    local_pre_authorize: bool = False
    local_authorize_offline: bool = True
    allow_offline_unknown: bool = False
    list_entry: Entry | None = None
    cache_entry: Entry | None = None
    dummy_id: str = "DUMMY"
    pays_first: bool = False


class Verdict(StrEnum):
    """What to do with the tag."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    ASK_BACKEND = "ask_backend"


class Reason(StrEnum):
    """Why; one code for every path through the rules."""

    TAG_MALFORMED = "tag_malformed"
    # Only the whitelist judges: no backend configured, or the authenticator is the whitelist.
    WHITELIST_ACCEPTED = "whitelist_accepted"
    WHITELIST_BLOCKED = "whitelist_blocked"
    WHITELIST_EXPIRED = "whitelist_expired"
    WHITELIST_UNKNOWN = "whitelist_unknown"
    WHITELIST_ANY_CARD = "whitelist_any_card"
    WHITELIST_NO_IDENTIFICATION = "whitelist_no_identification"
    # Online.
    PRE_AUTHORIZED_BY_LIST = "pre_authorized_by_list"
    PRE_AUTHORIZED_BY_CACHE = "pre_authorized_by_cache"
    PRE_AUTHORIZE_OFF = "pre_authorize_off"
    LISTED_NOT_ACCEPTED_ASK = "listed_not_accepted_ask"
    CACHED_NOT_ACCEPTED_ASK = "cached_not_accepted_ask"
    UNKNOWN_ASK = "unknown_ask"
    BACKEND_ACCEPTED = "backend_accepted"
    BACKEND_BLOCKED = "backend_blocked"
    BACKEND_EXPIRED = "backend_expired"
    BACKEND_INVALID = "backend_invalid"
    BACKEND_CONCURRENT = "backend_concurrent"
    BACKEND_ANSWER_UNUSABLE = "backend_answer_unusable"
    PAYMENT_DECLINED = "payment_declined"
    # Offline.
    OFFLINE_LISTED = "offline_listed"
    OFFLINE_CACHED = "offline_cached"
    OFFLINE_LISTED_BLOCKED = "offline_listed_blocked"
    OFFLINE_LISTED_EXPIRED = "offline_listed_expired"
    OFFLINE_CACHED_BLOCKED = "offline_cached_blocked"
    OFFLINE_CACHED_EXPIRED = "offline_cached_expired"
    OFFLINE_LOCAL_OFF = "offline_local_off"
    OFFLINE_UNKNOWN_ALLOWED = "offline_unknown_allowed"
    OFFLINE_UNKNOWN = "offline_unknown"
    OFFLINE_PAYMENT = "offline_payment"
    # A backend is configured that has never accepted this station.
    BEFORE_FIRST_ACCEPTANCE = "before_first_acceptance"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The verdict with its reason, and what is known of the tag's group and expiry."""

    verdict: Verdict
    reason: Reason
    parent_id_tag: str | None = None
    expires_at: datetime | None = None


_BACKEND_REASONS: dict[AuthorizationStatus | None, Reason] = {
    AuthorizationStatus.ACCEPTED: Reason.BACKEND_ACCEPTED,
    AuthorizationStatus.BLOCKED: Reason.BACKEND_BLOCKED,
    AuthorizationStatus.EXPIRED: Reason.BACKEND_EXPIRED,
    AuthorizationStatus.INVALID: Reason.BACKEND_INVALID,
    AuthorizationStatus.CONCURRENT_TX: Reason.BACKEND_CONCURRENT,
    None: Reason.BACKEND_ANSWER_UNUSABLE,
}


def same_tag(a: str, b: str) -> bool:
    """Compare two id tags as OCPP does: upper and lower case are the same (section 7.28)."""
    return a.casefold() == b.casefold()


def may_stop(session_tag: str, session_parent: str | None, tag: str, tag_parent: str | None) -> bool:
    """Return whether a presented tag ends the session: the same tag, or one of the same group (section 4.8).

    A parent is compared with a parent only; tags without a group belong to nobody else's.
    """
    if same_tag(session_tag, tag):
        return True
    return bool(session_parent) and bool(tag_parent) and same_tag(session_parent or "", tag_parent or "")


def decide(query: AuthorizationQuery) -> Decision:
    """Judge a presented tag before anybody is asked; ASK_BACKEND is followed by `after_backend`."""
    if not 0 < len(query.id_tag) <= MAX_ID_TAG_LENGTH:
        return Decision(verdict=Verdict.REFUSED, reason=Reason.TAG_MALFORMED)
    if not query.backend_configured or query.authenticator is Authenticator.WHITELIST:
        return _decide_by_whitelist(query)
    if query.online:
        return _decide_online(query)
    return _decide_offline(query)


def after_backend(query: AuthorizationQuery, answer: BackendAnswer | None) -> Decision:
    """Judge the tag once the backend has answered; None: no answer came, so the rules of an offline station hold.

    An answer that cannot be used is not the same as none: a backend that is there has not let the card charge.
    """
    if answer is None:
        return decide(replace(query, online=False))
    if answer.payment_declined:
        return Decision(verdict=Verdict.REFUSED, reason=Reason.PAYMENT_DECLINED)
    accepted = answer.status is AuthorizationStatus.ACCEPTED
    return Decision(
        verdict=Verdict.ACCEPTED if accepted else Verdict.REFUSED,
        reason=_BACKEND_REASONS[answer.status],
        parent_id_tag=answer.parent_id_tag or None,
        expires_at=answer.expires_at,
    )


def is_list_conflict(query: AuthorizationQuery, answer: BackendAnswer) -> bool:
    """Return whether the backend refuses a tag its own list accepts: LocalListConflict (section 3.5.2)."""
    entry = query.list_entry if query.local_list_enabled else None
    return (
        entry is not None
        and entry.source is EntrySource.BACKEND
        and _is_valid(entry, query.now)
        and answer.status in (AuthorizationStatus.BLOCKED, AuthorizationStatus.EXPIRED, AuthorizationStatus.INVALID)
    )


def _is_expired(entry: Entry, now: datetime) -> bool:
    return entry.status is AuthorizationStatus.EXPIRED or (entry.expires_at is not None and entry.expires_at <= now)


def _is_valid(entry: Entry, now: datetime) -> bool:
    return entry.status is AuthorizationStatus.ACCEPTED and not _is_expired(entry, now)


def _decision(verdict: Verdict, reason: Reason, entry: Entry | None = None) -> Decision:
    return Decision(
        verdict=verdict,
        reason=reason,
        parent_id_tag=(entry.parent_id_tag or None) if entry else None,
        expires_at=entry.expires_at if entry else None,
    )


def _is_dummy(query: AuthorizationQuery) -> bool:
    return query.mode is IdentificationMode.NONE and same_tag(query.id_tag, query.dummy_id)


def _decide_by_whitelist(query: AuthorizationQuery) -> Decision:
    # LocalAuthListEnabled is the backend's switch for its use of the list; here the owner has chosen the list itself.
    entry = query.list_entry
    if entry is not None:
        if _is_valid(entry, query.now):
            return _decision(Verdict.ACCEPTED, Reason.WHITELIST_ACCEPTED, entry)
        expired = entry.status in (AuthorizationStatus.ACCEPTED, AuthorizationStatus.EXPIRED)
        return _decision(Verdict.REFUSED, Reason.WHITELIST_EXPIRED if expired else Reason.WHITELIST_BLOCKED, entry)
    if _is_dummy(query):
        return _decision(Verdict.ACCEPTED, Reason.WHITELIST_NO_IDENTIFICATION)
    if query.mode is IdentificationMode.ANY:
        return _decision(Verdict.ACCEPTED, Reason.WHITELIST_ANY_CARD)
    return _decision(Verdict.REFUSED, Reason.WHITELIST_UNKNOWN)


def _decide_online(query: AuthorizationQuery) -> Decision:
    # The list goes before the cache: a tag in the list is never looked up in the cache (section 3.5.2).
    listed = query.list_entry if query.local_list_enabled else None
    entry = listed or (query.cache_entry if query.cache_enabled else None)
    if entry is None:
        return _decision(Verdict.ASK_BACKEND, Reason.UNKNOWN_ASK)
    if not _is_valid(entry, query.now):
        reason = Reason.LISTED_NOT_ACCEPTED_ASK if listed else Reason.CACHED_NOT_ACCEPTED_ASK
        return _decision(Verdict.ASK_BACKEND, reason, entry)
    if not query.local_pre_authorize:
        return _decision(Verdict.ASK_BACKEND, Reason.PRE_AUTHORIZE_OFF, entry)
    reason = Reason.PRE_AUTHORIZED_BY_LIST if listed else Reason.PRE_AUTHORIZED_BY_CACHE
    return _decision(Verdict.ACCEPTED, reason, entry)


def _decide_offline(query: AuthorizationQuery) -> Decision:
    listed = query.list_entry if query.local_list_enabled else None
    # Before the first acceptance the cache can only stem from another backend.
    cached = query.cache_entry if query.cache_enabled and query.ever_accepted else None
    entry = listed or cached
    if entry is not None and not _is_valid(entry, query.now):
        # Section 3.5.4: known and not accepted is refused even where unknown tags may charge.
        expired = entry.status in (AuthorizationStatus.ACCEPTED, AuthorizationStatus.EXPIRED)
        if listed:
            reason = Reason.OFFLINE_LISTED_EXPIRED if expired else Reason.OFFLINE_LISTED_BLOCKED
        else:
            reason = Reason.OFFLINE_CACHED_EXPIRED if expired else Reason.OFFLINE_CACHED_BLOCKED
        return _decision(Verdict.REFUSED, reason, entry)
    if entry is not None and query.local_authorize_offline:
        return _decision(Verdict.ACCEPTED, Reason.OFFLINE_LISTED if listed else Reason.OFFLINE_CACHED, entry)
    if not query.ever_accepted:
        # Section 4.2.1 advises against sessions that this backend may never take over.
        return _decision(Verdict.REFUSED, Reason.BEFORE_FIRST_ACCEPTANCE, entry)
    if query.pays_first and entry is None and not _is_dummy(query):
        return _decision(Verdict.REFUSED, Reason.OFFLINE_PAYMENT)
    if query.allow_offline_unknown or query.mode is IdentificationMode.ANY:
        return _decision(Verdict.ACCEPTED, Reason.OFFLINE_UNKNOWN_ALLOWED, entry)
    if entry is not None:
        return _decision(Verdict.REFUSED, Reason.OFFLINE_LOCAL_OFF, entry)
    return _decision(Verdict.REFUSED, Reason.OFFLINE_UNKNOWN)
