"""What the simulated signing meter signs: records in the Open Charge Metering Format (OCMF).

::

    OCMF|<payload, JSON>|<signature, JSON>

The payload is signed as written, SHA-256 with ECDSA on secp256r1. Version 1.3, since the transparency software refuses
later ones. A transaction has two records, one with its begin and one with its end, with the next page number each.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hardware.protocols.ocmf_meter import MeterTime
from station.domain.ports import Identification

VENDOR, MODEL, FIRMWARE = "Simulated", "Signing meter", "1.0.0"
FORMAT_VERSION = "1.3"
_OBIS_IMPORT = "1-0:1.8.0"
_MINUTES_PER_HOUR = 60
GOOD, READ_ERROR = "G", "F"


class KeyUnusable(Exception):
    """The private key of the meter cannot be read."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A reading to sign; `transaction`: TX of the reading; `energy_wh`: None where the register cannot be read."""

    time: MeterTime
    at: datetime
    transaction: str
    energy_wh: int | None


def payload(*, serial: str, page: int, identification: Identification, reading: Reading) -> str:
    """Write what is signed. The energy has three decimals, always: another number of them is another text."""
    head: dict[str, Any] = {
        "FV": FORMAT_VERSION,
        "GI": f"{VENDOR} {MODEL}",
        "GS": serial,
        "GV": FIRMWARE,
        "PG": f"T{page}",
        "MV": VENDOR,
        "MM": MODEL,
        "MS": serial,
        "MF": FIRMWARE,
        "IS": identification.assigned,
    }
    if identification.level:
        head["IL"] = identification.level
    head |= {"IF": list(identification.flags), "IT": identification.kind or "NONE", "ID": identification.data}
    if identification.charge_point:
        head |= {"CT": identification.charge_point_kind, "CI": identification.charge_point}
    return f'{_json(head)[:-1]},"RD":[{_reading(reading)}]}}'


def sign(text: str, key: Path) -> bytes:
    """Sign a payload and return the whole record; raises KeyUnusable."""
    # Imported here because it takes longer than everything else at start, and only meters that sign need it.
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise KeyUnusable(key, str(error)) from error
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise KeyUnusable(key, "no key of an elliptic curve")
    signature = private.sign(text.encode(), ec.ECDSA(SHA256()))
    return f"OCMF|{text}|{_json({'SA': 'ECDSA-secp256r1-SHA256', 'SD': signature.hex().upper()})}".encode()


def forged(record: bytes) -> bytes:
    """Return a record whose signature is well-formed and not of its key: the last digit is another one."""
    end = len(b'0"}')
    last = record[-end : 1 - end]
    return record[:-end] + (b"1" if last == b"0" else b"0") + record[1 - end :]


def _reading(reading: Reading) -> str:
    offset = reading.time.offset_minutes
    local = reading.at + timedelta(minutes=offset)
    hours, minutes = divmod(abs(offset), _MINUTES_PER_HOUR)
    stamp = (
        f"{local:%Y-%m-%dT%H:%M:%S},{local.microsecond // 1000:03d}"
        f"{'-' if offset < 0 else '+'}{hours:02d}{minutes:02d} {reading.time.synchronisation.value}"
    )
    head = _json({"TM": stamp, "TX": reading.transaction})[:-1]
    energy = reading.energy_wh
    if energy is None:
        return f'{head},"RT":"AC","EF":"E","ST":"{READ_ERROR}"}}'
    return (
        f'{head},"RV":{energy // 1000}.{energy % 1000:03d},"RI":"{_OBIS_IMPORT}","RU":"kWh",'
        f'"RT":"AC","EF":"","ST":"{GOOD}"}}'
    )


def _json(content: dict[str, Any]) -> str:
    # The bar separates the sections of a record and must not occur within one.
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("|", "\\u007c")
