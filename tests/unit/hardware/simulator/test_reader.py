from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.protocols.twn4 import Beep, FoundTag, Function, Led, Reply, TagType, leds, search_tag
from hardware.runtime.pollers import TAP_GAP_S
from hardware.simulator.field import TagUnusable
from hardware.simulator.lamp import Lamp
from hardware.simulator.reader import Twn4Reader
from hardware.simulator.world import ConnectorUnknown, World
from station.domain.ports import LampColour


@pytest.fixture
def world() -> World:
    return World.build(connectors=2, now_s=10.0)


@pytest.fixture
def reader(world: World) -> Twn4Reader:
    return Twn4Reader(world=world)


def search(reader: Twn4Reader, *, now_s: float, most: int = 20) -> str | None:
    reply = Reply.decode(reader.receive(search_tag(most).encode(), now_s=now_s))
    found = FoundTag.decode(reply.result)
    assert found is None or found.type == TagType.TEXT
    return None if found is None else found.id.decode("ascii")


def test_an_empty_field_answers_as_in_the_vendors_example(reader: Twn4Reader) -> None:
    assert reader.receive(b"050010\r", now_s=10.0) == b"0000\r"


def test_a_swiped_card_lies_in_the_field_for_a_moment(reader: Twn4Reader, world: World) -> None:
    world.swipe("04A2b3C4", connector=2)

    assert search(reader, now_s=10.05) == "04A2b3C4"
    assert search(reader, now_s=10.25) == "04A2b3C4"
    assert search(reader, now_s=10.35) is None


def test_a_card_swiped_as_legic_tells_the_bytes_of_its_number(reader: Twn4Reader, world: World) -> None:
    world.swipe("e0a1b2c3d4e5f607", connector=None, is_legic=True)

    reply = Reply.decode(reader.receive(search_tag(20).encode(), now_s=10.05))

    found = FoundTag.decode(reply.result)
    assert found == FoundTag(type=TagType.LEGIC, bits=64, id=bytes.fromhex("e0a1b2c3d4e5f607"))


@pytest.mark.parametrize("uid", ["card", "a1b2c3", "a1b2c3d4e5"])
def test_what_is_no_number_of_a_legic_card_is_refused(world: World, uid: str) -> None:
    with pytest.raises(TagUnusable, match="LEGIC"):
        world.swipe(uid, connector=None, is_legic=True)


def test_a_slow_reader_still_sees_the_card_once(reader: Twn4Reader, world: World) -> None:
    world.swipe("A", connector=None)

    assert search(reader, now_s=11.5) == "A"
    assert search(reader, now_s=11.6) is None


def test_a_card_nobody_looked_for_is_gone_after_two_seconds(reader: Twn4Reader, world: World) -> None:
    world.swipe("A", connector=None)
    world.advance(now_s=12.5)

    assert search(reader, now_s=12.5) is None


def test_cards_swiped_together_are_seen_one_after_the_other_with_an_empty_field_between(
    reader: Twn4Reader, world: World
) -> None:
    for uid in ("A", "B", "B"):
        world.swipe(uid, connector=None)

    seen = [search(reader, now_s=10.0 + index / 10) for index in range(20)]

    changes = [uid for index, uid in enumerate(seen) if index == 0 or uid != seen[index - 1]]
    assert changes == ["A", None, "B", None, "B", None]


def test_a_card_that_comes_back_after_another_one_is_a_tap_of_its_own(reader: Twn4Reader, world: World) -> None:
    for uid in ("A", "B", "A"):
        world.swipe(uid, connector=None)

    polls = [(10.0 + index / 10, search(reader, now_s=10.0 + index / 10)) for index in range(30)]

    appearances = [now_s for (_, before), (now_s, uid) in pairwise([(0.0, None), *polls]) if uid == "A" != before]
    absences = [now_s for now_s, uid in polls if uid != "A" and appearances[0] < now_s < appearances[-1]]
    assert len(appearances) == 2
    assert absences[-1] - absences[0] >= TAP_GAP_S


@given(uid=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20))
def test_any_text_of_up_to_twenty_characters_is_handed_on_unchanged(uid: str) -> None:
    world = World.build(connectors=1, now_s=10.0)
    world.swipe(uid, connector=None)

    assert search(Twn4Reader(world=world), now_s=10.1) == uid


@pytest.mark.parametrize("uid", ["", "x" * 21, "Käse", "a\nb"])
def test_what_no_tag_can_hold_is_refused(world: World, uid: str) -> None:
    with pytest.raises(TagUnusable):
        world.swipe(uid, connector=None)


def test_a_swipe_at_a_connector_that_is_not_there_is_refused(world: World) -> None:
    with pytest.raises(ConnectorUnknown):
        world.swipe("A", connector=3)


def test_lights_and_beeps_are_remembered(reader: Twn4Reader, world: World) -> None:
    beep = Beep(volume_percent=80, frequency_hz=2600, on_ms=150, off_ms=0)
    commands = [leds(Function.GPIO_SET, Led.RED | Led.GREEN), leds(Function.GPIO_TOGGLE, Led.RED), beep.encode()]

    assert [reader.receive(command.encode(), now_s=10.0) for command in commands] == [b"00\r"] * 3
    assert (world.reader.leds, world.reader.beeps) == (Led.GREEN, 1)


@pytest.mark.parametrize(
    ("line", "status"), [(b"FFFF\r", 1), (b"xyz\r", 1), (b"\r", 1), (b"0500\r", 2), (b"0407\r", 2)]
)
def test_what_the_reader_does_not_understand_gets_a_status(reader: Twn4Reader, line: bytes, status: int) -> None:
    assert reader.receive(line, now_s=10.0) == f"{status:02X}\r".encode()


def test_a_command_in_pieces_is_put_together_and_noise_does_not_pile_up(reader: Twn4Reader) -> None:
    assert reader.receive(b"0500", now_s=10.0) == b""
    assert reader.receive(b"10\r", now_s=10.1) == b"0000\r"
    reader.receive(b"\xff" * 10_000, now_s=10.2)
    assert reader.receive(b"050010\r", now_s=10.3) == b"0000\r"


def test_a_lamp_counts_blinks_between_pauses_and_forgets_them_when_steady() -> None:
    lamp = Lamp()
    now_s = 0.0
    for _ in range(2):
        for _ in range(4):
            lamp.switch(2, on=True, now_s=now_s)
            lamp.switch(2, on=False, now_s=now_s + 0.3)
            now_s += 0.6
        now_s += 2.0
    lamp.switch(2, on=True, now_s=now_s)

    assert (lamp.colour, lamp.blinks(now_s=now_s)) == (LampColour.RED, 4)
    assert lamp.blinks(now_s=now_s + 10) == 0
