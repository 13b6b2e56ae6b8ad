import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.drivers.phoenix_ev_cc import BOLT_MOVES_S, PhoenixEvCc
from hardware.protocols.phoenix import BoardError, IdentificationBlock, Input, StatusBlock
from station.domain.faults import FaultCode
from station.domain.ports import DeviceRefused, DeviceSilent, Pilot
from tests.unit.hardware.drivers.fake_bus import FakeBus

RELEASE, AVAILABLE, LOCK, LIMIT = 20000, 20001, 20002, 22000


class Board(FakeBus):
    """A commissioned board; `live` puts a status into its registers, `restart` makes it forget its commands."""

    def __init__(self) -> None:
        super().__init__()
        self.holding.update({4000: 3, 4001: 2, 4002: 3})
        identification = IdentificationBlock(
            order_designation="EV-CC-AC1-M3",
            order_number="1622452",
            serial_number="4711",
            hardware_id=10,
            hardware_version=3,
            firmware_letter="V",
            firmware_major=1,
            firmware_minor=5,
        )
        self.input.update(enumerate(identification.encode(), 1000))
        self.live()

    def live(self, **changes) -> None:
        fields: dict[str, Any] = {"pilot": Pilot.A, "pwm_on": False, "cable_a": 0, "duty_percent": 0, "current_a": 6}
        block = StatusBlock(**fields | changes).encode()
        self.holding.update(enumerate(block, 24000))
        self.input.update(enumerate(block, 24000))

    def restart(self) -> None:
        self.coils.clear()
        self.holding[LIMIT] = 32
        self.written.clear()


@pytest.fixture
def board():
    return Board()


@pytest.fixture
def driver(board):
    return PhoenixEvCc(board, address=1, surge_contact=True)


async def test_the_board_says_who_it_is(driver):
    identity = await driver.identify()

    assert (identity.model, identity.serial, identity.firmware) == ("EV-CC-AC1-M3", "4711", "V1.05")
    assert identity.hardware_id == "10/3"


async def test_a_board_that_does_not_listen_to_the_bus_is_refused_with_the_setting_to_change(driver, board):
    board.holding[4002] = 0

    with pytest.raises(DeviceRefused, match=r"4002.*holds 0 instead of 3"):
        await driver.identify()

    assert board.written == []


async def test_a_board_is_commissioned_when_the_configuration_allows_it(board):
    board.holding.update({4000: 1, 4001: 2, 4002: 0})

    await PhoenixEvCc(board, address=1, commission=True).identify()

    assert board.written == [(4000, 3), (4002, 3)]


async def test_a_status_tells_what_the_board_holds(driver, board):
    board.coils.update({RELEASE: True, AVAILABLE: True, LOCK: True})
    board.live(pilot=Pilot.C, pwm_on=True, cable_a=32, current_a=16, inputs=Input.EN)

    status = await driver.read_status()

    assert (status.pilot, status.pwm_on, status.offered, status.cable) == (Pilot.C, True, 16_000, 32_000)
    assert (status.locked, status.enabled, status.button_pressed) == (True, True, True)
    assert status.contactor_closed is None
    assert status.faults == frozenset()


async def test_a_board_that_knows_its_state_only_as_input_registers_is_read_by_them(driver, board):
    board.refused.add((3, 24000))
    board.live(pilot=Pilot.B)

    assert (await driver.read_status()).pilot is Pilot.B
    assert (await driver.read_status()).pilot is Pilot.B


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (BoardError.RESIDUAL_CURRENT, FaultCode.GROUND_FAILURE),
        (BoardError.LOCKING_FAILED, FaultCode.CONNECTOR_LOCK_FAILURE),
        (BoardError.CONTACTOR, FaultCode.POWER_SWITCH_FAILURE),
        (BoardError.PILOT_INVALID, FaultCode.EV_COMMUNICATION_ERROR),
    ],
)
async def test_errors_of_the_board_become_faults(driver, board, error, fault):
    board.live(errors=frozenset({error}))

    status = await driver.read_status()

    assert status.faults == {fault}
    assert status.vendor_detail == error.name.lower()


async def test_a_state_of_being_unavailable_is_no_fault(driver, board):
    board.live(pilot=Pilot.F, errors=frozenset({BoardError.NOT_AVAILABLE}))

    assert (await driver.read_status()).faults == frozenset()


async def test_the_contact_of_the_surge_arrester_counts_only_where_it_is_wired(board):
    board.live(inputs=Input.IN)

    wired = await PhoenixEvCc(board, address=1, surge_contact=True).read_status()
    elsewhere = await PhoenixEvCc(board, address=1).read_status()

    assert wired.faults == {FaultCode.OVER_VOLTAGE_PROTECTION_FAILURE}
    assert elsewhere.faults == frozenset()


