"""Being known to the backend: the boot states of OCPP 1.6 section 4.2 as one table, without clock and connection."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

# Own waiting time before another BootNotification when the backend has not named one.
FIRST_RETRY_S = 10.0
OWN_RETRY_S = 60.0
LONGEST_RETRY_S = 600.0


class Phase(StrEnum):
    """Where the registration stands.

    DUE: BootNotification is to be sent as soon as there is a connection. ASKED: its answer is awaited. UNANSWERED:
    it failed and is repeated after a while. The rest is the backend's word.
    """

    DUE = "due"
    ASKED = "asked"
    UNANSWERED = "unanswered"
    PENDING = "pending"
    REJECTED = "rejected"
    ACCEPTED = "accepted"


@dataclass(frozen=True, kw_only=True)
class Registration:
    """The state: its phase and how often in a row BootNotification went unanswered.

    `booted`: a BootNotification has gone over the present connection.
    """

    phase: Phase = Phase.DUE
    failures: int = 0
    booted: bool = False

    @property
    def may_call(self) -> bool:
        """Whether the station may send what it likes."""
        return self.phase is Phase.ACCEPTED

    @property
    def must_be_silent(self) -> bool:
        """Whether even calls of the backend stay unanswered (section 4.2: a rejected station shall not respond)."""
        return self.phase is Phase.REJECTED

    @property
    def may_trigger_boot(self) -> bool:
        """Whether TriggerMessage may ask for BootNotification.

        Errata 3.35 wants it rejected once the station is accepted. A backend that has lost its memory knows nothing of
        that, and asks when a station comes back without a BootNotification.
        """
        return self.phase is not Phase.ACCEPTED or not self.booted


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of what happens to a registration."""


@dataclass(frozen=True, kw_only=True)
class Connected(Event):
    """A connection stands; `content_changed`: BootNotification would now say something else than last time."""

    content_changed: bool = False


@dataclass(frozen=True, kw_only=True)
class Disconnected(Event):
    """The connection is gone."""


@dataclass(frozen=True, kw_only=True)
class BootAnswered(Event):
    """The backend has answered BootNotification."""

    status: str
    interval_s: int


@dataclass(frozen=True, kw_only=True)
class BootFailed(Event):
    """BootNotification met a time-out, a CALLERROR or nonsense."""


@dataclass(frozen=True, kw_only=True)
class RetryDue(Event):
    """The waiting time is over."""


@dataclass(frozen=True, kw_only=True)
class BootTriggered(Event):
    """The backend has asked for BootNotification."""


@dataclass(frozen=True, kw_only=True)
class BackendChanged(Event):
    """The address or the identity is another one: nothing the old backend said holds."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Base of what is to be done."""


@dataclass(frozen=True, kw_only=True)
class SendBoot(Effect):
    """Send BootNotification."""


