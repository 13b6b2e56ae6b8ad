"""The price for drivers without a contract, as the key /Price/<n>/adhoc holds it."""

import json
from dataclasses import dataclass, field
from typing import Any

DEFAULT_CURRENCY, DEFAULT_UNIT = "EUR", "kWh"
_OWN = ("price", "currency", "unit", "url")


@dataclass(frozen=True, kw_only=True)
class AdhocPrice:
    """What a driver without a contract pays, and where; `amount` is a number as text. `more`: members of others."""

    amount: str = ""
    currency: str = DEFAULT_CURRENCY
    unit: str = DEFAULT_UNIT
    url: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def decode(cls, text: str) -> "AdhocPrice":
        """Read a value of the key, which is an object of JSON or empty; members of a wrong kind count as missing."""
        members = json.loads(text) if text else {}

        def word(name: str, missing: str) -> str:
            value = members.get(name)
            return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else missing

        return cls(
            amount=word("price", ""),
            currency=word("currency", DEFAULT_CURRENCY),
            unit=word("unit", DEFAULT_UNIT),
            url=word("url", ""),
            more={name: value for name, value in members.items() if name not in _OWN},
        )

    def encode(self) -> str:
        """Make the value of the key; empty without a price, an address and members of others."""
        members: dict[str, Any] = {}
        if self.amount:
            members |= {"price": float(self.amount), "currency": self.currency, "unit": self.unit}
        if self.url:
            members["url"] = self.url
        members |= self.more
        return json.dumps(members, ensure_ascii=False, separators=(",", ":")) if members else ""
