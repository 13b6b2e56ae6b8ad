from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from station.domain.backend_ladder import (
    Observation,
    Registered,
    ServerCertificate,
    Step,
    Verdict,
    ladder,
)

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
CERTIFICATE = ServerCertificate(
    subject="csms.example.net", issuer="A CA", not_before=NOW - timedelta(days=9), not_after=NOW + timedelta(days=90)
)
STANDING = Observation(
    at=NOW,
    url="wss://csms.example.net/ocpp",
    host="csms.example.net",
    port=443,
    uses_tls=True,
    shows_key=True,
    step=Step.BOOT,
    is_over=True,
    addresses=("192.0.2.7",),
    link="verified",
    certificate=CERTIFICATE,
)
ACCEPTED = Registered(phase="accepted", interval_s=300, answered_at=NOW - timedelta(seconds=299))


def verdicts(seen: Observation, registered: Registered | None = None) -> dict[Step, Verdict]:
    return {rung.step: rung.verdict for rung in ladder(seen, registered, now=NOW)}


def test_a_connection_that_works_is_good_on_every_step() -> None:
    assert set(verdicts(STANDING, ACCEPTED).values()) == {Verdict.GOOD}


@pytest.mark.parametrize("step", [Step.NAME, Step.TCP, Step.TLS, Step.WEBSOCKET])
def test_what_comes_after_the_step_that_fails_was_not_reached(step: Step) -> None:
    found = verdicts(replace(STANDING, step=step, failure="timeout"))

    before, after = list(Step)[: list(Step).index(step)], list(Step)[list(Step).index(step) + 1 :]
    assert found[step] is Verdict.BAD
    assert all(found[each] is Verdict.GOOD for each in before)
    assert all(found[each] is Verdict.NOT_REACHED for each in after)


def test_a_refused_key_is_not_held_against_the_websocket() -> None:
    found = verdicts(replace(STANDING, step=Step.WEBSOCKET, failure="unauthorized", http_status=401))

    assert found[Step.WEBSOCKET] is Verdict.GOOD
    assert found[Step.LOGIN] is Verdict.BAD


@pytest.mark.parametrize(
    ("phase", "verdict"),
    [
        ("asked", Verdict.NOT_REACHED),
        ("unanswered", Verdict.BAD),
        ("pending", Verdict.WARNING),
        ("rejected", Verdict.BAD),
        ("accepted", Verdict.GOOD),
    ],
)
def test_the_servers_answer_to_boot_notification_decides_on_that_step(phase: str, verdict: Verdict) -> None:
    assert verdicts(STANDING, replace(ACCEPTED, phase=phase))[Step.BOOT] is verdict


def test_heartbeats_without_an_answer_are_told() -> None:
    late = replace(ACCEPTED, answered_at=NOW - timedelta(seconds=700))

    assert verdicts(STANDING, late)[Step.HEARTBEAT] is Verdict.BAD


def test_a_certificate_that_ends_soon_and_a_link_without_proof_are_reservations() -> None:
    soon = replace(CERTIFICATE, not_after=NOW + timedelta(days=3))

    assert verdicts(replace(STANDING, certificate=soon), ACCEPTED)[Step.TLS] is Verdict.WARNING
    assert verdicts(replace(STANDING, link="unverified"), ACCEPTED)[Step.TLS] is Verdict.WARNING
    assert verdicts(replace(STANDING, uses_tls=False, link="plain"), ACCEPTED)[Step.TLS] is Verdict.WARNING


def test_a_look_at_the_way_ends_below_the_websocket_and_says_why() -> None:
    rungs = ladder(replace(STANDING, step=Step.TLS, stopped_early=True), None, now=NOW)

    assert [rung.cause for rung in rungs[4:]] == ["stopped_early"] * 4


def test_a_step_under_way_is_neither_good_nor_bad() -> None:
    assert verdicts(replace(STANDING, step=Step.TCP, is_over=False))[Step.TCP] is Verdict.NOT_REACHED
