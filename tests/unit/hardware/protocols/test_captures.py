"""Frames of boards and readers, request and answer, as `tests/captures` has them."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from pymodbus.framer import FramerRTU

from hardware.protocols.amtron import ALIVE, Limits, Register, Switches, decode_float, decode_pilot
from hardware.protocols.pn532 import (
    ONE_TRY,
    ONE_TYPE_A_CARD,
    SAM_NORMAL,
    Command,
    FoundCard,
    decode_answer,
    decode_firmware,
    encode_command,
    end_of_answer,
)
from hardware.protocols.stx_etx import Dialect
from station.domain.ports import Pilot

CAPTURES = Path(__file__).parents[3] / "captures"
_CRC = 2


def captured(name: str) -> list[tuple[str, bytes, str]]:
    """Return the comment above each pair, what was sent, and what came."""
    pairs, comment = [], ""
    for line in (CAPTURES / f"{name}.hex").read_text().splitlines():
        if line.startswith("#"):
            comment = line.removeprefix("# ")
        elif line:
            sent, came = line.split(" > ")
            pairs.append((comment, bytes.fromhex(sent), came))
    return pairs


def registers_of(name: str) -> dict[int, Sequence[int]]:
    """Return the registers of each answer to a reading, by the first one."""
    found: dict[int, Sequence[int]] = {}
    for _, sent, came in captured(name):
        if sent[1] == 3:
            data = bytes.fromhex(came)[3:-_CRC]
            registers = [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
            found[int.from_bytes(sent[2:4], "big")] = registers
    return found


@pytest.mark.parametrize("pair", captured("amtron"), ids=lambda pair: pair[0])
def test_every_frame_of_the_amtron_has_its_checksum(pair: tuple[str, bytes, str]) -> None:
    for frame in (pair[1], bytes.fromhex(pair[2])):
        assert FramerRTU.compute_CRC(frame[:-_CRC]).to_bytes(_CRC, "big") == frame[-_CRC:]


def test_the_answers_of_the_amtron_are_read() -> None:
    answers = registers_of("amtron")

    assert decode_pilot(answers[Register.CONTROL_PILOT][0]) == (Pilot.C, True)
    limits = Limits.decode(answers[Register.DOWNGRADE_LIMIT])
    assert (limits.downgrade_a, limits.limit_a, limits.installation_a, limits.device_a) == (6, 16, 32, 32)
    switches = Switches.decode(answers[Register.CABLE])
    assert (switches.cable.name, switches.released, switches.locked_station) == ("LOCKED", True, False)


def test_what_is_written_to_the_amtron_is_the_heartbeat_and_a_float_with_its_low_word_first() -> None:
    beat, limit = (sent for _, sent, _ in captured("amtron") if sent[1] != 3)

    assert int.from_bytes(beat[4:6], "big") == ALIVE
    written = [int.from_bytes(limit[at : at + 2], "big") for at in (7, 9)]
    assert decode_float(written) == pytest.approx(13.2)


COMMANDS = {
    "SAMConfiguration": (Command.SAM_CONFIGURATION, SAM_NORMAL),
    "GetFirmwareVersion": (Command.GET_FIRMWARE_VERSION, b""),
    "RFConfiguration": (Command.RF_CONFIGURATION, ONE_TRY),
    "InListPassiveTarget": (Command.IN_LIST_PASSIVE_TARGET, ONE_TYPE_A_CARD),
}


@pytest.mark.parametrize("pair", captured("pn532"), ids=lambda pair: pair[0])
def test_commands_to_the_pn532_are_written_and_its_answers_read(pair: tuple[str, bytes, str]) -> None:
    comment, sent, came = pair
    name, _, meaning = comment.partition(": ")
    command, parameters = COMMANDS[name]
    answer = bytes.fromhex(came)

    assert encode_command(command, parameters) == sent
    assert end_of_answer(answer) == len(answer)
    data = decode_answer(answer, command)
    if command is Command.GET_FIRMWARE_VERSION:
        assert meaning == f"a PN532, {decode_firmware(data)}."
    elif command is Command.IN_LIST_PASSIVE_TARGET:
        card = FoundCard.decode(data)
        assert meaning == ("no card." if card is None else card.uid.hex())


@pytest.mark.parametrize("pair", captured("stx_etx"), ids=lambda pair: pair[0])
def test_what_readers_send_by_themselves_is_cut_and_read(pair: tuple[str, bytes, str]) -> None:
    _, sent, uid = pair

    before, body, rest = Dialect().cut(b"\x00" + sent + sent[:3])

    assert (before, rest) == (b"\x00", sent[:3])
    assert body is not None
    assert Dialect().decode(body).hex() == uid
