"""What the driver's display shows: a small frozen view of the station without anything personal.

Made from the same present as the pages. The display asks once a second, so what it sees is compared before it is drawn.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from zlib import crc32

from django.urls import reverse
from django.utils import translation
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from station.domain.adhoc_price import AdhocPrice
from station.domain.connector import Phase
from station.domain.faults import FaultCode
from station.domain.limits import LimitSource
from station.domain.snapshot import HardwareSnapshot, PointSnapshot
from station.services import branding, configuration
from station.ui import display_words as say
from station.ui import format as formats
from station.ui import words
from station.web.present import Present

BRANDING, LANGUAGE, HOTLINE = "/display/branding", "/display/language", "/Gui/Operator/Contact/phone"
PHONE_ADDRESS = "/display/phoneAddress"
BOTH = "both"
# Long enough to read a screen, short enough to wait for one's own language.
EACH_LANGUAGE_S = 6
REFUSAL_SHOWN = timedelta(seconds=10)
# After unplugging, the driver still wants to read what was charged.
RESULT_SHOWN = timedelta(minutes=2)
_LANGUAGES = ("de", "en")
_TONES: Mapping[str, str] = {
    Phase.AVAILABLE: "free",
    Phase.AUTHORIZED: "waiting",
    Phase.PLUGGED: "waiting",
    Phase.RESERVED: "reserved",
    Phase.LAPSED: "waiting",
    Phase.STARTING: "charging",
    Phase.CHARGING: "charging",
    Phase.SUSPENDED_EV: "paused",
    Phase.SUSPENDED_EVSE: "paused",
    Phase.RESUMING: "charging",
    Phase.ENDING: "waiting",
    Phase.FINISHING: "waiting",
    say.FAULT: "fault",
    say.REFUSED: "fault",
    say.OUT_OF_SERVICE: "off",
}
_ICONS = {
    "free": "check-circle",
    "waiting": "credit-card",
    "charging": "bolt",
    "paused": "pause-circle",
    "reserved": "bookmark",
    "fault": "exclamation-triangle",
    "off": "no-symbol",
}
_FINISHED_ICON = "flag"
_GAP = "\N{NO-BREAK SPACE}"
# A price with a tiny exponent would become a text of as many zeros.
_FEWEST_DECIMALS, _MOST_DECIMALS = 2, 4
# Phases in which somebody thinks about charging here: the price matters, and what the last driver charged does not.
_OPEN = frozenset({Phase.AVAILABLE, Phase.AUTHORIZED, Phase.PLUGGED})


def evse_id_key(number: int) -> str:
    """Return the key of a charging point's EVSE ID."""
    return f"/hw/connectors/{number}/evseId"


def label_key(number: int) -> str:
    """Return the key of a charging point's number on the display."""
    return f"/hw/connectors/{number}/evseLabel"


def price_key(number: int) -> str:
    """Return the key of a charging point's ad-hoc price."""
    return f"/Price/{number}/adhoc"


def phone_url(address: str, number: int) -> str:
    """Return where a phone finds the page of a charging point; empty where the operator wants none."""
    return f"{address}{reverse('phone', args=[number])}" if address else ""


@dataclass(frozen=True, kw_only=True)
class Logo:
    """Which logo; `version` changes with it, so that a browser fetches a new one. `name` where there is no picture."""

    brand: str
    version: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Value:
    """A measured value of a session."""

    label: str
    value: str


@dataclass(frozen=True, kw_only=True)
class PointView:
    """One charging point. `energy` is the number people look for, `values` stand below it."""

    label: str
    tone: str
    icon: str
    title: str
    next_step: str
    energy: str = ""
    values: tuple[Value, ...] = ()
    result: str = ""
    evse_id: str = ""
    price: str = ""
    payment_url: str = ""
    phone_url: str = ""


@dataclass(frozen=True, kw_only=True)
class DisplayView:
    """The whole screen. Without points the station as a whole is out of order."""

    language: str
    logo: Logo | None
    points: tuple[PointView, ...]
    hotline: str
    note: str = ""

    @property
    def token(self) -> str:
        """Return what differs as soon as anything on the screen does."""
        return f"{crc32(repr(self).encode()):08x}"

    @property
    def poll_ms(self) -> int:
        """Return how soon to look again: quickly while somebody may be there."""
        return 2000 if all(point.tone in {"free", "off"} for point in self.points) else 1000


