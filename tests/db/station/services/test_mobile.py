"""Bringing the modem into line with the settings, and sending a PIN once."""

from dataclasses import dataclass, field, replace

import pytest

from station import clock
from station.domain.commands import Origin
from station.domain.mobile import DataLink, ModemStatus, SimState
from station.host.ports import MobileProfile
from station.paths import DataDirectory
from station.services import configuration, mobile

pytestmark = pytest.mark.django_db


@dataclass
class FakeModem:
    """A modem with a locked card."""

    pin: str = "4711"
    tries: int = 3
    is_open: bool = False
    sent: list[str] = field(default_factory=list)
    applied: list[MobileProfile] = field(default_factory=list)

    def examine(self, *, often: bool = False) -> ModemStatus | None:
        status = ModemStatus(signal=60, iccid="8949", imsi="", operator="", link=DataLink.DOWN)
        if self.is_open:
            return status
        return replace(status, sim=SimState.LOCKED if self.tries else SimState.BLOCKED, tries_left=self.tries)

    def apply(self, profile: MobileProfile) -> bool:
        self.applied.append(profile)
        return True

    def unlock(self, pin: str) -> bool:
        self.sent.append(pin)
        self.is_open = pin == self.pin
        self.tries = 3 if self.is_open else self.tries - 1
        return self.is_open


def put(**values: str) -> None:
    items = {f"/mobile/{name}": value for name, value in values.items()}
    configuration.change(items, origin=Origin.WEB, actor="admin", at=clock.now())


def test_the_right_pin_opens_the_card_and_then_the_profile_follows(data: DataDirectory) -> None:
    modem = FakeModem()
    put(pin="4711", provider="de-telekom")

    status = mobile.follow(modem)

    assert modem.sent == ["4711"]
    assert status is not None
    assert status.sim is SimState.READY
    assert [(each.apn, each.user) for each in modem.applied] == [("internet.telekom", "telekom")]


def test_a_wrong_pin_costs_one_try_and_no_second_one_whatever_happens(data: DataDirectory) -> None:
    modem = FakeModem()
    put(pin="0000")

    for _ in range(5):
        status = mobile.follow(modem)

    assert modem.sent == ["0000"]
    assert status is not None
    assert mobile.pin_record(status).was_refused


def test_a_pin_entered_anew_is_sent_once_more_but_never_with_the_last_try(data: DataDirectory) -> None:
    modem = FakeModem()
    put(pin="0000")
    mobile.follow(modem)
    put(pin="0001")
    mobile.follow(modem)
    put(pin="4711")
    mobile.follow(modem)

    assert modem.sent == ["0000", "0001"]
    assert modem.tries == 1


def test_the_same_pin_can_be_tried_again_when_a_person_says_so(data: DataDirectory) -> None:
    modem = FakeModem()
    put(pin="0000")
    mobile.follow(modem)

    mobile.forget_refusal()
    mobile.follow(modem)

    assert modem.sent == ["0000", "0000"]


def test_after_a_power_cut_the_right_pin_is_sent_again(data: DataDirectory) -> None:
    modem = FakeModem()
    put(pin="4711")
    mobile.follow(modem)
    modem.is_open = False

    mobile.follow(modem)

    assert modem.sent == ["4711", "4711"]


def test_without_a_pin_nothing_is_sent(data: DataDirectory) -> None:
    modem = FakeModem()

    mobile.follow(modem)

    assert modem.sent == []
    assert modem.applied == []


def test_what_is_custom_is_used_with_a_custom_provider_only(data: DataDirectory) -> None:
    put(provider="custom", apn="iot.example", user="me", password="secret", authentication="pap", serviceMode="4g")
    custom = mobile.profile()
    put(provider="automatic")

    assert (custom.apn, custom.user, custom.password, custom.authentication) == ("iot.example", "me", "secret", "pap")
    assert mobile.profile() == MobileProfile(authentication="none", modes="4g")
