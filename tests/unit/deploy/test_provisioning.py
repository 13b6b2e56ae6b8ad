"""What the factory writes for a station: what is taken, what is refused and why."""

import json
import re

import pytest
from django.utils import translation

from station.services.provisioning import Mistake, ProvisioningRefused, parse
from station.ui import provisioning_words

PASSWORD = "ZD5HM8RT3VNE"
GOOD = {"serial": "100012345", "factoryPassword": PASSWORD}


def refused(text: str, language: str = "en") -> str:
    try:
        weakness = parse(text).weakness
        assert weakness is not None
        mistakes: tuple[Mistake, ...] = (weakness,)
    except ProvisioningRefused as refusal:
        mistakes = refusal.mistakes
    with translation.override(language):
        return provisioning_words.say_all((each.code, each.data) for each in mistakes)


def test_serial_and_password_are_enough():
    given = parse(json.dumps(GOOD))

    assert (given.serial, given.password, given.hardware) == ("100012345", PASSWORD, None)


def test_every_entry_becomes_a_configuration_key():
    given = parse(json.dumps(GOOD | {"connectors": 1, "socketLock": False, "masterKey": "04A1B2C3", "hardware": {}}))

    assert given.values["/identity/connectors"] == "1"
    assert given.values["/identity/socketLock"] == "false"
    assert (given.master_key, given.hardware) == ("04A1B2C3", {})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("[]", "no JSON object"),
        ('"100012345"', "no JSON object"),
        (json.dumps({"serial": "100012345"}), "“factoryPassword” is missing"),
        (json.dumps({"factoryPassword": PASSWORD}), "“serial” is missing"),
        (json.dumps(GOOD | {"serial": ""}), "“serial” is missing"),
        (json.dumps(GOOD | {"serial": "x" * 26}), "up to 25 letters and digits"),
        (json.dumps(GOOD | {"serial": ["1"]}), "“serial” is neither text nor number"),
        (json.dumps(GOOD | {"connectors": 3}), "“connectors” is not allowed: The number must be from 1 to 2."),
        (json.dumps(GOOD | {"connectors": {}}), "“connectors” is neither text nor number"),
        (json.dumps(GOOD | {"connectors": 2.0}), "“connectors” is not allowed: A whole number in digits"),
        (json.dumps(GOOD | {"connectors": 1})[:-2] + "1e3}", "“connectors” is not allowed: A whole number in digits"),
        ('{"ratedCurrentA": 1e999, "serial": "1"}', "“ratedCurrentA” is not allowed: A whole number in digits"),
        (json.dumps(GOOD | {"masterKey": "04"}), "“masterKey” is no card number"),
        (json.dumps(GOOD | {"masterKey": 4}), "“masterKey” is no card number"),
        (json.dumps(GOOD | {"sreial": "1"}), "“sreial” is unknown"),
        ('{"serial": "1", "serial": "2", "factoryPassword": "ZD5HM8RT3VNE"}', "“serial” is named twice"),
    ],
)
def test_a_mistake_is_refused_with_what_to_do(text, why):
    said = refused(text)

    assert why in said
    assert PASSWORD not in said


def test_a_password_that_is_too_short_is_refused_without_repeating_it():
    said = refused(json.dumps(GOOD | {"factoryPassword": "geheim"}))

    assert "At least 8 characters" in said
    assert re.search(r"for instance [2-9A-HJ-NP-Z]{12}\b", said)
    assert "geheim" not in said


def test_a_weak_password_is_named_with_every_other_mistake():
    said = refused(json.dumps(GOOD | {"factoryPassword": "12345678", "connectors": 9}))

    assert "tried first" in said
    assert "“connectors”" in said


def test_every_mistake_is_named_at_once():
    said = refused(json.dumps({"serial": "100012345", "connectors": 9, "other": 1}))

    assert all(name in said for name in ("factoryPassword", "connectors", "other"))


@pytest.mark.parametrize("password", [" " * 8, "\0" * 8, "ABCDEFGH\0", "ABCDEFGH\n", "ABCDEFGH\u2028"])
def test_a_password_that_nobody_can_type_is_refused(password):
    assert "“factoryPassword” is not allowed" in refused(json.dumps(GOOD | {"factoryPassword": password}))


@pytest.mark.parametrize("password", ["TE-2026-0001", "te-2026-0001", "xTE-2026-0001x"])
def test_a_password_that_holds_the_serial_number_is_refused(password):
    given = json.dumps({"serial": "TE-2026-0001", "factoryPassword": password})

    assert "“factoryPassword” is not allowed: The serial number must not stand in it" in refused(given)
    assert "Die Seriennummer darf nicht darin stehen" in refused(given, "de")


@pytest.mark.parametrize("password", ["abcZZ1defgh", "abczz-1defgh"])
def test_hyphens_hide_no_serial_number(password):
    given = json.dumps({"serial": "Z-Z-1", "factoryPassword": password})

    assert "The serial number must not stand in it" in refused(given)