def look(present: Present, values: Mapping[str, str]) -> DisplayView:
    """Return the screen at this moment; `values` are the configuration, or what somebody tries out on a page."""
    language = _language(values[LANGUAGE], present.at)
    with translation.override(language):
        return DisplayView(
            language=language,
            logo=_logo(values[BRANDING], present),
            points=tuple(_points(present, values)),
            hotline=values[HOTLINE],
            note=_note(present),
        )


def _language(wanted: str, at: datetime) -> str:
    if wanted != BOTH:
        return wanted
    return _LANGUAGES[int(at.timestamp()) // EACH_LANGUAGE_S % len(_LANGUAGES)]


def _logo(brand: str, present: Present) -> Logo | None:
    if brand not in branding.BRANDS:
        return None
    name = present.identity.vendor if brand == branding.VENDOR else ""
    return Logo(brand=brand, version=branding.logo_version(brand), name=name)


def _station_is_faulted(present: Present) -> bool:
    return present.hardware is not None and present.hardware.status == "Faulted"


def _note(present: Present) -> str:
    if present.hardware is not None and not present.hardware.reader_ok:
        return _readers_out_of_order(present.hardware)
    backend = present.backend
    if backend is not None and (backend.connected or not backend.url):
        return ""
    if configuration.get_bool("AllowOfflineTxForUnknownId"):
        return _("Offline")
    return _("Offline: only cards known here")


def _readers_out_of_order(hardware: HardwareSnapshot) -> str:
    """Name the charging points whose own reader does not work, while others do."""
    silent = [each.connector_id for each in hardware.readers if not each.ok]
    if not silent or None in silent or len(silent) == len(hardware.points):
        return str(say.READER_OUT_OF_ORDER)
    return say.READER_OF_POINT_OUT_OF_ORDER % {"number": silent[0]}


def _points(present: Present, values: Mapping[str, str]) -> list[PointView]:
    hardware = present.hardware
    if hardware is None or not hardware.is_controlled:
        return []
    without_card = configuration.get_bool("/hw/auth/device/Dummy/enabled")
    return [_point(point, present, values, without_card=without_card) for point in hardware.points]


def _point(point: PointSnapshot, present: Present, values: Mapping[str, str], *, without_card: bool) -> PointView:
    number = point.number
    code = _code(point, present)
    tone = _TONES[code]
    price = AdhocPrice.decode(values[price_key(number)]) if code in _OPEN else AdhocPrice()
    return PointView(
        label=values[label_key(number)] or str(number),
        tone=tone,
        icon=_FINISHED_ICON if code == Phase.FINISHING else _ICONS[tone],
        title=words.word(say.TITLES, code),
        next_step=_next_step(point, code, present, without_card=without_card),
        energy=_energy(point, code),
        values=_values(point, present, code),
        result=_limited(point, code) or _result(point, code, present.at),
        evse_id=values[evse_id_key(number)],
        price=price_text(price),
        payment_url=price.url,
        phone_url=phone_url(values[PHONE_ADDRESS], number),
    )


def _code(point: PointSnapshot, present: Present) -> str:
    if _station_is_faulted(present):
        return say.FAULT
    refusal = point.last_refusal
    if refusal is not None and timedelta(0) <= present.at - refusal.at < REFUSAL_SHOWN and point.session is None:
        return say.REFUSED
    # The standard calls what is wrong at the vehicle a warning; the driver is the one who can do something about it.
    if point.status == "Faulted" or FaultCode.EV_COMMUNICATION_ERROR in point.faults:
        return say.FAULT
    if point.status == "Unavailable":
        return say.OUT_OF_SERVICE
    if point.status == "Reserved":
        return Phase.RESERVED
    return point.phase if point.phase is not None and point.phase in _TONES else say.OUT_OF_SERVICE


def _next_step(point: PointSnapshot, code: str, present: Present, *, without_card: bool) -> str:
    if code == say.REFUSED and point.last_refusal is not None:
        return say.refusal(point.last_refusal.reason, point.last_refusal.because)
    if code == say.OUT_OF_SERVICE and point.flashing is not None:
        return str(say.MAINTENANCE_STEP)
    if code == say.FAULT:
        return str(say.STATION_FAULT_STEP) if _station_is_faulted(present) else say.fault_step(point.faults)
    if code == Phase.RESERVED and point.reservation is not None:
        until = formats.time_of_day(point.reservation.expires_at, present.zone)
        return _("Until %(time)s only for the card of the reservation.") % {"time": until}
    if without_card and code in say.NEXT_STEPS_WITHOUT_CARD:
        return words.word(say.NEXT_STEPS_WITHOUT_CARD, code)
    return words.word(say.NEXT_STEPS, code, unknown="")


def _energy(point: PointSnapshot, code: str) -> str:
    if point.session is not None:
        return formats.kilowatt_hours(point.session.energy_wh)
    if code == Phase.FINISHING and point.last_session is not None:
        return formats.kilowatt_hours(point.last_session.energy_wh, decimals=3)
    return ""


def _values(point: PointSnapshot, present: Present, code: str) -> tuple[Value, ...]:
    if point.session is not None:
        lasted_s = (present.at - point.session.started_at).total_seconds()
        # What a meter measured before it fell silent says nothing of now.
        power_w = None if FaultCode.POWER_METER_FAILURE in point.faults else point.power_w
        return (
            Value(label=_("Power"), value=formats.kilowatt(power_w)),
            # Whole minutes: a clock that ticks would draw the screen anew every second.
            Value(label=_("Duration"), value=_minutes(lasted_s)),
        )
    if code == Phase.FINISHING and point.last_session is not None:
        lasted_s = (point.last_session.ended_at - point.last_session.started_at).total_seconds()
        return (Value(label=_("Duration"), value=_minutes(lasted_s)),)
    return ()


def _minutes(seconds: float) -> str:
    hours, minutes = divmod(max(0, int(seconds)) // 60, 60)
    return f"{hours}:{minutes:02}{_GAP}h" if hours else f"{minutes}{_GAP}min"


def _limited(point: PointSnapshot, code: str) -> str:
    """Return why a car gets less than the charging point could give; empty: it does not, or nobody can tell."""
    reason = words.word(say.LIMITS, point.limit_source or "", unknown="")
    rating_ma = point.limits.get(LimitSource.RATING)
    if not reason or point.limit_ma is None or rating_ma is None or point.limit_ma >= rating_ma:
        return ""
    if code == Phase.SUSPENDED_EVSE:
        return _("Reason: %(reason)s") % {"reason": reason}
    if code == Phase.CHARGING:
        return _("At most %(limit)s: %(reason)s") % {"limit": formats.ampere(point.limit_ma), "reason": reason}
    return ""


def _result(point: PointSnapshot, code: str, at: datetime) -> str:
    last = point.last_session
    if last is None or code != Phase.AVAILABLE or not timedelta(0) <= at - last.ended_at < RESULT_SHOWN:
        return ""
    energy = formats.kilowatt_hours(last.energy_wh, decimals=3)
    return _("Last session: %(energy)s") % {"energy": energy}


def price_text(price: AdhocPrice) -> str:
    """Return a price as people write it; empty where there is none."""
    if not price.amount:
        return ""
    currency = "€" if price.currency == "EUR" else price.currency
    return f"{_amount(price.amount)}{_GAP}{currency}/{price.unit}"


def _amount(text: str) -> str:
    try:
        amount = Decimal(text.replace(",", "."))
    except InvalidOperation:
        return text
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int):
        # The key holds what a backend has sent, "NaN" and "Infinity" included.
        return text
    return number_format(amount, min(max(_FEWEST_DECIMALS, -exponent), _MOST_DECIMALS))


def in_both_languages(text: str | Promise) -> str:
    """Return a text in German and English, for a screen that nobody can renew."""

    def said(language: str) -> str:
        with translation.override(language):
            return str(text)

    return " · ".join(map(said, _LANGUAGES))


@lru_cache(maxsize=8)
def qr_code(url: str) -> str:
    """Draw an address as an SVG that goes into a page."""
    # Takes memory, and most stations have no ad-hoc price.
    import segno

    return str(segno.make(url, error="m", micro=False).svg_inline(omitsize=True, border=2, light="#fff"))
