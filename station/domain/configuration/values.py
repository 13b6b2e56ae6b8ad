"""Normal forms: each function takes a text as somebody typed it and returns it as it is stored, or refuses it."""

import json
import math
import re
from ipaddress import ip_network
from urllib.parse import urlsplit

from station.domain.configuration.keys import Parse
from station.domain.configuration.problems import InvalidValue
from station.domain.id_tags import MAX_ID_TAG_LENGTH
from station.domain.legic import PatternMalformed, check_pattern
from station.domain.meter_values import MeasurandUnsupported, normal_form, parse_measurands

# OCPP 1.6 section 7.29 (KeyValue): a value is a CiString500Type.
MAX_VALUE_LENGTH = 500
MAX_INTEGER = 2**31 - 1
MAX_PORT = 65_535
IDENTITY_PLACEHOLDER = "${chargeBoxIdentity}"
SERIAL_PLACEHOLDER = "${serial}"

_MOST_NETWORKS = 16

_DIGITS = re.compile(r"[0-9]{1,15}")
# What a sticker bears also stands in file names, addresses of the backend and names of wireless networks.
_SERIAL_NUMBER = re.compile(r"([A-Za-z0-9]([A-Za-z0-9\-]{0,23}[A-Za-z0-9])?)?")
_PRODUCTION_DATE = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])")
# ISO 15118-2 annex H with optional separators, and the older DIN 91286 form with the international dialling code.
_EVSE_ID = re.compile(r"[A-Za-z]{2}\*?[A-Za-z0-9]{3}\*?[Ee][A-Za-z0-9*]{1,31}|\+?[0-9]{1,3}\*[0-9]{3,6}\*[0-9*]{1,32}")
_PHONE = re.compile(r"[0-9+() /.\-]*[0-9][0-9+() /.\-]*")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._\-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]")
_PHASE_ROTATION = re.compile(r"([0-9]{1,3})\.([A-Za-z]+)")
_ROTATIONS = ("RST", "RTS", "SRT", "STR", "TRS", "TSR", "NotApplicable", "Unknown")
# 3GPP TS 23.003 section 9.1: labels of letters, digits and hyphens.
_APN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._\-]{0,61}[A-Za-z0-9])?")
_PIN = re.compile(r"[0-9]{4,8}")
_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}?")


def boolean(text: str) -> str:
    """Accept true and false in any case, nothing else: a backend's 1 may mean many things."""
    value = text.lower()
    if value not in {"true", "false"}:
        raise InvalidValue("boolean")
    return value


def true_only(text: str) -> str:
    """Accept true alone: the cable's end of a session must not be switchable (calibration law)."""
    if boolean(text) != "true":
        raise InvalidValue("true_only")
    return "true"


def integer(low: int, high: int = MAX_INTEGER, *, optional: bool = False, also: tuple[int, ...] = ()) -> Parse:
    """Return a parser for whole numbers from `low` to `high`, and those in `also`."""

    def parse(text: str) -> str:
        if not text and optional:
            return ""
        if not _DIGITS.fullmatch(text):
            raise InvalidValue("integer")
        number = int(text)
        if not low <= number <= high and number not in also:
            if also:
                raise InvalidValue("range_or", also=", ".join(map(str, also)), low=low, high=high)
            raise InvalidValue("range", low=low, high=high)
        return str(number)

    return parse


def text(low: int = 0, high: int = MAX_VALUE_LENGTH, *, ascii_only: bool = False) -> Parse:
    """Return a parser for one line of text of `low` to `high` characters; outer blanks are dropped."""

    def parse(value: str) -> str:
        value = value.strip()
        if any(not character.isprintable() for character in value):
            raise InvalidValue("control_character")
        if ascii_only and not value.isascii():
            raise InvalidValue("not_printable")
        if not value and low:
            raise InvalidValue("empty")
        if len(value) < low:
            raise InvalidValue("too_short", limit=low)
        if len(value) > high:
            raise InvalidValue("too_long", limit=high)
        return value

    return parse


id_tag = text(1, MAX_ID_TAG_LENGTH, ascii_only=True)


def card_pattern(value: str) -> str:
    """Accept a pattern for the numbers of LEGIC cards; empty means the whole number."""
    value = value.strip()
    try:
        check_pattern(value)
    except PatternMalformed as malformed:
        raise InvalidValue("card_pattern") from malformed
    return value


def secret(low: int, high: int) -> Parse:
    """Return a parser for a secret; empty means none. Outer blanks are dropped: they come from copying by hand."""
    some = text(low, high, ascii_only=True)
    return lambda value: some(value) if value.strip() else ""