async def test_the_mirror_contact_tells_of_the_contactor_where_it_is_monitored(driver, board):
    board.holding[4006] = 1
    await driver.identify()

    board.live(inputs=Input.CCR)
    assert (await driver.read_status()).contactor_closed is False
    board.live()
    assert (await driver.read_status()).contactor_closed is True
    assert driver.capabilities.contactor_feedback


async def test_a_lock_that_could_not_open_is_still_locked(driver, board):
    board.live(errors=frozenset({BoardError.UNLOCKING_FAILED}))

    assert (await driver.read_status()).locked is True


async def test_a_lock_that_could_not_close_is_open(driver, board):
    board.coils[LOCK] = True
    board.live(errors=frozenset({BoardError.LOCKING_FAILED}))

    assert (await driver.read_status()).locked is False


@given(st.integers(6_000, 80_000))
def test_a_current_is_rounded_down_to_whole_amperes(limit):
    board = Board()

    asyncio.run(PhoenixEvCc(board, address=1).set_current(limit))

    ((register, written),) = board.written
    assert register == LIMIT
    assert isinstance(written, int)
    assert 6 <= written <= 63
    assert written * 1000 <= limit
    assert written == 63 or limit - written * 1000 < 1000


async def test_a_pause_takes_the_release_back_and_its_end_gives_it_again(driver, board):
    await driver.set_current(16_000)
    await driver.set_enabled(True)
    board.written.clear()

    await driver.set_current(0)
    paused = await driver.read_status()
    await driver.set_current(10_000)

    assert board.written == [(RELEASE, False), (LIMIT, 10), (RELEASE, True)]
    assert paused.enabled


async def test_releasing_in_a_pause_releases_nothing_until_the_pause_ends(driver, board):
    await driver.set_current(0)

    await driver.set_enabled(True)
    assert board.coils[RELEASE] is False
    await driver.set_current(6_000)

    assert board.coils[RELEASE] is True


async def test_the_current_is_written_before_the_release(driver, board):
    await driver.set_current(16_000)
    board.written.clear()

    await driver.set_enabled(True)

    assert board.written == [(LIMIT, 16), (RELEASE, True)]


async def test_a_board_that_restarted_gets_its_commands_again_the_current_first(driver, board):
    await driver.set_available(True)
    await driver.set_current(16_000)
    await driver.lock()
    await driver.set_enabled(True)
    board.restart()

    await driver.read_status()
    assert board.written == [(LIMIT, 16), (AVAILABLE, True), (LOCK, True)]

    # The bolt moves.
    await driver.read_status()
    assert (RELEASE, True) not in board.written
    await asyncio.sleep(BOLT_MOVES_S)
    board.written.clear()
    await driver.read_status()
    assert board.written == [(LIMIT, 16), (RELEASE, True)]
    board.written.clear()
    await driver.read_status()
    assert board.written == []


async def test_a_board_that_restarted_and_cannot_lock_is_not_released(driver, board):
    await driver.set_current(16_000)
    await driver.lock()
    await driver.set_enabled(True)
    board.restart()
    await driver.read_status()
    board.live(errors=frozenset({BoardError.LOCKING_FAILED}))
    await asyncio.sleep(BOLT_MOVES_S)

    await driver.read_status()

    assert board.coils[RELEASE] is False


async def test_a_board_without_a_lock_is_released_again_at_once(driver, board):
    await driver.set_current(16_000)
    await driver.set_enabled(True)
    board.restart()

    await driver.read_status()

    assert board.written == [(LIMIT, 16), (RELEASE, True)]


@pytest.mark.parametrize("locked", [True, False])
async def test_a_bolt_whose_command_was_not_confirmed_is_not_moved_back_by_a_poll(driver, board, locked):
    await (driver.unlock() if locked else driver.lock())
    board.lost_confirmations = 1
    with pytest.raises(DeviceSilent):
        await (driver.lock() if locked else driver.unlock())

    await driver.read_status()

    assert board.coils[LOCK] is locked


async def test_a_board_that_forgot_only_its_limit_gets_it_again_after_two_polls(driver, board):
    await driver.set_current(10_000)
    await driver.set_enabled(True)
    board.written.clear()
    board.live(pilot=Pilot.C, pwm_on=True, cable_a=32, current_a=32)

    await driver.read_status()
    assert board.written == []
    await driver.read_status()

    assert board.written == [(LIMIT, 10)]


async def test_a_driver_that_commanded_nothing_leaves_a_charging_board_alone(driver, board):
    board.coils.update({RELEASE: True, AVAILABLE: True, LOCK: True})
    board.live(pilot=Pilot.C, pwm_on=True, cable_a=32, current_a=32)

    await driver.read_status()
    await driver.read_status()

    assert board.written == []


