"""The machine of file jobs: OCPP 1.6 sections 4.4, 4.5, 5.9, 5.19 and the security whitepaper, L01 and N01."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocpp.v16.enums import DiagnosticsStatus, FirmwareStatus, UploadLogStatus

from station.domain.file_jobs import (
    ENDED,
    TRANSITIONS,
    Event,
    IllegalTransition,
    Kind,
    Retrying,
    Step,
    may_cancel,
    step,
    triggered_status,
)

AT = datetime(2026, 11, 20, tzinfo=UTC)
ENUMS = {
    Kind.DIAGNOSTICS: DiagnosticsStatus,
    Kind.LOG: UploadLogStatus,
    Kind.FIRMWARE: FirmwareStatus,
    Kind.SIGNED_FIRMWARE: FirmwareStatus,
}


def told(kind: Kind, *events: Event) -> list[str]:
    present, statuses = Step.WAITING, []
    for event in events:
        present, fresh = step(kind, present, event)
        statuses += fresh
    return statuses


def test_an_update_tells_its_statuses_in_the_order_of_section_4_5():
    statuses = told(
        Kind.FIRMWARE,
        Event.BEGUN,
        Event.TRANSFERRED,
        Event.VERIFIED,
        Event.BEGUN,
        Event.FREED,
        Event.SWITCHED,
        Event.BOOTED_NEW,
    )

    assert statuses == ["Downloading", "Downloaded", "Installing", "Installed"]


def test_a_signed_update_tells_its_statuses_in_the_order_of_the_whitepaper():
    statuses = told(
        Kind.SIGNED_FIRMWARE,
        Event.POSTPONED,
        Event.BEGUN,
        Event.TRANSFERRED,
        Event.VERIFIED,
        Event.POSTPONED,
        Event.BEGUN,
        Event.FREED,
        Event.SWITCHED,
        Event.BOOTED_NEW,
    )

    assert statuses == [
        "DownloadScheduled",
        "Downloading",
        "Downloaded",
        "SignatureVerified",
        "InstallScheduled",
        "Installing",
        "InstallRebooting",
        "Installed",
    ]


@pytest.mark.parametrize(
    ("kind", "begun", "failed"),
    [
        (Kind.DIAGNOSTICS, "Uploading", "UploadFailed"),
        (Kind.LOG, "Uploading", "UploadFailure"),
        (Kind.FIRMWARE, "Downloading", "DownloadFailed"),
        (Kind.SIGNED_FIRMWARE, "Downloading", "DownloadFailed"),
    ],
)
def test_every_try_of_a_transfer_is_told(kind, begun, failed):
    statuses = told(
        kind, Event.BEGUN, Event.TRY_FAILED, Event.BEGUN, Event.TRY_FAILED, Event.BEGUN, Event.TRANSFER_FAILED
    )

    assert statuses == [begun, failed] * 3


@pytest.mark.parametrize(
    ("kind", "event", "status"),
    [
        (Kind.DIAGNOSTICS, Event.TRANSFER_FAILED, "UploadFailed"),
        (Kind.DIAGNOSTICS, Event.PROTOCOL_UNKNOWN, "UploadFailed"),
        (Kind.LOG, Event.TRANSFER_FAILED, "UploadFailure"),
        (Kind.LOG, Event.TRANSFER_FORBIDDEN, "PermissionDenied"),
        (Kind.LOG, Event.LOCATION_UNREADABLE, "BadMessage"),
        (Kind.LOG, Event.PROTOCOL_UNKNOWN, "NotSupportedOperation"),
        (Kind.FIRMWARE, Event.TRANSFER_FORBIDDEN, "DownloadFailed"),
    ],
)
def test_a_failed_transfer_says_why_as_precisely_as_the_message_can(kind, event, status):
    assert told(kind, Event.BEGUN, event)[-1] == status


def test_an_image_with_a_wrong_signature_is_not_installed():
    assert told(Kind.SIGNED_FIRMWARE, Event.BEGUN, Event.TRANSFERRED, Event.SIGNATURE_REFUSED)[-1] == "InvalidSignature"
    assert told(Kind.FIRMWARE, Event.BEGUN, Event.TRANSFERRED, Event.SIGNATURE_REFUSED)[-2:] == [
        "Installing",
        "InstallationFailed",
    ]


@pytest.mark.parametrize("kind", ENUMS)
def test_every_status_is_a_word_of_the_schema(kind):
    words = {member.value for member in ENUMS[kind]}

    assert {status for _, statuses in TRANSITIONS[kind].values() for status in statuses} <= words


@given(st.sampled_from(list(Kind)), st.lists(st.sampled_from(list(Event)), max_size=40))
def test_no_sequence_of_events_leaves_an_ended_job_or_installs_what_was_not_verified(kind, events):
    present, seen = Step.WAITING, [Step.WAITING]
    for event in events:
        try:
            following, _ = step(kind, present, event)
        except IllegalTransition:
            continue
        assert present not in ENDED
        present = following
        seen.append(present)

    if Step.INSTALLING in seen:
        assert seen.index(Step.VERIFYING) < seen.index(Step.PREPARING) < seen.index(Step.INSTALLING)
        assert Step.CANCELLED not in seen


@pytest.mark.parametrize("kind", list(Kind))
def test_every_step_that_can_be_reached_has_a_way_to_an_end(kind):
    ways = {}
    for (present, _), (following, _) in TRANSITIONS[kind].items():
        ways.setdefault(present, set()).add(following)
    reached, todo = set(), [Step.WAITING]
    while todo:
        present = todo.pop()
        if present not in reached:
            reached.add(present)
            todo += ways.get(present, set())

    assert all(present in ENDED or ways[present] - {present} for present in reached)


def test_software_that_is_being_written_cannot_be_cancelled():
    assert [present for present in Step if may_cancel(present)] == [
        Step.WAITING,
        Step.TRANSFERRING,
        Step.RETRYING,
        Step.VERIFYING,
        Step.SCHEDULED,
        Step.PREPARING,
    ]


def test_a_trigger_says_idle_when_nothing_runs():
    assert triggered_status(Kind.FIRMWARE, None, "") == "Idle"
    assert triggered_status(Kind.DIAGNOSTICS, Step.DONE, "Uploaded") == "Idle"
    assert triggered_status(Kind.DIAGNOSTICS, Step.TRANSFERRING, "Uploading") == "Uploading"
    assert triggered_status(Kind.SIGNED_FIRMWARE, Step.DONE, "Installed") == "Idle"
    assert triggered_status(Kind.SIGNED_FIRMWARE, Step.FAILED, "InvalidSignature") == "InvalidSignature"


@given(st.integers(), st.integers())
def test_retries_are_read_without_overflow(retries, interval_s):
    retrying = Retrying.of(retries, interval_s)

    due = retrying.next_try(1, AT)
    assert (due is None) == (retries < 1)
    assert due is None or AT <= due <= AT + timedelta(days=1)


def test_one_retry_means_two_tries():
    retrying = Retrying.of(1, 5)

    assert retrying.next_try(1, AT) == AT + timedelta(seconds=5)
    assert retrying.next_try(2, AT) is None


@pytest.mark.parametrize("kind", [Kind.LOCAL_UPDATE, Kind.LOCAL_LOG])
def test_the_backend_hears_nothing_of_what_a_page_has_ordered(kind: Kind):
    assert not any(statuses for _following, statuses in TRANSITIONS[kind].values())


def test_an_update_from_a_file_is_a_rival_of_the_backends():
    assert Kind.LOCAL_UPDATE in Kind.FIRMWARE.rivals
    assert Kind.LOCAL_UPDATE.rivals == Kind.SIGNED_FIRMWARE.rivals
    assert Kind.LOCAL_LOG.rivals == {Kind.LOCAL_LOG}
