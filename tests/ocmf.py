"""Records of a meter that signs, made for tests: every field can be anything."""

import json
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

IDENTIFICATION: dict[str, Any] = {
    "IS": True,
    "IL": "TRUSTED",
    "IF": ["RFID_PLAIN", "OCPP_AUTH_TLS"],
    "IT": "ISO14443",
    "ID": "04A2B3C4",
}
_BEGAN = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


class RecordSigner:
    """A key, and the records it signs."""

    def __init__(self, curve: ec.EllipticCurve | None = None, *, serial: str = "M1") -> None:
        self._key = ec.generate_private_key(curve or ec.SECP256R1())
        self._algorithm = f"ECDSA-{self._key.curve.name.replace('brainpoolP', 'brainpool')}-SHA256"
        self.serial = serial

    @property
    def public_key(self) -> str:
        """The key as it is printed on the meter."""
        der = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return der.hex().upper()

    def sign(self, payload: str) -> bytes:
        signature = self._key.sign(payload.encode(), ec.ECDSA(hashes.SHA256())).hex().upper()
        return f'OCMF|{payload}|{{"SA":"{self._algorithm}","SD":"{signature}"}}'.encode()

    def record(self, pagination: str, *readings: dict[str, Any], **changed: Any) -> bytes:
        """Sign readings; a field that is None is left out."""
        content = {"FV": "1.0", "GI": "TEST", "PG": pagination, "MV": "FAKE", "MM": "M1", "MS": self.serial}
        whole = content | IDENTIFICATION | {"CT": "CBIDC", "CI": "CP1 1"} | {"RD": list(readings)} | changed
        # The meter writes two decimals; a dump of Python would not.
        text = json.dumps({name: value for name, value in whole.items() if value is not None}, separators=(",", ":"))
        return self.sign(text.replace('"@', "").replace('@"', ""))

    def pair(
        self, *, first: int = 4, begin: dict[str, Any] | None = None, end: dict[str, Any] | None = None
    ) -> list[bytes]:
        """Sign a session: its begin and its end; `begin` and `end` change the readings."""
        return [
            self.record(f"T{first}", reading("B", "5.00") | (begin or {})),
            self.record(f"T{first + 1}", reading("E", "12.34", minute=30) | (end or {})),
        ]


def reading(transaction: str, kwh: str, *, minute: int = 0, flag: str = "S") -> dict[str, Any]:
    """Return a reading as meters write it; the number keeps the digits it is given with."""
    at = _BEGAN.replace(minute=minute)
    return {
        "TM": f"{at:%Y-%m-%dT%H:%M:%S},000+0000 {flag}",
        "TX": transaction,
        "RV": f"@{kwh}@",
        "RI": "01-00:B2.08.00*FF",
        "RU": "kWh",
        "RT": "AC",
        "EF": "",
        "ST": "G",
    }