def password(low: int, high: int, *, optional: bool = False) -> Parse:
    """Return a parser for a password: kept to the letter, blanks included."""

    def parse(value: str) -> str:
        if not value and optional:
            return ""
        if len(value) < low:
            raise InvalidValue("too_short", limit=low)
        if len(value) > high:
            raise InvalidValue("too_long", limit=high)
        if not value.strip():
            raise InvalidValue("blank")
        # Nobody can type these into a form; half a character of UTF-16 is among them.
        if any(not character.isprintable() for character in value):
            raise InvalidValue("control_character")
        return value

    return parse


def one_of(*allowed: str) -> Parse:
    """Return a parser for one of some words, found in any case and stored as written here."""
    by_lower = {word.lower(): word for word in allowed}

    def parse(value: str) -> str:
        word = by_lower.get(value.strip().lower())
        if word is None:
            raise InvalidValue("not_one_of", allowed=", ".join(word or "''" for word in allowed))
        return word

    return parse


def items_of(csl: str) -> tuple[str, ...]:
    """Split a comma separated list as OCPP writes it; empty text is the empty list."""
    return tuple(item.strip() for item in csl.split(",")) if csl.strip() else ()


def list_of(*allowed: str, low: int = 0) -> Parse:
    """Return a parser for a list of some words, each once, in the order given."""
    by_lower = {word.lower(): word for word in allowed}

    def parse(value: str) -> str:
        words: list[str] = []
        for item in items_of(value):
            word = by_lower.get(item.lower())
            if not item:
                raise InvalidValue("empty_item")
            if word is None:
                raise InvalidValue("item_not_one_of", item=item, allowed=", ".join(allowed))
            if word in words:
                raise InvalidValue("item_twice", item=word)
            words.append(word)
        if len(words) < low:
            raise InvalidValue("empty")
        return ",".join(words)

    return parse


def measurands(value: str) -> str:
    """Accept a list of what the station can measure; repetitions stay, so that they count for the list's length."""
    items = items_of(text()(value))
    if not all(items):
        raise InvalidValue("empty_item")
    try:
        return ",".join(normal_form(parse_measurands(item, 1)) for item in items)
    except MeasurandUnsupported as refusal:
        raise InvalidValue("measurand", item=refusal.item) from None


def phase_rotation(value: str) -> str:
    """Accept OCPP 1.6 section 9.1.7's list, one rotation per charging point (0: the feed of the station)."""
    by_lower = {word.lower(): word for word in _ROTATIONS}
    seen: dict[int, str] = {}
    for item in items_of(value):
        match = _PHASE_ROTATION.fullmatch(item)
        rotation = by_lower.get(match[2].lower()) if match else None
        if match is None or rotation is None:
            raise InvalidValue("phase_rotation", item=item, allowed=", ".join(_ROTATIONS))
        if int(match[1]) in seen:
            raise InvalidValue("item_twice", item=match[1])
        seen[int(match[1])] = rotation
    if not seen:
        raise InvalidValue("empty")
    return ",".join(f"{connector_id}.{rotation}" for connector_id, rotation in seen.items())


def url(value: str) -> str:
    """Accept the backend's WebSocket address, outer blanks dropped (a known support case); empty: no backend."""
    value = text(0, MAX_VALUE_LENGTH, ascii_only=True)(value)
    if not value:
        return ""
    check_placeholders(value, IDENTITY_PLACEHOLDER)
    try:
        parts = urlsplit(value.replace(IDENTITY_PLACEHOLDER, "identity"))
        port = parts.port
    except ValueError:
        raise InvalidValue("url") from None
    for code, wrong in (
        ("url", " " in value),
        ("url_scheme_ws", not value.lower().startswith(("ws://", "wss://"))),
        ("url_credentials", "@" in parts.netloc),
        ("url_port", port == 0),
        ("url_host", not _HOST.fullmatch(parts.hostname or "") and not _HOST.fullmatch(f"[{parts.hostname}]")),
        ("url_fragment", "#" in value),
        ("url_query", "?" in value and IDENTITY_PLACEHOLDER not in value),
    ):
        if wrong:
            raise InvalidValue(code)
    return value


def page_address(value: str) -> str:
    """Accept the address under which browsers reach the station, without a path, or nothing."""
    value = text(0, MAX_VALUE_LENGTH, ascii_only=True)(value).rstrip("/")
    if not value:
        return ""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise InvalidValue("page_address") from None
    if not value.lower().startswith(("https://", "http://")):
        raise InvalidValue("url_scheme_http")
    host = parts.hostname or ""
    is_host = _HOST.fullmatch(host) or _HOST.fullmatch(f"[{host}]")
    if not is_host or port == 0 or "@" in parts.netloc or parts.path or parts.query or parts.fragment:
        raise InvalidValue("page_address")
    return value


