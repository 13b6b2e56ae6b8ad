"""The mobile modem: what it says of itself, why it is not online, and when its signal is a fault."""

from dataclasses import dataclass, field
from enum import StrEnum

# A weak signal has to last before it is a fault, and to be better for as long before it is none (host.md, section 3).
WEAK_BELOW, GOOD_ABOVE = 20, 30
SIGNAL_HOLDS_S = 60.0
# With one try left a wrong PIN blocks the card, which only the PUK opens again.
FEWEST_TRIES = 2


class SimState(StrEnum):
    """What becomes of the SIM card."""

    READY = "ready"
    ABSENT = "absent"
    LOCKED = "locked"  # asks for its PIN
    BLOCKED = "blocked"  # asks for its PUK
    FAULTY = "faulty"


class Registration(StrEnum):
    """What the mobile network says to the modem."""

    HOME = "home"
    ROAMING = "roaming"
    SEARCHING = "searching"
    DENIED = "denied"
    NONE = "none"


class DataLink(StrEnum):
    """The connection through the mobile network."""

    UP = "up"
    CONNECTING = "connecting"
    DOWN = "down"
    REFUSED = "refused"  # by the network: APN, user name or password


class Cause(StrEnum):
    """Why the station is not online over the modem."""

    SWITCHED_OFF = "switched_off"
    NO_SIM = "no_sim"
    SIM_FAULTY = "sim_faulty"
    PIN_MISSING = "pin_missing"
    PIN_WRONG = "pin_wrong"
    PIN_WAITS = "pin_waits"
    PIN_TOO_FEW_TRIES = "pin_too_few_tries"
    PUK_NEEDED = "puk_needed"
    DENIED = "denied"
    TOO_WEAK = "too_weak"
    SEARCHING = "searching"
    APN_REFUSED = "apn_refused"
    CONNECTING = "connecting"
    NOT_CONNECTED = "not_connected"


class Quality(StrEnum):
    """The signal in a word."""

    NONE = "none"
    WEAK = "weak"
    FAIR = "fair"
    GOOD = "good"
    VERY_GOOD = "very_good"


@dataclass(frozen=True, kw_only=True)
class ModemStatus:
    """What the modem says; `signal` in percent, None while it has no network.

    `rsrp_dbm`: strength of LTE's reference signal. `is_uplink`: the station has no other way to the backend.
    """

    signal: int | None
    iccid: str
    imsi: str
    operator: str
    manufacturer: str = ""
    model: str = ""
    imei: str = ""
    technology: str = ""
    rsrp_dbm: int | None = None
    is_on: bool = True
    sim: SimState = SimState.READY
    tries_left: int | None = None
    registration: Registration = Registration.HOME
    link: DataLink = DataLink.UP
    is_uplink: bool = True

    @property
    def is_online(self) -> bool:
        """Whether data goes through it."""
        return self.link is DataLink.UP


@dataclass(frozen=True, kw_only=True)
class PinRecord:
    """What the station knows of its PIN: whether it has one, and whether this card has refused it."""

    is_set: bool = False
    was_refused: bool = False


def may_send_pin(status: ModemStatus, pin: PinRecord) -> bool:
    """Return whether the PIN may be sent: once, and never when a mistake would block the card."""
    enough = status.tries_left is not None and status.tries_left >= FEWEST_TRIES
    return status.sim is SimState.LOCKED and pin.is_set and not pin.was_refused and enough


def cause(status: ModemStatus, pin: PinRecord) -> Cause | None:
    """Return why it is not online, the first thing that has to be mended; None when it is."""
    if status.is_online:
        return None
    of_card = _cause_of_card(status, pin)
    if of_card is not None:
        return of_card
    if not status.is_on:
        return Cause.SWITCHED_OFF
    if status.registration is Registration.DENIED:
        return Cause.DENIED
    if status.registration in {Registration.SEARCHING, Registration.NONE}:
        has_some = status.signal is not None and status.signal >= WEAK_BELOW
        return Cause.SEARCHING if status.signal is None or has_some else Cause.TOO_WEAK
    if status.link is DataLink.REFUSED:
        return Cause.APN_REFUSED
    if status.link is DataLink.CONNECTING:
        return Cause.CONNECTING
    return Cause.NOT_CONNECTED


def _cause_of_card(status: ModemStatus, pin: PinRecord) -> Cause | None:
    match status.sim:
        case SimState.ABSENT:
            return Cause.NO_SIM
        case SimState.FAULTY:
            return Cause.SIM_FAULTY
        case SimState.BLOCKED:
            return Cause.PUK_NEEDED
        case SimState.LOCKED if not pin.is_set:
            return Cause.PIN_MISSING
        case SimState.LOCKED if pin.was_refused:
            return Cause.PIN_WRONG
        case SimState.LOCKED:
            return Cause.PIN_WAITS if may_send_pin(status, pin) else Cause.PIN_TOO_FEW_TRIES
    return None


def quality(signal: int | None) -> Quality:
    """Return the signal in a word; below the first step it is a fault."""
    if signal is None:
        return Quality.NONE
    steps = ((WEAK_BELOW, Quality.WEAK), (45, Quality.FAIR), (70, Quality.GOOD))
    return next((word for below, word in steps if signal < below), Quality.VERY_GOOD)


@dataclass
class SignalWatch:
    """Judges whether the signal has been weak, or good again, for long enough."""

    holds_s: float = SIGNAL_HOLDS_S
    is_weak: bool = field(default=False, init=False)
    _since_s: float | None = field(default=None, init=False)

    def judge(self, status: ModemStatus | None, *, now_s: float) -> bool:
        """Look once; return whether there is a fault. What is no uplink has none, and what is in between lasts."""
        if status is None or not status.is_uplink:
            self.is_weak, self._since_s = False, None
            return False
        signal = status.signal
        would_change = signal is not None and (signal > GOOD_ABOVE if self.is_weak else signal < WEAK_BELOW)
        if not would_change:
            self._since_s = None
        else:
            self._since_s = now_s if self._since_s is None else self._since_s
            if now_s - self._since_s >= self.holds_s:
                self.is_weak, self._since_s = not self.is_weak, None
        return self.is_weak
