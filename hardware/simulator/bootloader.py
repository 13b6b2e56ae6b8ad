"""The simulated controller whose firmware can be written: its flash memory, and its registers while it is written.

What is stored stays over a restart of the simulator, as in a real board; a transfer that was under way does not.
"""

import json
import logging
from binascii import crc32
from collections.abc import Callable, Sequence
from pathlib import Path

from hardware.protocols.bootloader import (
    BLOCK_BYTES,
    BLOCK_COUNT,
    BLOCK_START,
    BUSY_EXCEPTION,
    ORDER_COUNT,
    ORDER_START,
    STATUS_COUNT,
    STATUS_START,
    Block,
    BlockDamaged,
    ImageHead,
    ImageUnreadable,
    Order,
    encode_status,
)
from hardware.simulator.controller import FIRST_FIRMWARE
from hardware.simulator.files import replace_text
from hardware.simulator.rtu import (
    Function,
    IllegalAddress,
    IllegalFunction,
    IllegalValue,
    ModbusRequestRefused,
    RegisterMap,
)
from station.domain.flashing import BootState, BootStatus

logger = logging.getLogger(__name__)

# The flash memory of a small microcontroller takes a page in this time.
STORING_S = 0.03


class DeviceBusy(ModbusRequestRefused):
    """What was sent last is still being stored."""

    code = BUSY_EXCEPTION


class FlashMemory:
    """The firmware of one board. `has_firmware` is false from the first erased page to the activation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.head, self.has_firmware = FIRST_FIRMWARE, True
        self.size, self.checksum = 0, 0
        self.data = bytearray()
        self.is_announced = False
        self.is_sound: bool | None = None
        self._busy_until_s = 0.0
        self._load()

    def status(self, *, now_s: float) -> BootStatus:
        """Return what the bootloader says."""
        return BootStatus(
            state=self._state(now_s),
            size=self.size,
            checksum=self.checksum,
            stored=-(-len(self.data) // BLOCK_BYTES),
        )

    def is_busy(self, *, now_s: float) -> bool:
        """Return whether the last page is still being stored."""
        return now_s < self._busy_until_s

    def _state(self, now_s: float) -> BootState:
        if self.has_firmware:
            return BootState.RUNNING
        if self.is_busy(now_s=now_s):
            return BootState.BUSY
        if not self.is_announced:
            return BootState.EMPTY
        if self.is_sound is None:
            return BootState.RECEIVING
        return BootState.VERIFIED if self.is_sound else BootState.REFUSED

    def erase(self) -> None:
        """Give up the firmware."""
        self.has_firmware, self.is_announced = False, False
        self.size = self.checksum = 0
        self._keep()

    def begin(self, *, size: int, checksum: int) -> None:
        """Expect an image."""
        self.size, self.checksum, self.is_announced, self.is_sound = size, checksum, True, None
        self.data.clear()

    def store(self, block: Block, *, now_s: float) -> None:
        """Store the next block; raises IllegalValue for any other."""
        stored = len(self.data)
        if self._state(now_s) is not BootState.RECEIVING or block.number * BLOCK_BYTES != stored or stored >= self.size:
            raise IllegalValue
        self.data += block.data[: self.size - stored]
        self._busy_until_s = now_s + STORING_S

    def verify(self) -> None:
        """Check the whole."""
        self.is_sound = len(self.data) == self.size and crc32(self.data) == self.checksum and self._is_ours()

    def activate(self) -> None:
        """Make what was stored the firmware; raises IllegalValue unless it was found sound."""
        if not self.is_announced or not self.is_sound:
            raise IllegalValue
        self.head, self.has_firmware = ImageHead.decode(bytes(self.data)), True
        self._keep()

    def _is_ours(self) -> bool:
        try:
            ImageHead.decode(bytes(self.data))
        except ImageUnreadable:
            return False
        return True

    def _load(self) -> None:
        try:
            stored = json.loads(self._path.read_text(encoding="utf-8"))
            self.head = ImageHead(letter=stored["letter"], major=stored["major"], minor=stored["minor"])
            self.has_firmware = bool(stored["has_firmware"])
            self.size, self.checksum = int(stored["size"]), int(stored["checksum"])
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError):
            logger.warning("%s cannot be read; the board has its first firmware", self._path)

    def _keep(self) -> None:
        content = {**vars(self.head), "has_firmware": self.has_firmware, "size": self.size, "checksum": self.checksum}
        try:
            replace_text(self._path, json.dumps(content))
        except OSError as error:
            logger.warning("the board forgets its firmware at the next start: %s", error)


class FlashableRegisters:
    """The registers of the board with those of the bootloader before them.

    `is_released`: whether energy was not withdrawn, without which the firmware cannot be stopped.
    """

    def __init__(
        self,
        application: RegisterMap,
        memory: FlashMemory,
        *,
        clock: Callable[[], float],
        is_released: Callable[[], bool],
        restart: Callable[[], None],
    ) -> None:
        self._application = application
        self._memory = memory
        self._clock = clock
        self._is_released = is_released
        self._restart = restart

    def read_bits(self, function: Function, start: int, count: int, /) -> Sequence[bool]:
        """Read coils, which only the firmware has."""
        self._check_firmware()
        return self._application.read_bits(function, start, count)

    def read_registers(self, function: Function, start: int, count: int, /) -> Sequence[int]:
        """Read the status of the bootloader, or what the firmware has."""
        if (start, count) == (STATUS_START, STATUS_COUNT):
            return encode_status(self._memory.status(now_s=self._clock()))
        self._check_firmware()
        return self._application.read_registers(function, start, count)

    def write_bits(self, start: int, values: Sequence[bool], /) -> None:
        """Write coils, which only the firmware has."""
        self._check_firmware()
        self._application.write_bits(start, values)

    def write_registers(self, start: int, values: Sequence[int], /) -> None:
        """Take an order or a block, or what the firmware takes."""
        if (start, len(values)) == (ORDER_START, ORDER_COUNT):
            self._obey(values)
        elif (start, len(values)) == (BLOCK_START, BLOCK_COUNT):
            self._store(values)
        else:
            self._check_firmware()
            self._application.write_registers(start, values)

    def _check_firmware(self) -> None:
        if not self._memory.has_firmware:
            raise IllegalFunction

    def _obey(self, values: Sequence[int]) -> None:
        number, size_high, size_low, high, low = values
        if number == Order.ENTER:
            if self._is_released():
                raise IllegalValue
            self._memory.erase()
            self._restart()
            return
        if self._memory.has_firmware:
            raise IllegalAddress
        if self._memory.is_busy(now_s=self._clock()):
            raise DeviceBusy
        match number:
            case Order.BEGIN:
                self._memory.begin(size=size_high << 16 | size_low, checksum=high << 16 | low)
            case Order.VERIFY:
                self._memory.verify()
            case Order.ACTIVATE:
                self._memory.activate()
                self._restart()
            case _:
                raise IllegalValue

    def _store(self, values: Sequence[int]) -> None:
        now_s = self._clock()
        if self._memory.has_firmware:
            raise IllegalAddress
        if self._memory.is_busy(now_s=now_s):
            raise DeviceBusy
        try:
            self._memory.store(Block.decode(values), now_s=now_s)
        except BlockDamaged as damage:
            raise IllegalValue from damage
