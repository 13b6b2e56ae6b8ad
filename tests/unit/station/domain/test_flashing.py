"""Writing a firmware comes to its end however often it is interrupted, and never starts one that is not whole."""

from binascii import crc32
from dataclasses import dataclass, field

from hypothesis import assume, given
from hypothesis import strategies as st

from station.domain.flashing import BootState, BootStatus, FirmwareImage, Step, next_step

OLD = b"the firmware before"


@dataclass
class Controller:
    """A controller with a memory, and nothing that takes time."""

    firmware: bytes | None = OLD
    announced: tuple[int, int] | None = None
    data: bytes = b""
    verdict: bool | None = None
    started: list[bytes] = field(default_factory=list)

    def status(self, block_size: int) -> BootStatus:
        if self.firmware is not None:
            return BootStatus(state=BootState.RUNNING, size=len(self.firmware), checksum=crc32(self.firmware))
        if self.announced is None:
            return BootStatus(state=BootState.EMPTY, size=0, checksum=0)
        states = {None: BootState.RECEIVING, True: BootState.VERIFIED, False: BootState.REFUSED}
        size, checksum = self.announced
        stored = -(-len(self.data) // block_size)
        return BootStatus(state=states[self.verdict], size=size, checksum=checksum, stored=stored)

    def obey(self, step: Step, image: FirmwareImage, block: bytes) -> None:
        match step:
            case Step.ENTER:
                self.firmware, self.announced = None, None
            case Step.BEGIN:
                self.announced, self.data, self.verdict = (len(image.data), image.checksum), b"", None
            case Step.WRITE:
                self.data += block
            case Step.VERIFY:
                self.verdict = (len(self.data), crc32(self.data)) == self.announced
            case Step.ACTIVATE:
                assert self.verdict
                self.firmware = self.data
                self.started.append(self.data)
            case _:
                pass

    def lose_power(self) -> None:
        self.announced, self.data, self.verdict = None, b"", None


@given(
    data=st.binary(min_size=1, max_size=400),
    block_size=st.integers(1, 64),
    accidents=st.lists(st.sampled_from(["", "heard", "lost", "power", "damaged", "other"]), max_size=60),
)
def test_whatever_happens_the_controller_runs_the_whole_image_in_the_end(
    data: bytes, block_size: int, accidents: list[str]
) -> None:
    """heard: the order arrives and the answer does not; lost: the order does not; other: somebody else's transfer."""
    assume(data != OLD)
    image = FirmwareImage(version="V2", data=data, block_size=block_size)
    controller, is_begun = Controller(), False
    for number in range(len(accidents) * (image.blocks + 6) + image.blocks + 6):
        accident = accidents[number] if number < len(accidents) else ""
        status = controller.status(block_size)
        step = next_step(image, status, is_begun=is_begun)
        if step is Step.DONE:
            break
        is_begun = True
        if accident == "power":
            controller.lose_power()
        elif accident == "other" and controller.firmware is None:
            controller.announced, controller.data, controller.verdict = (3, crc32(b"abc")), b"abc", True
        elif accident != "lost":
            block = image.block(status.stored)
            controller.obey(step, image, bytes(len(block)) if accident == "damaged" else block)
    assert controller.firmware == data
    assert controller.started == [data]


def test_a_controller_with_the_same_firmware_is_written_all_the_same() -> None:
    image = FirmwareImage(version="V1", data=OLD, block_size=8)
    status = Controller().status(8)

    assert next_step(image, status, is_begun=False) is Step.ENTER
    assert next_step(image, status, is_begun=True) is Step.DONE


def test_what_is_being_stored_is_waited_for() -> None:
    image = FirmwareImage(version="V1", data=OLD, block_size=8)
    busy = BootStatus(state=BootState.BUSY, size=len(OLD), checksum=image.checksum, stored=1)

    assert next_step(image, busy, is_begun=True) is Step.WAIT


def test_the_blocks_are_the_image() -> None:
    image = FirmwareImage(version="V1", data=OLD, block_size=8)

    assert b"".join(image.block(number) for number in range(image.blocks)) == OLD
