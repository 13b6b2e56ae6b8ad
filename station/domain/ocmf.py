"""Records of the Open Charge Metering Format: read, never written, and checked more strictly than others do.

A record is `OCMF|<payload>|<signature>`, both JSON. The meter signs the payload as it stands, byte by byte, so nothing
here formats anything anew. `check` and `check_session` ask everything that the transparency software asks (release
1.4.1), and what it passes over in silence: a gap in the pagination, a time that cannot be read, a record without end.
"""

import base64
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from station.domain.ports import Synchronisation
from station.domain.units import WattHour

_HEADER = b"OCMF"
# The transparency software refuses others, later ones included.
_VERSIONS = frozenset({"1.0", "1.1", "1.2", "1.3"})
_DEFAULT_ALGORITHM = "ECDSA-secp256r1-SHA256"
# Of secp192k1 nothing here knows the arithmetic: such a key can be carried, not verified.
_CURVES: dict[str, type[ec.EllipticCurve]] = {
    "ECDSA-secp192r1-SHA256": ec.SECP192R1,
    "ECDSA-secp256k1-SHA256": ec.SECP256K1,
    "ECDSA-secp256r1-SHA256": ec.SECP256R1,
    "ECDSA-brainpool256r1-SHA256": ec.BrainpoolP256R1,
    "ECDSA-secp384r1-SHA256": ec.SECP384R1,
    "ECDSA-brainpool384r1-SHA256": ec.BrainpoolP384R1,
}
_SIGNATURE_FIELDS = frozenset({"SA", "SE", "SM", "SD"})
# Top-level names of the signature section that vendors and processors behind them may add.
_VENDOR_FIELD = re.compile(r"[A-FU-Z][A-Z0-9]*\Z")
# No meter counts further than a signed number of 64 bits; the archive cannot either.
_PAGINATION = re.compile(r"([TF])(0|[1-9][0-9]{0,17})\Z")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d),(\d{3})([+-]\d{4}) ([UISR])\Z")
# OBIS codes of imported energy: 1.8.0 in its spellings, and the accumulated registers of OCMF's table 25.
_IMPORT = re.compile(r"(?:\d\d?-\d\d?:)?(?:0?1\.0?8|(?:B[0-3]|98)\.08)\.00?(?:[*.](?:255|FF|198))?\Z")
_INHERITED = ("TM", "RI", "RU", "RT", "EF", "ST")
_BEGIN, _WRONG_LEVELS = "B", frozenset({"MISMATCH", "INVALID", "OUTDATED", "UNKNOWN"})
_ENDS = frozenset({"E", "L", "R", "A", "P"})
_UNITS = {"kWh": 1000, "Wh": 1}
# "1E+999999" is a number of JSON, and no register.
_MOST_DIGITS = 12


class Finding(StrEnum):
    """What is wrong with a record, or with the records of a session; `station.ui.words` has the sentence for each."""

    MALFORMED = "malformed"
    VERSION_UNSUPPORTED = "version_unsupported"
    KEY_MISSING = "key_missing"
    KEY_UNREADABLE = "key_unreadable"
    SIGNATURE_WRONG = "signature_wrong"
    SIGNATURE_UNVERIFIABLE = "signature_unverifiable"
    SERIAL_MISSING = "serial_missing"
    REGISTER_UNREADABLE = "register_unreadable"
    NOT_IMPORTED_ENERGY = "not_imported_energy"
    TIME_UNREADABLE = "time_unreadable"
    TIME_UNKNOWN = "time_unknown"
    TIME_SOURCES_DIFFER = "time_sources_differ"
    METER_NOT_GOOD = "meter_not_good"
    METER_ERROR = "meter_error"
    IDENTIFICATION_REFUSED = "identification_refused"
    IDENTIFICATION_DIFFERS = "identification_differs"
    SERIAL_DIFFERS = "serial_differs"
    PAGINATION_GAP = "pagination_gap"
    NO_BEGIN = "no_begin"
    NO_END = "no_end"
    SEVERAL_BEGINS = "several_begins"
    SEVERAL_ENDS = "several_ends"
    ENERGY_FALLS = "energy_falls"
    TIME_GOES_BACK = "time_goes_back"


class RecordMalformed(ValueError):
    """These bytes are no OCMF record; the message says where it breaks."""


