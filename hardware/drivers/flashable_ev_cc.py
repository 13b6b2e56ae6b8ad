"""Driver of the simulated controller whose firmware can be written: the Phoenix board with our bootloader dialect."""

from functools import cache
from pathlib import Path

from hardware.drivers.phoenix_ev_cc import PATIENCE, PhoenixEvCc
from hardware.links.serial_bus import SerialBus
from hardware.protocols.bootloader import (
    BLOCK_BYTES,
    BLOCK_START,
    ORDER_START,
    STATUS_COUNT,
    STATUS_START,
    Block,
    ImageHead,
    Order,
    decode_status,
    encode_order,
)
from station.domain.flashing import BootStatus, FirmwareImage

SHIPPED = Path(__file__).parent / "firmware" / "flashable_ev_cc.bin"


@cache
def shipped_image() -> FirmwareImage:
    """Read the firmware that comes with this software."""
    data = SHIPPED.read_bytes()
    return FirmwareImage(version=ImageHead.decode(data).version, data=data, block_size=BLOCK_BYTES)


class FlashableEvCc(PhoenixEvCc):
    """An EvseController that is a FirmwareWriter, too.

    While the bootloader runs the board refuses everything else, and its contactor is open.
    """

    def __init__(self, bus: SerialBus, *, address: int, commission: bool = False, surge_contact: bool = False) -> None:
        super().__init__(bus, address=address, commission=commission, surge_contact=surge_contact)
        self.image = shipped_image()

    async def boot_status(self) -> BootStatus:
        return decode_status(await self._bus.read_holding(self._address, STATUS_START, STATUS_COUNT, PATIENCE))

    async def enter_bootloader(self) -> None:
        await self._order(Order.ENTER)

    async def begin_transfer(self) -> None:
        await self._order(Order.BEGIN)

    async def write_block(self, number: int) -> None:
        registers = Block(number=number, data=self.image.block(number)).encode()
        await self._bus.write_registers(self._address, BLOCK_START, registers, PATIENCE)

    async def verify_transfer(self) -> None:
        await self._order(Order.VERIFY)

    async def activate(self) -> None:
        await self._order(Order.ACTIVATE)
        # The board begins anew, its coils with it.
        self._coils = None

    async def _order(self, order: Order) -> None:
        size, checksum = (len(self.image.data), self.image.checksum) if order is Order.BEGIN else (0, 0)
        registers = encode_order(order, size=size, checksum=checksum)
        await self._bus.write_registers(self._address, ORDER_START, registers, PATIENCE)
