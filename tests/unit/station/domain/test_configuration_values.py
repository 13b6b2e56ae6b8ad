"""The normal forms of configuration values, type by type."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.domain.configuration import InvalidValue, authorization_key_bytes, endpoint
from station.domain.configuration import values as v
from station.domain.configuration.backend import authorization_key
from station.domain.configuration.keys import Parse


def code(parse: Parse, text: str) -> str:
    with pytest.raises(InvalidValue) as refused:
        parse(text)
    return refused.value.code


@pytest.mark.parametrize("text", ["true", "TRUE", "True", "false", "FALSE"])
def test_booleans_are_words_in_any_case(text: str) -> None:
    assert v.boolean(text) == text.lower()


@pytest.mark.parametrize("text", ["1", "0", "yes", "", " true", "wahr"])
def test_nothing_else_is_a_boolean(text: str) -> None:
    assert code(v.boolean, text) == "boolean"


@pytest.mark.parametrize("text", ["-1", "+1", "1.0", " 1", "1 ", "", "0x10", "1e3", "١", "²", "9" * 400])
def test_integers_are_plain_digits(text: str) -> None:
    assert code(v.integer(0), text) == "integer"


def test_an_integer_that_would_overflow_is_refused() -> None:
    assert v.integer(0)("2147483647") == "2147483647"
    assert code(v.integer(0), "2147483648") == "range"


@given(st.integers(min_value=6, max_value=32))
def test_integers_in_range_come_back_in_normal_form(number: int) -> None:
    assert v.integer(6, 32)(f"{number:04d}") == str(number)


@given(st.text())
def test_what_is_no_number_in_range_never_passes(text: str) -> None:
    try:
        value = v.integer(6, 32, also=(0,))(text)
    except InvalidValue:
        return
    assert int(value) == 0 or 6 <= int(value) <= 32


def test_an_optional_number_may_be_empty() -> None:
    assert v.integer(6, 10_000, optional=True)("") == ""


def test_an_id_tag_has_one_to_twenty_characters() -> None:
    assert v.id_tag("DUMMY") == "DUMMY"
    assert code(v.id_tag, "") == "empty"
    assert code(v.id_tag, "x" * 21) == "too_long"
    assert code(v.id_tag, "tüte") == "not_printable"
    assert code(v.id_tag, "a\nb") == "control_character"


def test_words_are_found_in_any_case() -> None:
    assert v.one_of("any", "none")("None") == "none"
    assert code(v.one_of("any", "none"), "some") == "not_one_of"
    assert v.one_of("", "giro-e")("") == ""


def test_a_list_keeps_its_order_and_drops_blanks() -> None:
    assert v.list_of("NTP", "HeartBeat")(" heartbeat , NTP") == "HeartBeat,NTP"
    assert code(v.list_of("NTP"), "NTP,NTP") == "item_twice"
    assert code(v.list_of("NTP"), "NTP,") == "empty_item"
    assert code(v.list_of("NTP"), "GPS") == "item_not_one_of"
    assert code(v.list_of("NTP", low=1), " ") == "empty"


def test_measurands_are_those_the_station_measures_in_their_own_spelling() -> None:
    assert v.measurands(" voltage , Current.Import.L1") == "Voltage,Current.Import.L1"
    assert v.measurands("") == ""
    assert code(v.measurands, "Voltage,Humidity") == "measurand"
    assert code(v.measurands, "Voltage,") == "empty_item"


def test_a_phase_rotation_is_one_word_per_charging_point() -> None:
    assert v.phase_rotation("0.rst, 1.NotApplicable") == "0.RST,1.NotApplicable"
    for wrong in ("1.RRR", "RST", "1.RST,", "-1.RST"):
        assert code(v.phase_rotation, wrong) == "phase_rotation"
    assert code(v.phase_rotation, "1.RST,1.STR") == "item_twice"


@pytest.mark.parametrize(
    "url",
    [
        "ws://127.0.0.1:9000",
        "wss://backend.example/ocpp/16",
        "wss://[2001:db8::1]:443/x",
        "wss://backend.example/${chargeBoxIdentity}/ws?v=1",
        "",
    ],
)
def test_addresses_of_backends_are_taken_without_outer_blanks(url: str) -> None:
    assert v.url(f"  {url} ") == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://backend.example", "url_scheme_ws"),
        ("backend.example", "url_scheme_ws"),
        ("wss:backend", "url_scheme_ws"),
        ("wss://", "url_host"),
        ("wss:///path", "url_host"),
        ("wss://user:pw@backend.example", "url_credentials"),
        ("wss://backend.example:0", "url_port"),
        ("wss://backend.example:99999", "url"),
        ("wss://backend.example:x", "url"),
        ("wss://[::1", "url"),
        ("wss://back end.example", "url"),
        ("wss://backend.example/#x", "url_fragment"),
        ("wss://backend.example/?id=", "url_query"),
        ("wss://backend.example/${serial}", "placeholder"),
        ("wss://bäckend.example", "not_printable"),
        ("wss://backend.example/\n", "url"),
    ],
)
def test_addresses_that_cannot_work_are_refused_with_the_reason(url: str, reason: str) -> None:
    if url.endswith("\n"):
        assert v.url(url) == url.strip()
    else:
        assert code(v.url, url) == reason


def test_the_chargebox_id_is_appended_percent_encoded_or_put_in_its_place() -> None:
    assert endpoint("ws://host/ocpp/", "TE 1/2") == "ws://host/ocpp/TE%201%2F2"
    assert endpoint("ws://host/${chargeBoxIdentity}/x?y=1", "TE1") == "ws://host/TE1/x?y=1"


def test_a_template_knows_the_serial_number_only() -> None:
    assert v.charge_box_identity(" TE${serial} ") == "TE${serial}"
    assert code(v.charge_box_identity, "TE${model}") == "placeholder"
    assert code(v.charge_box_identity, "TE${serial") == "placeholder"
    assert code(v.charge_box_identity, "") == "empty"


@pytest.mark.parametrize(
    ("key", "password"),
    [
        ("0123456789abcdef", b"0123456789abcdef"),
        ("00ff" * 8, bytes.fromhex("00ff" * 8)),
        ("AB" * 20, bytes.fromhex("AB" * 20)),
        ("a" * 33, b"a" * 33),
        ("g" * 32, b"g" * 32),
        ("12345678 abcdefgh", b"12345678 abcdefgh"),
    ],
)
def test_an_authorization_key_is_text_or_bytes_in_hex(key: str, password: bytes) -> None:
    assert authorization_key_bytes(authorization_key(f" {key} ")) == password


@pytest.mark.parametrize(
    ("key", "reason"), [("x" * 15, "too_short"), ("x" * 41, "too_long"), ("schlüssel-der-station", "not_printable")]
)
def test_other_authorization_keys_are_refused(key: str, reason: str) -> None:
    assert code(authorization_key, key) == reason


def test_a_password_is_kept_to_the_letter() -> None:
    assert v.password(12, 128)("  pass wört  ") == "  pass wört  "
    assert code(v.password(12, 128), "x" * 11) == "too_short"
    assert code(v.password(12, 128), "x" * 129) == "too_long"


def test_a_secret_may_be_empty() -> None:
    assert v.secret(8, 128)(" ") == ""
    assert code(v.secret(8, 128), "1234567") == "too_short"


@pytest.mark.parametrize("text", ["2025-08", "2019-12", ""])
def test_production_dates_are_year_and_month(text: str) -> None:
    assert v.production_date(text) == text


@pytest.mark.parametrize("text", ["2025-13", "2025-8", "08/2025", "2025-08-01"])
def test_other_production_dates_are_refused(text: str) -> None:
    assert code(v.production_date, text) == "date"


def test_evse_ids_come_in_two_forms() -> None:
    for text in ("DE*ABC*E12345", "DEABCE1", "+49*810*000*438", ""):
        assert v.evse_id(text) == text
    for text in ("E12345", "DE*ABC*X1", "DE ABC E1"):
        assert code(v.evse_id, text) == "evse_id"


def test_phone_numbers_are_written_as_people_do() -> None:
    assert v.phone("+49 (0) 851 / 966 96-0") == "+49 (0) 851 / 966 96-0"
    assert code(v.phone, "call us") == "phone"
    assert code(v.phone, "()") == "phone"


def test_a_price_is_a_small_json_object() -> None:
    assert json.loads(v.price('{ "price": 0.59, "currency": "EUR", "url": "https://pay.example" }'))["price"] == 0.59
    assert v.price(" ") == ""
    assert code(v.price, "0,59") == "json"
    assert code(v.price, "[" * 100_000) == "json"
    assert code(v.price, '{"price": NaN}') == "json"
    assert code(v.price, "[1]") == "json_object"
    assert code(v.price, '{"price": -1}') == "json_member"
    assert code(v.price, '{"price": 1e400}') == "json_member"
    assert code(v.price, '{"url": "javascript:alert(1)"}') == "json_member"
    assert code(v.price, json.dumps({"url": "https://" + "x" * 600})) == "too_long"


def test_an_address_in_the_cluster_has_a_port() -> None:
    assert v.host_port(" 192.168.30.50:6379 ") == "192.168.30.50:6379"
    assert v.host_port("[fe80::1]:6379") == "[fe80::1]:6379"
    assert v.host_port("") == ""
    for text in ("station", "station:", ":80", "station:0", "station:65536", "fe80::1:80", "a b:80"):
        assert code(v.host_port, text) == "host_port"


def test_a_path_is_any_name_of_a_file() -> None:
    assert v.path("/media/a b.pem") == "/media/a b.pem"
    assert code(v.path, "") == "empty"
    assert code(v.path, "a\0b") == "control_character"


@pytest.mark.parametrize(
    "parse",
    [
        v.boolean,
        v.integer(0),
        v.text(),
        v.id_tag,
        v.measurands,
        v.phase_rotation,
        v.url,
        v.charge_box_identity,
        v.host_port,
        v.production_date,
        v.evse_id,
        v.phone,
        v.price,
        authorization_key,
        v.secret(8, 128),
    ],
)
@given(text=st.text(max_size=80))
def test_a_normal_form_stays_as_it_is(parse: Parse, text: str) -> None:
    try:
        value = parse(text)
    except InvalidValue:
        return

    assert parse(value) == value