@dataclass(frozen=True, kw_only=True)
class RetryIn(Effect):
    """Come back with RetryDue after so many seconds."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class CancelRetry(Effect):
    """Forget the waiting time."""


@dataclass(frozen=True, kw_only=True)
class Begin(Effect):
    """The station is accepted: take the interval, tell every status, then send what is owed."""

    interval_s: int


@dataclass(frozen=True, kw_only=True)
class Resume(Effect):
    """A connection came back to an accepted station: tell what has changed, then send what is owed."""


Answer = tuple[Registration, tuple[Effect, ...]]
_Step = Callable[[Registration, Event], Answer]


class IllegalTransition(ValueError):
    """The table has no such pair."""


def step(state: Registration, event: Event) -> Answer:
    """Return the state after an event and what is to be done; raises IllegalTransition."""
    handler = _TABLE.get((state.phase, type(event)))
    if handler is None:
        raise IllegalTransition(f"{state.phase} / {type(event).__name__}")
    return handler(state, event)


def retry_delay_s(failures: int) -> float:
    """Return the waiting time after so many unanswered BootNotifications in a row."""
    if failures <= 1:
        return FIRST_RETRY_S
    return min(OWN_RETRY_S * 2.0 ** min(failures - 2, 10), LONGEST_RETRY_S)


def _stay(state: Registration, _event: Event) -> Answer:
    return state, ()


def _ask(state: Registration, _event: Event) -> Answer:
    return Registration(phase=Phase.ASKED, failures=state.failures, booted=True), (CancelRetry(), SendBoot())


def _due(_state: Registration, _event: Event) -> Answer:
    return Registration(), (CancelRetry(),)


def _lost_while_asking(state: Registration, _event: Event) -> Answer:
    return Registration(phase=Phase.DUE, failures=state.failures), (CancelRetry(),)


def _failed(state: Registration, _event: Event) -> Answer:
    failures = state.failures + 1
    return Registration(phase=Phase.UNANSWERED, failures=failures), (RetryIn(seconds=retry_delay_s(failures)),)


def _answered(state: Registration, event: Event) -> Answer:
    if not isinstance(event, BootAnswered):
        raise IllegalTransition(type(event).__name__)
    if event.status == "Accepted":
        return Registration(phase=Phase.ACCEPTED, booted=True), (CancelRetry(), Begin(interval_s=event.interval_s))
    phase = Phase.PENDING if event.status == "Pending" else Phase.REJECTED
    # Section 4.2: interval 0 leaves the choice to the station, which must not flood the backend.
    seconds = float(event.interval_s) if event.interval_s > 0 else OWN_RETRY_S
    return Registration(phase=phase), (RetryIn(seconds=seconds),)


def _reconnected(state: Registration, event: Event) -> Answer:
    # A backend may ask for BootNotification before the station has taken note of the connection.
    if isinstance(event, Connected) and event.content_changed and not state.booted:
        return _ask(state, event)
    return state, (Resume(),)


def _ask_again(state: Registration, _event: Event) -> Answer:
    """Send BootNotification and stay accepted until the backend says otherwise."""
    if state.booted:
        return state, ()
    return replace(state, booted=True), (SendBoot(),)


def _unbooted(state: Registration, _event: Event) -> Answer:
    return replace(state, booted=False), ()


_TABLE: dict[tuple[Phase, type[Event]], _Step] = {
    (Phase.DUE, Connected): _ask,
    (Phase.DUE, Disconnected): _stay,
    (Phase.DUE, RetryDue): _stay,
    (Phase.DUE, BackendChanged): _due,
    (Phase.DUE, BootTriggered): _ask,
    # An answer may overtake the news that the connection it came over has ended.
    (Phase.DUE, BootAnswered): _stay,
    (Phase.DUE, BootFailed): _stay,
    (Phase.ASKED, Connected): _ask,
    (Phase.ASKED, Disconnected): _lost_while_asking,
    (Phase.ASKED, BootAnswered): _answered,
    (Phase.ASKED, BootFailed): _failed,
    (Phase.ASKED, RetryDue): _stay,
    # The answer to the BootNotification under way is what the trigger asks for.
    (Phase.ASKED, BootTriggered): _stay,
    (Phase.ASKED, BackendChanged): _due,
    (Phase.UNANSWERED, Connected): _ask,
    (Phase.UNANSWERED, Disconnected): _lost_while_asking,
    (Phase.UNANSWERED, RetryDue): _ask,
    (Phase.UNANSWERED, BootTriggered): _ask,
    # The answer came after our time-out.
    (Phase.UNANSWERED, BootAnswered): _answered,
    (Phase.UNANSWERED, BackendChanged): _due,
    # The backend's waiting time holds over a lost connection, too.
    (Phase.PENDING, Connected): _stay,
    (Phase.PENDING, Disconnected): _stay,
    (Phase.PENDING, RetryDue): _ask,
    (Phase.PENDING, BootTriggered): _ask,
    (Phase.PENDING, BackendChanged): _due,
    (Phase.REJECTED, Connected): _stay,
    (Phase.REJECTED, Disconnected): _stay,
    (Phase.REJECTED, RetryDue): _ask,
    (Phase.REJECTED, BootTriggered): _stay,
    (Phase.REJECTED, BackendChanged): _due,
    (Phase.ACCEPTED, Connected): _reconnected,
    (Phase.ACCEPTED, Disconnected): _unbooted,
    (Phase.ACCEPTED, RetryDue): _stay,
    (Phase.ACCEPTED, BootTriggered): _ask_again,
    (Phase.ACCEPTED, BootAnswered): _answered,
    (Phase.ACCEPTED, BootFailed): _unbooted,
    (Phase.ACCEPTED, BackendChanged): _due,
}
