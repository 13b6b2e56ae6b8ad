"""Changes of the network settings: on trial until somebody confirms them, else the old settings come back.

The computer takes a change back by itself (`station.host.ports.NetworkPort`), whatever becomes of the station's
processes. What is kept here, in one file, is what people have to know of it: who changed what, and how it ended.
"""

import json
import logging
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from hmac import compare_digest
from typing import Any, Self

from django.conf import settings as django_settings

from station import clock, host, private_files
from station.domain.commands import Origin, Status
from station.domain.network import TRIAL_S, Family, Method, NetworkSettings, Problem, SettingsRefused
from station.host.ports import ExternalInterface, NetworkUnavailable, TrialIsOver
from station.models import AuditEntry
from station.services import event_log, firewall

logger = logging.getLogger(__name__)
# The page with the link has to reach the browser before the interface goes down; the time counts from then on.
DELAY_S = 2
_TICKET_BYTES = 16


class TrialState(StrEnum):
    """How a change stands."""

    PREPARED = "prepared"  # not in force yet
    ON_TRIAL = "on_trial"
    KEPT = "kept"
    TAKEN_BACK = "taken_back"  # nobody has confirmed
    WITHDRAWN = "withdrawn"  # somebody wanted the old settings back
    FAILED = "failed"  # it could not be put in force


class TrialRuns(RuntimeError):
    """A change is on trial; the next one has to wait."""


class NotInForce(RuntimeError):
    """What is to be confirmed is not in force yet."""


class ConfirmedFromOldPlace(RuntimeError):
    """Whoever confirms has come over an address that goes: that proves nothing about the new ones."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One change. `ticket` is the secret of the link that confirms it at the new address, without a log-in."""

    ticket: str
    name: str
    state: TrialState
    actor: str
    at: datetime
    boot_id: str
    until_s: float
    before: NetworkSettings
    wanted: NetworkSettings
    addresses_before: tuple[str, ...]
    detail: str = ""

    @property
    def is_open(self) -> bool:
        """Return whether it waits for somebody."""
        return self.state in {TrialState.PREPARED, TrialState.ON_TRIAL}

    def left_s(self, now_s: float) -> int:
        """Return the seconds left to confirm; what is prepared has all of them."""
        return min(TRIAL_S, max(0, round(self.until_s - now_s))) if self.boot_id == clock.boot_id() else 0

    def stored(self) -> bytes:
        """Return what the file holds."""
        plain: dict[str, Any] = asdict(self) | {
            "at": self.at.isoformat(),
            "before": self.before.stored(),
            "wanted": self.wanted.stored(),
        }
        return json.dumps(plain).encode()

    @classmethod
    def from_stored(cls, content: bytes) -> Self:
        """Read what `stored` has returned. Raises ValueError, KeyError or TypeError."""
        plain = json.loads(content)
        return cls(
            **plain
            | {
                "state": TrialState(plain["state"]),
                "at": datetime.fromisoformat(plain["at"]),
                "before": NetworkSettings.from_stored(plain["before"]),
                "wanted": NetworkSettings.from_stored(plain["wanted"]),
                "addresses_before": tuple(plain["addresses_before"]),
            }
        )


def external() -> ExternalInterface:
    """Return the external interface, and let the firewall know whether it is shared. Raises NetworkUnavailable."""
    found = host.for_settings().network.external()
    firewall.share(found.name if found.settings.ipv4.method is Method.SHARED else "")
    return found


def latest(*, at: datetime) -> Trial | None:
    """Return the last change, as it stands now; None when there was none."""
    with private_files.exclusive(django_settings.DATA.run):
        return _settled(at)


def begin(wanted: NetworkSettings, *, actor: str, at: datetime) -> Trial | None:
    """Prepare a change and return its trial; None when nothing is different. `activate` puts it in force.

    Raises SettingsRefused, TrialRuns or NetworkUnavailable.
    """
    port = host.for_settings().network
    with private_files.exclusive(django_settings.DATA.run):
        present = _settled(at)
        if present is not None and present.is_open:
            raise TrialRuns
        interface = port.external()
        if interface.shared_lacks and wanted.ipv4.method is Method.SHARED:
            raise SettingsRefused([Problem(field="ipv4-method", code="shared_lacks", value=interface.shared_lacks)])
        if interface.settings == wanted:
            return None
        trial = Trial(
            ticket=secrets.token_urlsafe(_TICKET_BYTES),
            name=port.prepare(wanted, taken_back_after_s=TRIAL_S + DELAY_S),
            state=TrialState.PREPARED,
            actor=actor,
            at=at,
            boot_id=clock.boot_id(),
            until_s=clock.monotonic_s() + TRIAL_S + DELAY_S,
            before=interface.settings,
            wanted=wanted,
            addresses_before=tuple(each.partition("/")[0] for each in interface.addresses),
        )
        _write(trial)
    _audit("ChangeNetwork", trial, actor=actor, at=at)
    return trial


def activate(ticket: str, *, at: datetime) -> None:
    """Put a prepared change in force; what cannot be is taken back at once."""
    with private_files.exclusive(django_settings.DATA.run):
        trial = _settled(at)
        if trial is None or trial.ticket != ticket or trial.state is not TrialState.PREPARED:
            return
        port = host.for_settings().network
        try:
            port.activate()
        except NetworkUnavailable as unavailable:
            _take_back(trial, TrialState.FAILED, at=at, detail=unavailable.detail or unavailable.reason)
            return
        _write(replace(trial, state=TrialState.ON_TRIAL))
        _tell_firewall(trial.wanted)


