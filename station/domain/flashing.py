"""Writing the firmware of a controller anew: what is to be done next, by what the controller says it has.

The controller is the memory of the transfer. Whoever was interrupted asks it and goes on, or begins again where it has
forgotten what it had; nothing has to be remembered on this side but that somebody wants it, and whether it was begun.
"""

from binascii import crc32
from dataclasses import dataclass
from enum import StrEnum

# A controller that does not find the image sound after so many whole transfers will not find it sound by another one.
TRANSFERS = 3


@dataclass(frozen=True, kw_only=True)
class FirmwareImage:
    """A firmware as it is written. `block_size`: bytes that go over the line at once; the last block may be shorter."""

    version: str
    data: bytes
    block_size: int

    @property
    def checksum(self) -> int:
        """Return the CRC-32 of the whole."""
        return crc32(self.data)

    @property
    def blocks(self) -> int:
        """Return into how many blocks it is cut."""
        return -(-len(self.data) // self.block_size)

    def block(self, index: int) -> bytes:
        """Return one block."""
        return self.data[index * self.block_size : (index + 1) * self.block_size]


class BootState(StrEnum):
    """What a controller does with its firmware."""

    RUNNING = "running"  # the firmware is complete and runs
    EMPTY = "empty"  # the bootloader runs, and there is nothing else
    RECEIVING = "receiving"  # blocks are taken
    BUSY = "busy"  # what was sent last is being stored or checked
    VERIFIED = "verified"  # the whole is there and sound
    REFUSED = "refused"  # the whole is there and not sound


@dataclass(frozen=True, kw_only=True)
class BootStatus:
    """What a controller says. `size` and `checksum` are those of the image it has or receives, `stored` its blocks."""

    state: BootState
    size: int
    checksum: int
    stored: int = 0

    def is_about(self, image: FirmwareImage) -> bool:
        """Return whether the controller has, or receives, this image."""
        return (self.size, self.checksum) == (len(image.data), image.checksum)


class Step(StrEnum):
    """What is to be done next."""

    ENTER = "enter"  # stop the firmware, start the bootloader
    BEGIN = "begin"  # announce the image; what the controller had of one is gone
    WRITE = "write"  # send the block after those that are stored
    WAIT = "wait"
    VERIFY = "verify"
    ACTIVATE = "activate"  # start the new firmware
    DONE = "done"


def next_step(image: FirmwareImage, status: BootStatus, *, is_begun: bool) -> Step:
    """Return what brings the controller nearer to running this image.

    `is_begun`: its firmware was already stopped for this. Before that, one that runs the same image is written, too.
    """
    state, same = status.state, status.is_about(image)
    if state is BootState.RUNNING:
        return Step.DONE if is_begun and same else Step.ENTER
    if state is BootState.BUSY:
        return Step.WAIT
    if not same or state in {BootState.EMPTY, BootState.REFUSED}:
        return Step.BEGIN
    if state is BootState.VERIFIED:
        return Step.ACTIVATE
    return Step.WRITE if status.stored < image.blocks else Step.VERIFY


class Stage(StrEnum):
    """How far it is, as people are told; `station.ui.words` has a word for each."""

    WAITING = "waiting"
    WRITING = "writing"
    CHECKING = "checking"
    STARTING = "starting"
    NO_ANSWER = "no_answer"


_STAGES = {Step.VERIFY: Stage.CHECKING, Step.ACTIVATE: Stage.STARTING, Step.DONE: Stage.STARTING}


def stage_of(step: Step) -> Stage:
    """Return what people are told while this step is done."""
    return _STAGES.get(step, Stage.WRITING)


@dataclass(frozen=True, kw_only=True)
class FlashOrder:
    """The order to write the firmware of one controller. `before`: the version it had, empty until that was begun."""

    before: str = ""
    stage: Stage = Stage.WAITING
    percent: int = 0
    transfers: int = 0

    @property
    def is_begun(self) -> bool:
        """Return whether the firmware of the controller was stopped, or may have been."""
        return bool(self.before)