async def test_a_release_that_was_not_confirmed_is_not_repeated(driver, board):
    await driver.set_enabled(False)
    board.lost_confirmations = 1

    with pytest.raises(DeviceSilent):
        await driver.set_enabled(True)
    await driver.read_status()

    assert board.coils[RELEASE] is False


async def test_an_end_of_the_release_that_failed_is_repeated(driver, board):
    await driver.set_enabled(True)
    board.silent = True
    with pytest.raises(DeviceSilent):
        await driver.set_enabled(False)
    board.silent = False

    await driver.read_status()

    assert board.coils[RELEASE] is False


@pytest.mark.parametrize(
    ("before", "after", "after_s", "notices"),
    [
        ((Pilot.C, 60, 90), (Pilot.C, 61, 91), 0.9, False),
        ((Pilot.C, 60, 90), (Pilot.C, 60, 90), 1.1, True),
        ((Pilot.C, 60, 90), (Pilot.C, 0, 90), 0.1, True),
        ((Pilot.C, 60, 90), (Pilot.C, 60, 0), 0.1, True),
        ((Pilot.A, 60, 90), (Pilot.A, 60, 90), 4.9, False),
        ((Pilot.A, 60, 90), (Pilot.A, 60, 90), 5.1, True),
        ((Pilot.A, 60, 90), (Pilot.B, 60, 90), 0.1, True),
    ],
)
async def test_lost_commands_show_at_once_in_anything_but_time_and_after_a_while_in_nothing(
    monkeypatch, before, after, after_s, notices
):
    fields = ("pilot", "charging_s", "connected_s")
    board = Board()
    driver = PhoenixEvCc(board, address=1)
    await driver.set_available(True)
    now_s = asyncio.get_running_loop().time()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now_s)
    board.live(**dict(zip(fields, before, strict=True)))
    await driver.read_status()
    board.restart()
    board.live(**dict(zip(fields, after, strict=True)))

    now_s += after_s
    await driver.read_status()

    assert board.written == ([(AVAILABLE, True)] if notices else [])


COMMANDS = {
    "release": lambda driver: driver.set_enabled(True),
    "end": lambda driver: driver.set_enabled(False),
    "pause": lambda driver: driver.set_current(0),
    "6 A": lambda driver: driver.set_current(6_000),
    "32 A": lambda driver: driver.set_current(32_000),
    "lock": lambda driver: driver.lock(),
    "unlock": lambda driver: driver.unlock(),
    "poll": lambda driver: driver.read_status(),
}
DISTURBANCES = ["none", "none", "silent", "confirmation lost", "restart"]


async def play(steps) -> tuple[Board, PhoenixEvCc, bool]:
    """Command a disturbed board; also answers whether the last word on the release was a confirmed yes."""
    board = Board()
    driver = PhoenixEvCc(board, address=1)
    released = False
    for command, disturbance in steps:
        board.silent = disturbance == "silent"
        board.lost_confirmations = int(disturbance == "confirmation lost")
        if disturbance == "restart":
            board.restart()
        if command == "end":
            released = False
        try:
            await COMMANDS[command](driver)
        except DeviceSilent:
            continue
        released = released or command == "release"
    board.silent, board.lost_confirmations = False, 0
    return board, driver, released


@given(st.lists(st.tuples(st.sampled_from(list(COMMANDS)), st.sampled_from(DISTURBANCES)), max_size=25))
def test_after_any_disturbance_a_board_that_was_told_off_once_is_on_only_by_a_confirmed_release(steps):
    async def scenario() -> tuple[bool, bool]:
        # The loop starts by taking the release back; from then on the driver knows what was commanded.
        board, driver, released = await play([("end", "none"), *steps])
        await driver.read_status()
        return board.coils[RELEASE], released

    is_on, released = asyncio.run(scenario())

    assert released or not is_on


@given(st.lists(st.tuples(st.sampled_from(list(COMMANDS)), st.sampled_from(DISTURBANCES)), max_size=25))
def test_after_any_disturbance_a_pause_stays_a_pause(steps):
    async def scenario() -> bool:
        board, driver, _ = await play([*steps, ("pause", "silent"), ("poll", "restart"), ("release", "none")])
        await driver.read_status()
        return board.coils[RELEASE]

    assert not asyncio.run(scenario())


async def test_a_withdrawal_during_a_repetition_is_not_undone_by_it(driver, board, monkeypatch):
    await driver.set_current(16_000)
    await driver.set_enabled(True)
    await driver.read_status()
    board.live(pilot=Pilot.C)
    board.restart()
    write_register = board.write_register

    async def withdrawn_meanwhile(*args: Any) -> None:
        await write_register(*args)
        await driver.set_enabled(False)

    monkeypatch.setattr(board, "write_register", withdrawn_meanwhile)
    await driver.read_status()

    assert board.written == [(LIMIT, 16), (RELEASE, False)]