def keep(ticket: str, *, reached_at: str, at: datetime) -> Trial:
    """Make the change permanent for somebody who has reached the station at `reached_at`.

    Raises TrialIsOver, NotInForce, ConfirmedFromOldPlace or NetworkUnavailable.
    """
    with private_files.exclusive(django_settings.DATA.run):
        trial = _open(ticket, at)
        if trial.state is TrialState.PREPARED:
            raise NotInForce
        if not is_good_place(trial, reached_at):
            raise ConfirmedFromOldPlace
        host.for_settings().network.keep(trial.name)
        kept = replace(trial, state=TrialState.KEPT)
        _write(kept)
    _audit("KeepNetwork", kept, actor=kept.actor, at=at)
    event_log.log("network.kept", at=at, settings=outline(kept.wanted))
    return kept


def withdraw(ticket: str, *, actor: str, at: datetime) -> Trial:
    """Put the old settings back at somebody's wish. Raises TrialIsOver or NetworkUnavailable."""
    with private_files.exclusive(django_settings.DATA.run):
        withdrawn = _take_back(_open(ticket, at), TrialState.WITHDRAWN, at=at)
    _audit("WithdrawNetwork", withdrawn, actor=actor, at=at)
    return withdrawn


def is_good_place(trial: Trial, reached_at: str) -> bool:
    """Return whether reaching the station at this address of its own shows that it stays reachable.

    Another interface (the service port) does, and so does an address that the external interface has now.
    """
    if reached_at not in trial.addresses_before:
        return True
    addresses = host.for_settings().network.external().addresses
    return trial.state is not TrialState.PREPARED and reached_at in {each.partition("/")[0] for each in addresses}


def finish_reset() -> None:
    """Give the interface the settings of the factory after a factory reset; tried until the computer does it."""
    marker = django_settings.DATA.network_reset
    if not marker.exists():
        return
    try:
        host.for_settings().network.restore(NetworkSettings())
        external()
    except NetworkUnavailable as unavailable:
        logger.warning("the network has no factory settings yet: %s", unavailable)
        return
    marker.unlink(missing_ok=True)


def outline(wanted: NetworkSettings) -> str:
    """Return settings in a line that needs no translation."""
    parts = []
    for family in Family:
        each = wanted.family(family)
        words = [each.method.value, str(each.interface or "")]
        words += [f"gateway {each.gateway}"] if each.gateway else []
        words += [f"DNS {each.dns}"] if each.dns else []
        parts.append(f"{family.value.replace('ip', 'IP')} " + " ".join(filter(None, words)))
    return "; ".join(parts) + ("; never-default" if wanted.never_default else "")


def _open(ticket: str, at: datetime) -> Trial:
    trial = _settled(at)
    if trial is None or not trial.is_open or not compare_digest(trial.ticket.encode(), ticket.encode()):
        raise TrialIsOver
    return trial


def _take_back(trial: Trial, state: TrialState, *, at: datetime, detail: str = "") -> Trial:
    host.for_settings().network.take_back(trial.name)
    return _ended(trial, state, at=at, detail=detail)


def _settled(at: datetime) -> Trial | None:
    """Return the last change; one whose time is over has ended, and it is said so once."""
    trial = _read()
    if trial is None or not trial.is_open:
        return trial
    port = host.for_settings().network
    try:
        if trial.boot_id == clock.boot_id() and port.is_on_trial(trial.name):
            return trial
        if port.external().settings != trial.before:
            # The cable was out, or NetworkManager itself has been restarted meanwhile: nobody has put them back.
            port.restore(trial.before)
    except NetworkUnavailable as unavailable:
        logger.warning("it is not known what became of the change of the network: %s", unavailable)
        return trial
    return _ended(trial, TrialState.TAKEN_BACK, at=at)


def _ended(trial: Trial, state: TrialState, *, at: datetime, detail: str = "") -> Trial:
    ended = replace(trial, state=state, detail=detail)
    _write(ended)
    match state:
        case TrialState.FAILED:
            event_log.log("network.failed", at=at, settings=outline(trial.wanted), problem=detail)
        case TrialState.WITHDRAWN:
            event_log.log("network.withdrawn", at=at, settings=outline(trial.wanted))
        case _:
            event_log.log("network.taken_back", at=at, settings=outline(trial.wanted))
    _tell_firewall(trial.before)
    return ended


def _tell_firewall(present: NetworkSettings) -> None:
    """Let the firewall know whether the interface is shared now; what fails is told by the next look (`external`)."""
    try:
        firewall.share(host.for_settings().network.external().name if present.ipv4.method is Method.SHARED else "")
    except NetworkUnavailable as unavailable:
        logger.warning("the firewall was not told of the change of the network: %s", unavailable)


def _read() -> Trial | None:
    try:
        return Trial.from_stored(private_files.read(django_settings.DATA.network_trial))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as problem:
        logger.warning("the last change of the network cannot be read: %s", problem)
        return None


def _write(trial: Trial) -> None:
    private_files.write(django_settings.DATA.network_trial, trial.stored())


def _audit(command: str, trial: Trial, *, actor: str, at: datetime) -> None:
    AuditEntry.objects.create(
        at=at,
        origin=Origin.WEB.value,
        actor=actor,
        command=command,
        data={"settings": outline(trial.wanted)},
        outcome=Status.ACCEPTED.value,
    )
