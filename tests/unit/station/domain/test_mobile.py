"""Why a modem is not online, when a PIN may be sent, and when its signal is a fault."""

from dataclasses import replace

import pytest

from station.domain.mobile import (
    Cause,
    DataLink,
    ModemStatus,
    PinRecord,
    Quality,
    Registration,
    SignalWatch,
    SimState,
    cause,
    may_send_pin,
    quality,
)
from station.domain.mobile_providers import PROVIDERS

ONLINE = ModemStatus(signal=80, iccid="8949", imsi="", operator="Net")
OFFLINE = replace(ONLINE, link=DataLink.DOWN)
LOCKED = replace(OFFLINE, sim=SimState.LOCKED, tries_left=3)
PIN = PinRecord(is_set=True)


@pytest.mark.parametrize(
    ("status", "pin", "why"),
    [
        (ONLINE, PIN, None),
        (replace(OFFLINE, sim=SimState.ABSENT), PIN, Cause.NO_SIM),
        (replace(OFFLINE, sim=SimState.FAULTY), PIN, Cause.SIM_FAULTY),
        (replace(OFFLINE, sim=SimState.BLOCKED), PIN, Cause.PUK_NEEDED),
        (LOCKED, PinRecord(), Cause.PIN_MISSING),
        (LOCKED, PIN, Cause.PIN_WAITS),
        (LOCKED, replace(PIN, was_refused=True), Cause.PIN_WRONG),
        (replace(LOCKED, tries_left=1), PIN, Cause.PIN_TOO_FEW_TRIES),
        (replace(LOCKED, tries_left=None), PIN, Cause.PIN_TOO_FEW_TRIES),
        (replace(OFFLINE, is_on=False), PIN, Cause.SWITCHED_OFF),
        (replace(OFFLINE, registration=Registration.DENIED), PIN, Cause.DENIED),
        (replace(OFFLINE, registration=Registration.SEARCHING), PIN, Cause.SEARCHING),
        (replace(OFFLINE, registration=Registration.SEARCHING, signal=None), PIN, Cause.SEARCHING),
        (replace(OFFLINE, registration=Registration.SEARCHING, signal=12), PIN, Cause.TOO_WEAK),
        (replace(OFFLINE, link=DataLink.REFUSED), PIN, Cause.APN_REFUSED),
        (replace(OFFLINE, link=DataLink.CONNECTING), PIN, Cause.CONNECTING),
        (OFFLINE, PIN, Cause.NOT_CONNECTED),
    ],
)
def test_the_first_thing_to_be_mended_is_named(status: ModemStatus, pin: PinRecord, why: Cause | None) -> None:
    assert cause(status, pin) is why


@pytest.mark.parametrize("tries", [None, 0, 1])
def test_a_pin_is_never_sent_when_a_mistake_would_block_the_card(tries: int | None) -> None:
    assert not may_send_pin(replace(LOCKED, tries_left=tries), PIN)


def test_a_pin_is_sent_once() -> None:
    assert may_send_pin(LOCKED, PIN)
    assert not may_send_pin(LOCKED, replace(PIN, was_refused=True))
    assert not may_send_pin(replace(LOCKED, sim=SimState.READY), PIN)


def judged(watch: SignalWatch, *readings: tuple[float, int | None]) -> list[bool]:
    return [watch.judge(replace(ONLINE, signal=signal), now_s=now_s) for now_s, signal in readings]


def test_a_signal_is_weak_after_a_minute_and_good_after_another() -> None:
    watch = SignalWatch()

    assert judged(watch, (0, 19), (59, 19), (60, 19)) == [False, False, True]
    assert judged(watch, (61, 31), (120, 31), (121, 31)) == [True, True, False]


def test_a_moment_of_better_reception_begins_the_minute_anew() -> None:
    assert judged(SignalWatch(), (0, 10), (30, 20), (60, 10), (119, 10), (120, 10)) == [
        False,
        False,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("signal", [20, 25, 30, None])
def test_what_is_in_between_changes_nothing(signal: int | None) -> None:
    watch = SignalWatch()
    judged(watch, (0, 5), (60, 5))

    assert judged(watch, (61, signal), (600, signal)) == [True, True]


def test_a_modem_that_is_no_uplink_has_no_fault() -> None:
    watch = SignalWatch()
    judged(watch, (0, 5), (60, 5))

    assert not watch.judge(replace(ONLINE, signal=5, is_uplink=False), now_s=61)
    assert not watch.judge(None, now_s=62)


def test_the_signal_has_a_word() -> None:
    assert [quality(signal) for signal in (None, 19, 20, 45, 70)] == list(Quality)


def test_every_provider_has_an_access_point_and_a_name_of_its_own() -> None:
    assert len({each.id for each in PROVIDERS}) == len(PROVIDERS)
    assert all(each.apn and each.name for each in PROVIDERS)
    assert {each.authentication for each in PROVIDERS} <= {"chap", "pap", "chap_or_pap", "none"}