def check_placeholders(value: str, allowed: str) -> None:
    """Raise `InvalidValue` for a placeholder other than `allowed`, which is written with its ${}."""
    for match in _PLACEHOLDER.finditer(value):
        if match[0] != allowed:
            raise InvalidValue("placeholder", allowed=allowed[2:-1])


def charge_box_identity(value: str) -> str:
    """Accept the template of the chargebox ID; the resulting length is checked with the serial number at hand."""
    value = text(1, MAX_VALUE_LENGTH, ascii_only=True)(value)
    check_placeholders(value, SERIAL_PLACEHOLDER)
    return value


def host_port(value: str) -> str:
    """Accept host:port or nothing; an IPv6 address stands in brackets."""
    value = value.strip()
    if not value:
        return ""
    host, colon, port = value.rpartition(":")
    if not colon or not _HOST.fullmatch(host) or not _DIGITS.fullmatch(port) or not 1 <= int(port) <= MAX_PORT:
        raise InvalidValue("host_port")
    return f"{host}:{int(port)}"


def networks(value: str) -> str:
    """Accept a list of IP addresses and networks in their usual form, or nothing."""
    items = items_of(text()(value))
    if len(items) > _MOST_NETWORKS:
        raise InvalidValue("too_many_items", limit=_MOST_NETWORKS)
    found: list[str] = []
    for item in items:
        if not item:
            raise InvalidValue("empty_item")
        try:
            network = ip_network(item, strict=False)
        except ValueError:
            raise InvalidValue("network", item=item) from None
        written = str(network.network_address if network.prefixlen == network.max_prefixlen else network)
        if written in found:
            raise InvalidValue("item_twice", item=written)
        found.append(written)
    return ",".join(found)


def serial_number(value: str) -> str:
    """Accept what fits a sticker, a file name and OCPP's chargePointSerialNumber (CiString25Type); empty: none yet."""
    value = value.strip()
    if not _SERIAL_NUMBER.fullmatch(value):
        raise InvalidValue("serial")
    return value


def production_date(value: str) -> str:
    """Accept year and month, as the sticker prints them; empty: not known."""
    value = value.strip()
    if value and not _PRODUCTION_DATE.fullmatch(value):
        raise InvalidValue("date")
    return value


def evse_id(value: str) -> str:
    """Accept an EVSE ID of ISO 15118 or its older numeric form, or nothing."""
    value = value.strip()
    if value and not _EVSE_ID.fullmatch(value):
        raise InvalidValue("evse_id")
    return value


def phone(value: str) -> str:
    """Accept a phone number as people write it, or nothing."""
    value = text(0, 30)(value)
    if value and not _PHONE.fullmatch(value):
        raise InvalidValue("phone")
    return value


def apn(value: str) -> str:
    """Accept the name of a mobile access point, or nothing."""
    value = value.strip()
    if value and not _APN.fullmatch(value):
        raise InvalidValue("apn")
    return value


def pin(value: str) -> str:
    """Accept the PIN of a SIM card, or nothing."""
    value = value.strip()
    if value and not _PIN.fullmatch(value):
        raise InvalidValue("pin")
    return value


def price(value: str) -> str:
    """Accept the ad-hoc price as a JSON object (`price`, `currency`, `unit`, `url`; more may follow), or nothing."""
    if not value.strip():
        return ""
    try:
        members = json.loads(value, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise InvalidValue("json") from None
    if not isinstance(members, dict):
        raise InvalidValue("json_object")
    amount = members.get("price", 0)
    if (
        isinstance(amount, bool)
        or not isinstance(amount, int | float | str)
        # A number such as 1e400 is read as infinite, which no JSON can say.
        or (not isinstance(amount, str) and not 0 <= amount < math.inf)
    ):
        raise InvalidValue("json_member", member="price")
    address = members.get("url", "https://")
    if not isinstance(address, str) or not address.startswith(("https://", "http://")):
        raise InvalidValue("json_member", member="url")
    compact = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    if len(compact) > MAX_VALUE_LENGTH:
        raise InvalidValue("too_long", limit=MAX_VALUE_LENGTH)
    return compact


def _refuse_constant(constant: str) -> float:
    raise ValueError(constant)


def path(value: str) -> str:
    """Accept a file name; whether the file is any good is found out where it is read."""
    if not value:
        raise InvalidValue("empty")
    if "\0" in value:
        raise InvalidValue("control_character")
    return value
