"""Authorisation: OCPP 1.6 sections 3.5, 4.1, 4.2.1, 4.8 and the manuals' page Authentication."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.domain.authorization import (
    Authenticator,
    AuthorizationQuery,
    AuthorizationStatus,
    BackendAnswer,
    Decision,
    Entry,
    EntrySource,
    IdentificationMode,
    Reason,
    Verdict,
    after_backend,
    decide,
    is_list_conflict,
    may_stop,
    same_tag,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ACCEPTED = Entry(status=AuthorizationStatus.ACCEPTED, parent_id_tag="FLEET", expires_at=NOW + timedelta(hours=1))
BLOCKED = Entry(status=AuthorizationStatus.BLOCKED)
EXPIRED = Entry(status=AuthorizationStatus.ACCEPTED, expires_at=NOW)
QUERY = AuthorizationQuery(id_tag="04a2b3c4", now=NOW)
OFFLINE = replace(QUERY, online=False)
FRESH = replace(OFFLINE, ever_accepted=False)


def outcome(decision: Decision) -> tuple[Verdict, Reason]:
    return decision.verdict, decision.reason


def test_section_4_1_online_an_unknown_tag_is_a_question_to_the_backend() -> None:
    assert outcome(decide(QUERY)) == (Verdict.ASK_BACKEND, Reason.UNKNOWN_ASK)


def test_section_3_5_online_a_listed_tag_is_asked_for_unless_pre_authorize_is_on() -> None:
    asked = decide(replace(QUERY, list_entry=ACCEPTED))
    at_once = decide(replace(QUERY, list_entry=ACCEPTED, local_pre_authorize=True))

    assert outcome(asked) == (Verdict.ASK_BACKEND, Reason.PRE_AUTHORIZE_OFF)
    assert outcome(at_once) == (Verdict.ACCEPTED, Reason.PRE_AUTHORIZED_BY_LIST)
    assert at_once.parent_id_tag == "FLEET"
    assert at_once.expires_at == ACCEPTED.expires_at


def test_section_3_5_online_a_cached_tag_is_accepted_with_pre_authorize() -> None:
    decision = decide(replace(QUERY, cache_entry=ACCEPTED, local_pre_authorize=True))

    assert outcome(decision) == (Verdict.ACCEPTED, Reason.PRE_AUTHORIZED_BY_CACHE)


@pytest.mark.parametrize("entry", [BLOCKED, EXPIRED])
def test_section_3_5_online_an_entry_that_is_not_accepted_is_asked_for_again(entry: Entry) -> None:
    listed = decide(replace(QUERY, list_entry=entry, cache_entry=ACCEPTED, local_pre_authorize=True))
    cached = decide(replace(QUERY, cache_entry=entry, local_pre_authorize=True))

    assert outcome(listed) == (Verdict.ASK_BACKEND, Reason.LISTED_NOT_ACCEPTED_ASK)
    assert outcome(cached) == (Verdict.ASK_BACKEND, Reason.CACHED_NOT_ACCEPTED_ASK)


def test_section_3_5_2_the_list_goes_before_the_cache() -> None:
    decision = decide(replace(OFFLINE, list_entry=BLOCKED, cache_entry=ACCEPTED))

    assert outcome(decision) == (Verdict.REFUSED, Reason.OFFLINE_LISTED_BLOCKED)


def test_section_3_5_offline_listed_and_cached_tags_charge() -> None:
    assert outcome(decide(replace(OFFLINE, list_entry=ACCEPTED))) == (Verdict.ACCEPTED, Reason.OFFLINE_LISTED)
    assert outcome(decide(replace(OFFLINE, cache_entry=ACCEPTED))) == (Verdict.ACCEPTED, Reason.OFFLINE_CACHED)


def test_section_3_5_offline_nothing_known_counts_when_local_authorize_offline_is_off() -> None:
    query = replace(OFFLINE, list_entry=ACCEPTED, local_authorize_offline=False)

    assert outcome(decide(query)) == (Verdict.REFUSED, Reason.OFFLINE_LOCAL_OFF)
    assert outcome(decide(replace(query, allow_offline_unknown=True))) == (
        Verdict.ACCEPTED,
        Reason.OFFLINE_UNKNOWN_ALLOWED,
    )


@pytest.mark.parametrize(
    ("field", "entry", "reason"),
    [
        ("list_entry", BLOCKED, Reason.OFFLINE_LISTED_BLOCKED),
        ("list_entry", EXPIRED, Reason.OFFLINE_LISTED_EXPIRED),
        ("cache_entry", BLOCKED, Reason.OFFLINE_CACHED_BLOCKED),
        ("cache_entry", EXPIRED, Reason.OFFLINE_CACHED_EXPIRED),
    ],
)
def test_section_3_5_4_offline_a_known_bad_tag_is_refused_even_where_unknown_ones_charge(
    field: str, entry: Entry, reason: Reason
) -> None:
    query = replace(OFFLINE, allow_offline_unknown=True, mode=IdentificationMode.ANY)

    assert outcome(decide(replace(query, **{field: entry}))) == (Verdict.REFUSED, reason)  # type: ignore[arg-type]


def test_section_3_5_4_offline_an_unknown_tag_needs_allow_offline_tx_for_unknown_id() -> None:
    assert outcome(decide(OFFLINE)) == (Verdict.REFUSED, Reason.OFFLINE_UNKNOWN)
    assert decide(replace(OFFLINE, allow_offline_unknown=True)).verdict is Verdict.ACCEPTED


def test_section_3_5_disabled_structures_are_not_looked_at() -> None:
    query = replace(OFFLINE, list_entry=ACCEPTED, cache_entry=ACCEPTED, local_list_enabled=False, cache_enabled=False)

    assert outcome(decide(query)) == (Verdict.REFUSED, Reason.OFFLINE_UNKNOWN)


def test_section_4_2_1_before_the_first_acceptance_only_an_accepted_list_entry_charges() -> None:
    assert decide(replace(FRESH, list_entry=replace(ACCEPTED, source=EntrySource.LOCAL))).verdict is Verdict.ACCEPTED
    for other in (
        FRESH,
        replace(FRESH, mode=IdentificationMode.ANY),
        replace(FRESH, allow_offline_unknown=True),
        replace(FRESH, cache_entry=ACCEPTED),
        replace(FRESH, mode=IdentificationMode.NONE, id_tag="DUMMY"),
    ):
        assert outcome(decide(other)) == (Verdict.REFUSED, Reason.BEFORE_FIRST_ACCEPTANCE)


@pytest.mark.parametrize("change", [{"backend_configured": False}, {"authenticator": Authenticator.WHITELIST}])
def test_manual_authenticator_whitelist_never_asks_the_backend(change: dict[str, object]) -> None:
    query = replace(QUERY, **change)  # type: ignore[arg-type]

    assert outcome(decide(query)) == (Verdict.REFUSED, Reason.WHITELIST_UNKNOWN)
    assert outcome(decide(replace(query, list_entry=ACCEPTED))) == (Verdict.ACCEPTED, Reason.WHITELIST_ACCEPTED)
    assert outcome(decide(replace(query, list_entry=BLOCKED))) == (Verdict.REFUSED, Reason.WHITELIST_BLOCKED)
    assert outcome(decide(replace(query, list_entry=EXPIRED))) == (Verdict.REFUSED, Reason.WHITELIST_EXPIRED)
    assert outcome(decide(replace(query, cache_entry=ACCEPTED))) == (Verdict.REFUSED, Reason.WHITELIST_UNKNOWN)
    assert outcome(decide(replace(query, mode=IdentificationMode.ANY))) == (
        Verdict.ACCEPTED,
        Reason.WHITELIST_ANY_CARD,
    )
    assert outcome(decide(replace(query, mode=IdentificationMode.NONE, id_tag="dummy"))) == (
        Verdict.ACCEPTED,
        Reason.WHITELIST_NO_IDENTIFICATION,
    )


def test_manual_mode_none_sends_the_dummy_tag_to_the_backend_and_follows_the_offline_rules() -> None:
    dummy = replace(QUERY, mode=IdentificationMode.NONE, id_tag="DUMMY")

    assert decide(dummy).verdict is Verdict.ASK_BACKEND
    assert decide(replace(dummy, online=False)).verdict is Verdict.REFUSED
    assert decide(replace(dummy, online=False, allow_offline_unknown=True)).verdict is Verdict.ACCEPTED


def test_manual_mode_any_is_still_checked_at_the_backend_when_online() -> None:
    query = replace(QUERY, mode=IdentificationMode.ANY)

    assert decide(query).verdict is Verdict.ASK_BACKEND
    assert after_backend(query, BackendAnswer(status=AuthorizationStatus.INVALID)).verdict is Verdict.REFUSED
    assert decide(replace(query, online=False)).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("status", list(AuthorizationStatus))
def test_section_7_2_every_status_but_accepted_refuses(status: AuthorizationStatus) -> None:
    decision = after_backend(QUERY, BackendAnswer(status=status, parent_id_tag="P"))

    assert (decision.verdict is Verdict.ACCEPTED) == (status is AuthorizationStatus.ACCEPTED)
    assert decision.parent_id_tag == "P"


def test_section_4_1_no_answer_of_the_backend_means_offline_rules() -> None:
    assert outcome(after_backend(QUERY, None)) == (Verdict.REFUSED, Reason.OFFLINE_UNKNOWN)
    assert outcome(after_backend(replace(QUERY, list_entry=ACCEPTED), None)) == (
        Verdict.ACCEPTED,
        Reason.OFFLINE_LISTED,
    )


@pytest.mark.parametrize("entry", [None, ACCEPTED, BLOCKED])
def test_an_answer_that_cannot_be_used_refuses_whatever_the_offline_rules_would_say(entry: Entry | None) -> None:
    query = replace(QUERY, list_entry=entry, allow_offline_unknown=True, mode=IdentificationMode.ANY)

    decision = after_backend(query, BackendAnswer(status=None))

    assert outcome(decision) == (Verdict.REFUSED, Reason.BACKEND_ANSWER_UNUSABLE)
    assert not is_list_conflict(query, BackendAnswer(status=None))


@pytest.mark.parametrize("tag", ["", "x" * 21])
def test_section_7_28_a_tag_without_or_with_too_many_characters_is_refused(tag: str) -> None:
    assert outcome(decide(replace(QUERY, id_tag=tag))) == (Verdict.REFUSED, Reason.TAG_MALFORMED)


def test_section_7_28_tags_differ_in_more_than_case() -> None:
    assert same_tag("04A2b3", "04a2B3")
    assert not same_tag("04A2B3", "04A2B4")


@pytest.mark.parametrize(
    ("session", "parent", "tag", "tag_parent", "expected"),
    [
        ("A1", None, "a1", None, True),
        ("A1", "G", "B2", "g", True),
        ("A1", "G", "B2", "H", False),
        ("A1", None, "B2", None, False),
        ("A1", "", "B2", "", False),
        ("A1", "G", "G", None, False),
        ("A1", "B2", "B2", None, False),
    ],
)
def test_section_4_8_the_same_tag_or_a_member_of_its_group_stops(
    session: str, parent: str | None, tag: str, tag_parent: str | None, expected: object
) -> None:
    assert may_stop(session, parent, tag, tag_parent) is expected


def test_section_3_5_2_a_refusal_of_a_tag_the_backends_list_accepts_is_a_conflict() -> None:
    refusal = BackendAnswer(status=AuthorizationStatus.INVALID)

    assert is_list_conflict(replace(QUERY, list_entry=ACCEPTED), refusal)
    assert not is_list_conflict(replace(QUERY, list_entry=BLOCKED), refusal)
    assert not is_list_conflict(replace(QUERY, list_entry=replace(ACCEPTED, source=EntrySource.LOCAL)), refusal)
    assert not is_list_conflict(QUERY, refusal)


ENTRIES = st.one_of(
    st.none(),
    st.builds(
        Entry,
        status=st.sampled_from(AuthorizationStatus),
        expires_at=st.sampled_from([None, NOW - timedelta(1), NOW, NOW + timedelta(1)]),
    ),
)


@given(
    st.builds(
        AuthorizationQuery,
        id_tag=st.sampled_from(["DUMMY", "04A2B3C4"]),
        now=st.just(NOW),
        mode=st.sampled_from(IdentificationMode),
        authenticator=st.sampled_from(Authenticator),
        backend_configured=st.booleans(),
        online=st.booleans(),
        ever_accepted=st.booleans(),
        local_list_enabled=st.booleans(),
        cache_enabled=st.booleans(),
        local_pre_authorize=st.booleans(),
        local_authorize_offline=st.booleans(),
        allow_offline_unknown=st.booleans(),
        list_entry=ENTRIES,
        cache_entry=ENTRIES,
    )
)
def test_section_3_5_no_combination_accepts_a_bad_list_entry_or_asks_an_absent_backend(
    query: AuthorizationQuery,
) -> None:
    decision = decide(query)
    final = after_backend(query, None)
    consulted = query.list_entry if query.local_list_enabled or decision.reason.startswith("whitelist") else None

    assert final.verdict is not Verdict.ASK_BACKEND
    if decision.verdict is Verdict.ASK_BACKEND:
        assert query.online
        assert query.backend_configured
        assert query.authenticator is Authenticator.BACKEND
    if consulted and (
        consulted.status is not AuthorizationStatus.ACCEPTED or (consulted.expires_at and consulted.expires_at <= NOW)
    ):
        assert decision.verdict is not Verdict.ACCEPTED
        assert final.verdict is not Verdict.ACCEPTED