@pytest.mark.parametrize(
    ("password", "english", "german"),
    [
        ("K7WQ2MZ9PXAB", "the example that everybody can read", "das Beispiel, das alle lesen können"),
        ("k7wq-2mz9-pxab", "the example that everybody can read", "das Beispiel, das alle lesen können"),
        ("aaaaaaaa", "At least 5 different characters", "Mindestens 5 verschiedene Zeichen"),
        ("AaBbCcDdAaBb", "At least 5 different characters", "Mindestens 5 verschiedene Zeichen"),
        ("password", "tried first", "zuerst probiert"),
        ("12345678", "tried first", "zuerst probiert"),
        ("Football1", "tried first", "zuerst probiert"),
        (f" {PASSWORD}", "begin or end with a blank", "mit einem Leerzeichen beginnen oder enden"),
        (f"{PASSWORD}\u00a0", "not allowed", "nicht erlaubt"),
        (f"{PASSWORD} ", "begin or end with a blank", "mit einem Leerzeichen beginnen oder enden"),
        ("ZD5HM8RT\U0001f600", "keyboards do not have", "auf Tastaturen nicht gibt"),
        ("ZD5HM8RTu\u0308", "keyboards do not have", "auf Tastaturen nicht gibt"),
    ],
)
def test_a_password_that_others_know_guess_or_cannot_type_is_refused(password, english, german):
    given = json.dumps(GOOD | {"factoryPassword": password})

    assert english in refused(given)
    assert german in refused(given, "de")


@pytest.mark.parametrize(
    "password", ["TESTPASSW0RD", "Q7RW-KX4M-9TJC", "Straße 7 °C €", "Wolken-Kabel-42-Ast", "пароль-станции"]
)
def test_a_password_that_can_be_typed_and_is_not_common_is_taken(password):
    given = parse(json.dumps(GOOD | {"factoryPassword": password}))

    assert (given.password, given.weakness) == (password, None)


def test_every_example_that_is_shown_is_another_password_that_would_be_taken():
    said = [provisioning_words.say("missing", {"name": "factoryPassword"}) for _ in range(20)]
    shown = {re.search(r'"factoryPassword": "([^"]+)"', each)[1] for each in said}

    assert len(shown) == len(said)
    assert all(parse(json.dumps(GOOD | {"factoryPassword": each})).weakness is None for each in shown)


def test_a_short_serial_number_may_stand_in_a_password_by_chance():
    assert parse(json.dumps({"serial": "D5H", "factoryPassword": PASSWORD})).weakness is None


@pytest.mark.parametrize(
    "serial", ["10 00/12345", "10/00", "..", "-1", "1-", "1_2", "Säule1", "1\t2", "x" * 26, " ", "1\n2", "$(id)"]
)
def test_a_serial_number_fits_a_sticker_a_file_name_and_an_address(serial):
    said = refused(json.dumps(GOOD | {"serial": serial}))

    assert "“serial” is" in said
    assert "100012345" in said


@pytest.mark.parametrize("serial", ["100012345", "TE-2026-0001", "a", "x" * 25, 100012345])
def test_serial_numbers_as_makers_print_them_are_taken(serial):
    assert parse(json.dumps(GOOD | {"serial": serial})).serial == str(serial)


def test_umlauts_are_named_as_what_they_are():
    english, german = (refused(json.dumps(GOOD | {"vendor": "Säulen GmbH"}), language) for language in ("en", "de"))

    assert "Umlauts" in english
    assert "for instance Technagon GmbH" in english
    assert "characters" in english
    assert "1 to 20" not in english
    assert "Umlaute" in german
    assert "zum Beispiel Technagon GmbH" in german


@pytest.mark.parametrize(
    "text",
    [
        '{"serial": "\\ud800", "factoryPassword": "ZD5HM8RT3VNE"}',
        '{"serial": "100012345", "factoryPassword": "\\ud800\\ud800\\ud800\\ud800\\ud800\\ud800\\ud800\\ud800"}',
        '{"\\udfff": 1, "serial": "100012345", "factoryPassword": "ZD5HM8RT3VNE"}',
        '{"serial": "100012345", "factoryPassword": "ZD5HM8RT3VNE", "hardware": {"connectors": ["\\udc00"]}}',
        # What a text that is not UTF-8 becomes where the computer has no language.
        '{"serial": "\udcfc", "factoryPassword": "ZD5HM8RT3VNE"}',
    ],
)
def test_half_a_character_is_refused_in_words(text):
    said = refused(text)

    assert "half a character" in said
    said.encode()


def test_a_name_that_is_no_entry_cannot_command_the_terminal():
    said = refused(json.dumps(GOOD | {"\x1b[2J" + "x" * 100: 1}))

    assert "\x1b" not in said
    assert "“\\x1b[2Jxxx" in said
    assert "x" * 40 not in said


def test_mistakes_are_told_in_german_too():
    said = refused(json.dumps({"serial": "10 00/12345", "sreial": 1}), "de")

    assert "Seriennummer" in said
    assert "„sreial“ ist unbekannt" in said
    assert "„factoryPassword“ fehlt" in said
