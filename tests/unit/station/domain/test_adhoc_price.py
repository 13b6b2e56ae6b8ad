"""The ad-hoc price between form fields and the key's JSON."""

import json

from station.domain.adhoc_price import AdhocPrice


def test_a_price_survives_being_written_and_read():
    price = AdhocPrice(amount="0.49", currency="CHF", unit="min", url="https://pay.example/1")

    assert AdhocPrice.decode(price.encode()) == price


def test_members_that_a_backend_has_added_are_kept():
    stored = '{"price":"0,59","currency":"EUR","validUntil":"2027-01-01"}'

    changed = AdhocPrice(amount="0.61", more=AdhocPrice.decode(stored).more).encode()

    assert json.loads(changed) == {"price": 0.61, "currency": "EUR", "unit": "kWh", "validUntil": "2027-01-01"}


def test_nothing_is_nothing():
    assert AdhocPrice.decode("") == AdhocPrice()
    assert AdhocPrice().encode() == ""


def test_members_of_a_wrong_kind_count_as_missing():
    assert AdhocPrice.decode('{"price":0.5,"currency":["EUR"],"url":null}') == AdhocPrice(amount="0.5")
