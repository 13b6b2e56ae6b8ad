"""The card that ships with the station."""

from dataclasses import replace

import pytest

from station.models import BackendState
from station.paths import DataDirectory
from station.services import factory_reset, identity
from tests.db.whitelist.cards import listed, make
from tests.db.whitelist.conftest import AT, MASTER_KEY
from whitelist.editing import DeleteCard, purge_deleted, save
from whitelist.master_key import ensure_master_key
from whitelist.models import Source


def test_ex_works_the_master_key_is_in_the_list() -> None:
    assert ensure_master_key(AT)

    assert listed() == {MASTER_KEY: "local"}


@pytest.mark.django_db(transaction=True)
def test_a_deleted_master_key_stays_away_until_the_factory_reset(data: DataDirectory) -> None:
    ensure_master_key(AT)
    save([DeleteCard(key=MASTER_KEY.lower())], at=AT, actor="admin")
    purge_deleted()

    assert not ensure_master_key(AT)
    assert listed() == {}

    make("AA", source=Source.BACKEND)
    factory_reset.order(keep_messages=True, actor="admin", at=AT)
    factory_reset.carry_out(data)
    ensure_master_key(AT)
    assert listed() == {MASTER_KEY: "local"}
    assert BackendState.load().list_version == 0


def test_a_row_that_is_there_already_is_left_alone() -> None:
    make(MASTER_KEY, source=Source.BACKEND)

    assert not ensure_master_key(AT)

    assert listed() == {MASTER_KEY: "backend"}


def test_a_station_without_a_master_key_has_an_empty_list() -> None:
    identity.save(replace(identity.load(), master_key=""))

    assert not ensure_master_key(AT)
    assert listed() == {}


def test_a_replacement_card_in_the_identity_is_entered_too() -> None:
    ensure_master_key(AT)
    identity.save(replace(identity.load(), master_key="0411223344"))

    assert ensure_master_key(AT)

    assert listed() == {MASTER_KEY: "local", "0411223344": "local"}


def test_the_first_demo_start_makes_up_a_seven_byte_card_and_keeps_it(data: DataDirectory) -> None:
    data.identity.unlink()

    identity.ensure(at=AT)
    made = identity.load().master_key
    identity.ensure(at=AT)

    assert len(bytes.fromhex(made)) == 7
    assert identity.load().master_key == made
    assert made not in str(identity.as_values(identity.load()))


def test_a_station_that_production_has_named_gets_no_made_up_card(data: DataDirectory) -> None:
    data.identity.write_text('{"serial": "123456789"}')

    identity.ensure(at=AT)

    assert identity.load().master_key == ""


@pytest.mark.parametrize("value", ['"04"', '"04A2B3C"', '"' + "00" * 11 + '"', '"not hex!"', "4", "null"])
def test_a_master_key_that_is_no_card_number_stops_the_start(data: DataDirectory, value: str) -> None:
    data.identity.write_text(f'{{"serial": "123456789", "master_key": {value}}}')

    with pytest.raises(identity.IdentityFileBroken, match="master_key"):
        identity.ensure(at=AT)
