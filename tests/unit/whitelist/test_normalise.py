"""Which texts can be a card, and which of them are the same one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whitelist.normalise import CardRefused, check_backend_tag, key_of, normalise_group, normalise_uid

PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)


@pytest.mark.parametrize(
    "text", ["04A2B3C4", " 04:A2:B3:C4 ", "04-A2-B3-C4", "04 A2 B3 C4", "04.A2.B3.C4", "04A2:B3C4"]
)
def test_separators_between_the_bytes_of_a_card_do_not_matter(text: str) -> None:
    assert normalise_uid(text) == "04A2B3C4"


@pytest.mark.parametrize("text", ["DE-ABC-C12345-X", "12345", "A-B-C", "driver 7", "0x04", "<script>"])
def test_text_that_is_not_whole_bytes_in_hex_is_kept(text: str) -> None:
    assert normalise_uid(f"  {text} ") == text


def test_leading_zeros_and_ten_byte_cards_are_kept() -> None:
    assert normalise_uid("00000001") == "00000001"
    assert normalise_uid(":".join(["ff"] * 10)) == "ff" * 10


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "uid_empty"),
        ("  ", "uid_empty"),
        ("x" * 21, "uid_too_long"),
        ("00" * 11, "uid_too_long"),
        ("a\x00b", "uid_control_character"),
        ("a\nb", "uid_control_character"),
        ("a\u202eb", "uid_control_character"),
        ("Käse", "uid_not_ascii"),
    ],
)
def test_what_cannot_be_an_id_tag_is_refused_with_a_reason(text: str, code: str) -> None:
    with pytest.raises(CardRefused) as refused:
        normalise_uid(text)

    assert refused.value.code == code


def test_a_refusal_tells_how_long_the_text_is() -> None:
    with pytest.raises(CardRefused) as refused:
        normalise_uid("x" * 33)

    assert refused.value.data == {"length": 33, "limit": 20}


def test_a_group_may_be_empty_and_is_never_rewritten() -> None:
    assert normalise_group("  ") == ""
    assert normalise_group(" AB-CD ") == "AB-CD"
    with pytest.raises(CardRefused, match="group_too_long"):
        normalise_group("g" * 21)


@pytest.mark.parametrize("tag", ["AB-CD", "04:A2", "Käse", "driver 7", "#ÄÖ"])
def test_section_7_28_an_id_tag_of_the_backend_is_only_trimmed(tag: str) -> None:
    assert check_backend_tag(f" {tag} ") == tag


@pytest.mark.parametrize("tag", ["", " ", "x" * 21, "a\tb", "\u0390" * 10])
def test_section_7_28_an_id_tag_that_cannot_be_kept_is_refused(tag: str) -> None:
    with pytest.raises(CardRefused):
        check_backend_tag(tag)


@given(PRINTABLE)
def test_bringing_into_form_twice_changes_nothing_and_ignores_case(text: str) -> None:
    try:
        uid = normalise_uid(text)
    except CardRefused:
        return

    assert normalise_uid(uid) == uid
    assert key_of(normalise_uid(text.upper())) == key_of(normalise_uid(text.lower())) == key_of(uid)
    assert len(key_of(uid)) <= 20
