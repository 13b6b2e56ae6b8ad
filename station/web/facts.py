"""The dashboard's left side and its connection states."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from django.utils.translation import gettext as _

from station import host
from station.domain.configuration.checks import TRUST_PLAIN_LINK
from station.domain.link_security import LinkKind
from station.domain.snapshot import BackendSnapshot
from station.host import ModemPort, versions
from station.host.logs import mask_secrets
from station.services import configuration
from station.ui import description_words, words
from station.ui import format as formats
from station.web.present import Present

_TONES: Mapping[str, str] = {LinkKind.PLAIN: "bad", LinkKind.UNVERIFIED: "warning"}


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One line of the station's data; `id` is a stable name for it."""

    id: str
    label: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Connection:
    """The state of one connection: `tone` good, warning, bad."""

    id: str
    label: str
    tone: str
    icon: str
    state: str
    details: tuple[str, ...] = ()


def about(present: Present) -> tuple[Fact, ...]:
    """Return the station's data in the order of the page."""
    known, computer = present.identity, host.for_settings()
    lines = [
        ("model", _("Model"), f"{known.vendor} {known.model}".strip()),
        ("serial", _("Serial number"), known.serial),
        ("chargebox-id", _("Chargebox ID"), configuration.get("/ocpp/chargeBoxIdentity")),
        ("os-version", _("OS version"), versions.os_version()),
        ("addresses", _("Network addresses"), ", ".join(computer.network.addresses())),
        ("time", _("Time"), f"{formats.moment(present.at, present.zone)} ({present.zone.key})"),
        ("signal", _("Mobile signal"), _signal(computer.modem)),
        ("mains", _("Mains limit now"), _ampere("/power/station/mainsMaxCurrent")),
        ("mains-ceiling", _("Mains limit of the installer"), _ampere("/power/station/mainsCeiling")),
    ]
    return tuple(Fact(id=name, label=label, value=value or formats.MISSING) for name, label, value in lines)


def connections(present: Present) -> tuple[Connection, ...]:
    """Return the three connections of the dashboard."""
    return (_web(), _backend(present), _daemon(present))


def _web() -> Connection:
    # app.js turns it to "bad" when the live connection breaks; a page without scripts was fresh when it was drawn.
    return Connection(
        id="connection-web",
        label=_("Web interface ↔ Station"),
        tone="good",
        icon="computer-desktop",
        state=_("Connected"),
    )


def _backend(present: Present) -> Connection:
    label, icon = _("Station ↔ OCPP server"), "cloud"
    backend = present.backend
    identifier = "connection-ocpp"
    if backend is None:
        return Connection(
            id=identifier,
            label=label,
            icon=icon,
            tone="bad",
            state=_("Not running") if present.redis_answers else _("Not known"),
            details=(
                _("The OCPP client does not answer.")
                if present.redis_answers
                else words.word(words.NOT_READY, "redis_absent"),
            ),
        )
    if not backend.url:
        return Connection(
            id=identifier,
            label=label,
            icon=icon,
            tone="warning",
            state=_("Not set up"),
            details=(_("No OCPP server is configured."),),
        )
    details = [mask_secrets(backend.url)]
    if backend.outbox:
        details.append(_("%(count)s messages waiting") % {"count": backend.outbox})
    if not backend.connected:
        tone, state = "bad", _("Not connected")
        if backend.last_error:
            details.append(words.word(words.BACKEND_ERRORS, backend.last_error))
    elif backend.registration == "accepted":
        tone, state = _TONES.get(backend.link, "good"), _connected(backend.link)
        if backend.since:
            details.append(_("since %(moment)s") % {"moment": formats.moment(backend.since, present.zone)})
    else:
        tone = "bad" if backend.link == LinkKind.PLAIN else "warning"
        state = _("Registration: %(state)s") % {"state": words.word(words.REGISTRATIONS, backend.registration)}
    if backend.connected and backend.link:
        details.append(words.word(words.LINKS, backend.link))
    details.extend(_address_notes(backend))
    return Connection(id=identifier, label=label, icon=icon, tone=tone, state=state, details=tuple(details))


def _connected(link: str) -> str:
    match link:
        case LinkKind.PLAIN:
            return _("Connected without encryption")
        case LinkKind.UNVERIFIED:
            return _("Connected to an unproven server")
    return _("Connected")


def _address_notes(backend: BackendSnapshot) -> Iterator[str]:
    if configuration.get_bool(TRUST_PLAIN_LINK):
        yield _(
            "Somebody has set that the server may take this station over through a connection that is not proven "
            "(/ocpp/trustPlainLink)."
        )
    if backend.trial_back_to:
        yield _(
            "This address is on trial: unless the server accepts the station, it goes back to %(url)s in "
            "%(minutes)s min at the latest."
        ) % {"url": backend.trial_back_to, "minutes": backend.trial_minutes}
    if backend.taken_back_url:
        yield _("%(url)s was set, but no server accepted the station there within five minutes.") % {
            "url": backend.taken_back_url
        }


def _daemon(present: Present) -> Connection:
    hardware = present.hardware
    details: list[str] = []
    if hardware is None and not present.redis_answers:
        tone, state = "bad", _("Not known")
        details.append(words.word(words.NOT_READY, "redis_absent"))
        details.append(_("The last recorded state is shown."))
    elif hardware is None:
        tone, state = "bad", _("Not running")
        details.append(_("The control of the charging points does not answer. The last recorded state is shown."))
    elif hardware.ready:
        tone, state = "good", _("Ready to charge")
    else:
        tone, state = "warning", _("Not ready")
        details.extend(words.word(words.NOT_READY, code) for code in hardware.not_ready)
        details.extend(map(description_words.say, hardware.mistakes))
    if hardware is not None and hardware.faults:
        tone = "warning" if tone == "good" else tone
        details.extend(words.word(words.FAULTS, code) for code in hardware.faults)
    return Connection(
        id="connection-daemon",
        label=_("Station ↔ middleware daemon"),
        icon="cpu-chip",
        tone=tone,
        state=state,
        details=tuple(details),
    )


def _ampere(key: str) -> str:
    return formats.ampere(configuration.get_int(key))


def _signal(modem: ModemPort) -> str:
    status = modem.status()
    if status is None:
        return _("no modem")
    if status.signal is None:
        return _("no network")
    return " · ".join(part for part in (formats.percent(status.signal), status.operator) if part)
