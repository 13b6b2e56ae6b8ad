"""The way to the backend step by step: which steps of an attempt to connect are good, and which one fails."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from station.domain.link_security import LinkKind


class Step(StrEnum):
    """The steps in their order; an attempt passes each before it comes to the next."""

    ADDRESS = "address"
    NAME = "name"
    TCP = "tcp"
    TLS = "tls"
    WEBSOCKET = "websocket"
    LOGIN = "login"
    BOOT = "boot"
    HEARTBEAT = "heartbeat"


class Verdict(StrEnum):
    """How a step stands. NOT_NEEDED: this connection has no such step."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    NOT_REACHED = "not_reached"
    NOT_NEEDED = "not_needed"


@dataclass(frozen=True, kw_only=True)
class ServerCertificate:
    """Whom the server says it is."""

    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What was measured of one attempt to connect.

    `step` is the last one that was begun. `failure` says why it failed, by a code of `station.ui.ladder_words`; without
    it the step succeeded, or is still under way (`is_over` False). `stopped_early`: the attempt was not to go on to the
    WebSocket, because a second connection would have displaced the one that stands. `ended_at` is the moment of the
    failure.
    """

    at: datetime
    url: str
    ended_at: datetime | None = None
    host: str = ""
    port: int = 0
    uses_tls: bool = False
    shows_key: bool = False
    shows_certificate: bool = False
    step: Step = Step.ADDRESS
    failure: str = ""
    detail: str = ""
    is_over: bool = False
    stopped_early: bool = False
    addresses: tuple[str, ...] = ()
    peer: str = ""
    name_ms: int | None = None
    tcp_ms: int | None = None
    tls_ms: int | None = None
    websocket_ms: int | None = None
    tls_version: str = ""
    tls_cipher: str = ""
    certificate: ServerCertificate | None = None
    http_status: int | None = None
    subprotocol: str = ""
    link: str = ""


@dataclass(frozen=True, kw_only=True)
class Registered:
    """What came of BootNotification. `phase`: a `registration.Phase`; `answered_at`: the last heartbeat's answer."""

    phase: str = ""
    boot_ms: int | None = None
    interval_s: int | None = None
    answered_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One step with its verdict; `cause` is a code of `station.ui.ladder_words`, which says the rest."""

    step: Step
    verdict: Verdict
    cause: str = ""


# A certificate is renewed weeks before its end; nearer to it somebody has forgotten it.
_ENDS_SOON = timedelta(days=21)
# One heartbeat may be lost or late.
_HEARTBEATS_MISSED = 2
_HEARTBEAT_GRACE = timedelta(seconds=30)
# These answers say that the server speaks WebSocket here and wants other credentials.
_LOGIN_FAILURES = frozenset({"unauthorized"})


def ladder(seen: Observation, registered: Registered | None, *, now: datetime) -> tuple[Rung, ...]:
    """Return the eight rungs of an attempt; `registered` belongs to a connection that stands."""
    return tuple(_rungs(seen, registered, now))


def _rungs(seen: Observation, registered: Registered | None, now: datetime) -> Iterator[Rung]:
    failing = Step.LOGIN if seen.failure in _LOGIN_FAILURES else seen.step
    reached = list(Step).index(failing)
    for place, step in enumerate(Step):
        if place < reached:
            yield _passed(step, seen, now)
        elif place > reached:
            yield Rung(step=step, verdict=Verdict.NOT_REACHED, cause=_why_not_reached(seen))
        elif seen.failure:
            yield Rung(step=step, verdict=Verdict.BAD, cause=seen.failure)
        elif not seen.is_over:
            yield Rung(step=step, verdict=Verdict.NOT_REACHED, cause="under_way")
        else:
            yield from _registration(step, seen, registered, now)
            if step in {Step.BOOT, Step.HEARTBEAT}:
                return


def _why_not_reached(seen: Observation) -> str:
    return "stopped_early" if seen.stopped_early and not seen.failure else ""


def _registration(step: Step, seen: Observation, registered: Registered | None, now: datetime) -> Iterator[Rung]:
    """Yield the last step that was reached; of a standing connection with what has come of it since."""
    if step is not Step.BOOT:
        yield _passed(step, seen, now)
        return
    if registered is None:
        # The WebSocket was opened and closed again: a trial does not register the station.
        yield Rung(step=Step.BOOT, verdict=Verdict.NOT_REACHED, cause="boot_later")
        yield Rung(step=Step.HEARTBEAT, verdict=Verdict.NOT_REACHED)
        return
    boot = _boot(registered.phase)
    yield boot
    yield _heartbeat(registered, now) if boot.verdict is Verdict.GOOD else _silent_heartbeat()


def _silent_heartbeat() -> Rung:
    return Rung(step=Step.HEARTBEAT, verdict=Verdict.NOT_REACHED)


def _boot(phase: str) -> Rung:
    match phase:
        case "accepted":
            return Rung(step=Step.BOOT, verdict=Verdict.GOOD, cause="boot_accepted")
        case "pending":
            return Rung(step=Step.BOOT, verdict=Verdict.WARNING, cause="boot_pending")
        case "rejected":
            return Rung(step=Step.BOOT, verdict=Verdict.BAD, cause="boot_rejected")
        case "unanswered":
            return Rung(step=Step.BOOT, verdict=Verdict.BAD, cause="boot_unanswered")
    return Rung(step=Step.BOOT, verdict=Verdict.NOT_REACHED, cause="under_way")


def _heartbeat(registered: Registered, now: datetime) -> Rung:
    if registered.answered_at is None:
        return Rung(step=Step.HEARTBEAT, verdict=Verdict.NOT_REACHED, cause="under_way")
    if not registered.interval_s:
        return Rung(step=Step.HEARTBEAT, verdict=Verdict.GOOD, cause="heartbeat_unasked")
    longest = timedelta(seconds=_HEARTBEATS_MISSED * registered.interval_s) + _HEARTBEAT_GRACE
    if now - registered.answered_at > longest:
        return Rung(step=Step.HEARTBEAT, verdict=Verdict.BAD, cause="heartbeat_late")
    return Rung(step=Step.HEARTBEAT, verdict=Verdict.GOOD, cause="heartbeat_answered")


def _passed(step: Step, seen: Observation, now: datetime) -> Rung:
    """Judge a step that the attempt has left behind."""
    match step:
        case Step.NAME if not seen.addresses or seen.addresses == (seen.host,):
            return Rung(step=step, verdict=Verdict.NOT_NEEDED, cause="name_unneeded")
        case Step.TLS:
            return _tls(seen, now)
        case Step.LOGIN:
            return _login(seen)
        case Step.BOOT:
            return _boot("accepted")
    return Rung(step=step, verdict=Verdict.GOOD, cause=f"{step.value}_good")


def _tls(seen: Observation, now: datetime) -> Rung:
    if not seen.uses_tls:
        if seen.link == LinkKind.INTERNAL:
            return Rung(step=Step.TLS, verdict=Verdict.NOT_NEEDED, cause="tls_internal")
        return Rung(step=Step.TLS, verdict=Verdict.WARNING, cause="tls_absent")
    if seen.link == LinkKind.UNVERIFIED:
        return Rung(step=Step.TLS, verdict=Verdict.WARNING, cause="tls_unproven")
    if seen.certificate is not None and seen.certificate.not_after - now < _ENDS_SOON:
        return Rung(step=Step.TLS, verdict=Verdict.WARNING, cause="tls_ends_soon")
    return Rung(step=Step.TLS, verdict=Verdict.GOOD, cause="tls_good")


def _login(seen: Observation) -> Rung:
    if seen.shows_key:
        return Rung(step=Step.LOGIN, verdict=Verdict.GOOD, cause="login_key")
    if seen.shows_certificate:
        return Rung(step=Step.LOGIN, verdict=Verdict.GOOD, cause="login_certificate")
    return Rung(step=Step.LOGIN, verdict=Verdict.NOT_NEEDED, cause="login_unasked")