@dataclass(frozen=True, kw_only=True)
class Pagination:
    """The number of a record; each context (T: transaction, F: fiscal) counts for itself."""

    context: str
    number: int

    def follows(self, other: "Pagination") -> bool:
        """Return whether nothing is missing in between."""
        return self.context == other.context and self.number == other.number + 1


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One reading of a record, with what it takes over from the one before; `register_wh` None: not to be read."""

    transaction: str
    time_text: str
    at: datetime | None
    synchronisation: Synchronisation | None
    register: Decimal | None
    unit: str
    obis: str
    error_flags: str
    status: str

    @property
    def is_begin(self) -> bool:
        """Whether the transaction begins with it."""
        return self.transaction == _BEGIN

    @property
    def is_end(self) -> bool:
        """Whether the transaction ends with it."""
        return self.transaction in _ENDS

    @property
    def register_wh(self) -> WattHour | None:
        """The whole watt hours of the register; what is behind the point is cut off, never rounded up."""
        if self.register is None or self.unit not in _UNITS or self.register.adjusted() > _MOST_DIGITS:
            return None
        return WattHour(int((self.register * _UNITS[self.unit]).to_integral_value(ROUND_FLOOR)))


@dataclass(frozen=True, kw_only=True)
class Record:
    """A record taken apart. `payload`: the bytes that are signed. `identification`: IS, IL, IF, IT and ID."""

    raw: bytes
    payload: bytes
    algorithm: str
    signature: bytes
    version: str
    pagination: Pagination
    meter_serial: str
    identification: tuple[bool | None, str, tuple[str, ...], str, str]
    readings: tuple[Reading, ...]

    @property
    def begin(self) -> Reading | None:
        """The reading a transaction begins with."""
        return next((each for each in self.readings if each.is_begin), None)

    @property
    def end(self) -> Reading | None:
        """The reading a transaction ends with."""
        return next((each for each in self.readings if each.is_end), None)


def parse(raw: bytes) -> Record:
    """Take a record apart; raises RecordMalformed."""
    sections = raw.split(b"|")
    if len(sections) != len(("header", "payload", "signature")) or sections[0] != _HEADER:
        raise RecordMalformed("not OCMF|payload|signature")
    payload, signature = _object(sections[1], "payload"), _object(sections[2], "signature")
    try:
        return _record(raw, sections[1], payload, signature)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordMalformed(repr(error)[:100]) from error


def _object(section: bytes, name: str) -> dict[str, Any]:
    if section != section.strip():
        raise RecordMalformed(f"blanks around the {name}")
    try:
        found = json.loads(section.decode("utf-8"), parse_float=_decimal, object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        raise RecordMalformed(f"{name}: {error}"[:100]) from error
    if not isinstance(found, dict):
        raise RecordMalformed(f"the {name} is no object")
    return found


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(text) from error


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object; a name that stands there twice means one thing to one reader and another to the next."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is repeated")
    return found


def _record(raw: bytes, signed: bytes, payload: dict[str, Any], signature: dict[str, Any]) -> Record:
    unknown = [name for name in signature if name not in _SIGNATURE_FIELDS and not _VENDOR_FIELD.match(name)]
    if unknown:
        raise RecordMalformed(f"unknown in the signature: {unknown[0][:20]}")
    if signature.get("SM", "application/x-der") != "application/x-der":
        raise RecordMalformed("the signature is not DER")
    pagination = _PAGINATION.match(_text(payload["PG"]))
    if pagination is None:
        raise RecordMalformed("the pagination cannot be read")
    return Record(
        raw=raw,
        payload=signed,
        algorithm=_text(signature.get("SA", _DEFAULT_ALGORITHM)),
        signature=_bytes_of(_text(signature["SD"]), _text(signature.get("SE", "hex"))),
        version=_text(payload.get("FV", "")),
        pagination=Pagination(context=pagination[1], number=int(pagination[2])),
        meter_serial=_text(payload.get("MS", "")),
        identification=(
            payload.get("IS"),
            _text(payload.get("IL", "")),
            tuple(_text(each) for each in payload.get("IF", ())),
            _text(payload.get("IT", "")),
            _text(payload.get("ID", "")),
        ),
        readings=_readings(payload["RD"]),
    )


def _text(found: object) -> str:
    if not isinstance(found, str):
        raise RecordMalformed("a text is no text")
    return found


def _bytes_of(text: str, encoding: str) -> bytes:
    if encoding == "hex":
        if not re.fullmatch(r"[0-9A-Fa-f]+", text):
            raise RecordMalformed("the signature is not hexadecimal")
        return bytes.fromhex(text)
    if encoding == "base64":
        return base64.b64decode(text, validate=True)
    raise RecordMalformed(f"unknown encoding {encoding[:20]}")


def _readings(rows: list[dict[str, Any]]) -> tuple[Reading, ...]:
    if not isinstance(rows, list):
        raise RecordMalformed("no list of readings")
    before: dict[str, Any] = {}
    found = []
    for row in rows:
        whole = {name: before[name] for name in _INHERITED if name in before} | row
        found.append(_reading(whole))
        before = whole
    return tuple(found)


def _reading(row: dict[str, Any]) -> Reading:
    time_text = _text(row.get("TM", ""))
    at, synchronisation = _moment(time_text)
    register = row.get("RV")
    return Reading(
        transaction=_text(row.get("TX", "")),
        time_text=time_text,
        at=at,
        synchronisation=synchronisation,
        register=None if isinstance(register, bool) or not isinstance(register, int | Decimal) else Decimal(register),
        unit=_text(row.get("RU", "")),
        obis=_text(row.get("RI", "")),
        error_flags=_text(row.get("EF", "")),
        status=_text(row.get("ST", "")),
    )


def _moment(text: str) -> tuple[datetime | None, Synchronisation | None]:
    """Read `2026-11-22T10:00:00,000+0100 S`; anything else is no moment of OCMF."""
    found = _TIME.match(text)
    if found is None:
        return None, None
    try:
        at = datetime.strptime(f"{found[1]}.{found[2]}{found[3]}", "%Y-%m-%dT%H:%M:%S.%f%z")
    except ValueError:
        return None, None
    return at, Synchronisation(found[4])


def check(raw: bytes, public_key: str) -> tuple[Finding, ...]:
    """Return what is wrong with one record by itself; `public_key`: hexadecimal DER, as printed on the meter."""
    try:
        record = parse(raw)
    except RecordMalformed:
        return (Finding.MALFORMED,)
    return tuple(dict.fromkeys((*_of_signature(record, public_key), *_of_record(record))))


def _of_signature(record: Record, public_key: str) -> list[Finding]:
    if not public_key:
        return [Finding.KEY_MISSING]
    curve = _CURVES.get(record.algorithm)
    if curve is None:
        return [Finding.SIGNATURE_UNVERIFIABLE]
    try:
        key = serialization.load_der_public_key(bytes.fromhex(public_key))
    except (ValueError, UnsupportedAlgorithm):
        return [Finding.KEY_UNREADABLE]
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, curve):
        return [Finding.KEY_UNREADABLE]
    try:
        key.verify(record.signature, record.payload, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return [Finding.SIGNATURE_WRONG]
    return []


def _of_record(record: Record) -> list[Finding]:
    findings = []
    if record.version not in _VERSIONS:
        findings.append(Finding.VERSION_UNSUPPORTED)
    if not record.meter_serial:
        findings.append(Finding.SERIAL_MISSING)
    if record.identification[1] in _WRONG_LEVELS:
        findings.append(Finding.IDENTIFICATION_REFUSED)
    if not record.readings:
        findings.append(Finding.REGISTER_UNREADABLE)
    for reading in record.readings:
        findings += _of_reading(reading)
    return findings


def _of_reading(reading: Reading) -> list[Finding]:
    findings = []
    if reading.register_wh is None or reading.register_wh < 0:
        findings.append(Finding.REGISTER_UNREADABLE)
    if not _IMPORT.match(reading.obis):
        findings.append(Finding.NOT_IMPORTED_ENERGY)
    if reading.at is None:
        findings.append(Finding.TIME_UNREADABLE)
    elif reading.synchronisation is Synchronisation.UNKNOWN:
        findings.append(Finding.TIME_UNKNOWN)
    if reading.status != "G":
        findings.append(Finding.METER_NOT_GOOD)
    if "E" in reading.error_flags:
        findings.append(Finding.METER_ERROR)
    return findings


def check_session(raws: Sequence[bytes], public_key: str) -> tuple[Finding, ...]:
    """Return what is wrong with the records of one session, in the order in which they were signed."""
    findings: list[Finding] = []
    records = []
    for raw in raws:
        findings += check(raw, public_key)
        try:
            records.append(parse(raw))
        except RecordMalformed:
            # `check` has said so.
            continue
    for before, after in itertools.pairwise(records):
        if before.meter_serial != after.meter_serial:
            findings.append(Finding.SERIAL_DIFFERS)
        elif not after.pagination.follows(before.pagination):
            findings.append(Finding.PAGINATION_GAP)
        if before.identification != after.identification:
            findings.append(Finding.IDENTIFICATION_DIFFERS)
    findings += _of_course([reading for record in records for reading in record.readings])
    return tuple(dict.fromkeys(findings))


def _of_course(readings: list[Reading]) -> list[Finding]:
    """Return what is wrong with the course of a session from its begin to its end."""
    findings = []
    begins, ends = [each for each in readings if each.is_begin], [each for each in readings if each.is_end]
    for found, none, several in (
        (begins, Finding.NO_BEGIN, Finding.SEVERAL_BEGINS),
        (ends, Finding.NO_END, Finding.SEVERAL_ENDS),
    ):
        if len(found) != 1:
            findings.append(several if found else none)
    if begins and readings[0] is not begins[0] and Finding.SEVERAL_BEGINS not in findings:
        findings.append(Finding.NO_BEGIN)
    if ends and readings[-1] is not ends[-1] and Finding.SEVERAL_ENDS not in findings:
        findings.append(Finding.NO_END)
    for before, after in itertools.pairwise(readings):
        if before.register_wh is not None and after.register_wh is not None:
            scale = (_UNITS[before.unit], _UNITS[after.unit])
            if (before.register or 0) * scale[0] > (after.register or 0) * scale[1]:
                findings.append(Finding.ENERGY_FALLS)
        if before.at is not None and after.at is not None and before.at > after.at:
            findings.append(Finding.TIME_GOES_BACK)
        relative = Synchronisation.RELATIVE
        if (before.synchronisation is relative) != (after.synchronisation is relative):
            findings.append(Finding.TIME_SOURCES_DIFFER)
    return findings
