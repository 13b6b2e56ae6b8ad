"""What a pairing code stands for."""

import re

import pytest

from loadmgmt.cluster import keys

CODE = "ABCDE-FGHIJ-KLMNO-PQRST-UVWXY-Z"


def test_a_new_code_has_128_bits_in_groups_and_is_never_the_same() -> None:
    made = {keys.new_code() for _ in range(100)}

    assert len(made) == 100
    assert all(re.fullmatch(r"([A-Z2-7]{5}-){5}[A-Z2-7]", code) for code in made)


@pytest.mark.parametrize("typed", [CODE.lower(), CODE.replace("-", ""), CODE.replace("-", " "), f"  {CODE}\n"])
def test_a_code_is_taken_as_people_type_it(typed: str) -> None:
    assert keys.derive(typed) == keys.derive(CODE)


def test_a_code_of_ones_own_is_taken_letter_by_letter() -> None:
    assert keys.canonical("Garage 12-ä") == "Garage 12-ä"
    assert keys.derive("Garage 12") != keys.derive("garage 12")


def test_what_a_code_stands_for_stays_the_same_for_every_version_that_is_in_the_field() -> None:
    derived = keys.derive("correct horse battery")

    # Stations of one cluster are updated one after the other.
    assert derived.name == "e74c998a7178ebe5"
    assert len(derived.authority_seed) == 48
    assert derived.join_password[:32] != derived.name
    assert "correct horse" not in repr(derived)
    assert derived.join_password not in repr(derived)
