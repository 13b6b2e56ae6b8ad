"""The ad-hoc price of a charging point as fields for people; the key behind them holds JSON."""

import re
from dataclasses import dataclass, replace

from django.http import QueryDict
from django.utils.translation import gettext as _

from station.domain.adhoc_price import AdhocPrice
from station.domain.configuration import InvalidValue
from station.domain.configuration.values import price as normal_form
from station.services import configuration
from station.ui import problems
from station.web.driver_display import price_key

UNITS = ("kWh", "min", "h")
_AMOUNT = re.compile(r"[0-9]{1,4}([.,][0-9]{1,4})?")
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, kw_only=True)
class PriceField:
    """One input; `error` stands below it."""

    name: str
    value: str
    error: str = ""


class PriceForm:
    """Price, currency, unit and payment address of one charging point."""

    def __init__(self, number: int, entered: QueryDict) -> None:
        self.number = number
        self.key = price_key(number)
        in_force = AdhocPrice.decode(configuration.get(self.key))
        written = {
            "amount": in_force.amount.replace(".", _decimal_separator()),
            "currency": in_force.currency,
            "unit": in_force.unit,
            "url": in_force.url,
        }
        self._is_entered = f"price-{number}-amount" in entered
        self.fields = {
            name: PriceField(name=f"price-{number}-{name}", value=entered.get(f"price-{number}-{name}", value).strip())
            for name, value in written.items()
        }
        self._price = in_force
        if self._is_entered:
            self._read()

    @property
    def is_refused(self) -> bool:
        """Whether something that was entered cannot be."""
        return any(field.error for field in self.fields.values())

    @property
    def units(self) -> tuple[str, ...]:
        """Return the units offered, with the one in force."""
        unit = self.fields["unit"].value
        return UNITS if unit in UNITS else (*UNITS, unit)

    @property
    def value(self) -> str:
        """Return what the key would hold."""
        return self._price.encode() if self._is_entered else configuration.get(self.key)

    def _read(self) -> None:
        amount, currency = self.fields["amount"].value, self.fields["currency"].value.upper()
        if amount and not _AMOUNT.fullmatch(amount):
            self._refuse("amount", _("A price like %(example)s is expected.") % {"example": _("0.49")})
        if not _CURRENCY.fullmatch(currency):
            self._refuse("currency", _("Three letters are expected, like EUR."))
        if self.is_refused:
            return
        self._price = replace(
            self._price,
            amount=amount.replace(",", "."),
            currency=currency,
            unit=self.fields["unit"].value,
            url=self.fields["url"].value,
        )
        try:
            normal_form(self._price.encode())
        except InvalidValue as refusal:
            if refusal.data.get("member") == "url":
                example = {"example": "https://pay.example.com/1"}
                self._refuse("url", _("An address like %(example)s is expected.") % example)
            else:
                self._refuse("url", problems.say(refusal.code, refusal.data))

    def _refuse(self, name: str, error: str) -> None:
        self.fields[name] = replace(self.fields[name], error=error)


def _decimal_separator() -> str:
    return _("0.49")[1]
