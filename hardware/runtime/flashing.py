"""Writing the firmware of controllers: one step at a time, in the place of the poll of that controller."""

import logging
from collections.abc import Mapping
from dataclasses import replace

from hardware.runtime.point import ChargingPoint
from hardware.runtime.records import RecordStore
from hardware.runtime.session_end import NO_CURRENT
from station import clock
from station.domain.flashing import TRANSFERS, BootStatus, FlashOrder, Stage, Step, next_step, stage_of
from station.domain.ports import DeviceFailed, FirmwareWriter
from station.services import flashing

logger = logging.getLogger(__name__)


class Flasher:
    """Carries out the orders to write the firmware of controllers.

    An order is written down before it is confirmed, so that whoever comes after a crash goes on with it. What the
    transfer has come to, the controller itself tells.
    """

    def __init__(self, writers: Mapping[int, FirmwareWriter], records: RecordStore) -> None:
        self._writers = writers
        self._records = records

    def is_able(self, number: int) -> bool:
        """Return whether the firmware of this point's controller can be written."""
        return number in self._writers

    async def load(self, point: ChargingPoint) -> None:
        """Take over the order that a crash or a restart has interrupted."""
        before = await self._records.execute(flashing.pending, point.number)
        if before is None:
            return
        if self.is_able(point.number):
            point.set_flash_order(FlashOrder(before=before))
        else:
            # Another controller than the one it was ordered for.
            await self._records.execute(flashing.end_failed, point.number, at=clock.now())

    async def order(self, point: ChargingPoint) -> None:
        """Take an order; one that is under way is the same. Raises DatabaseError where it cannot be written down."""
        if point.flash_order is None:
            point.set_flash_order(FlashOrder())
            try:
                await self._records.execute(flashing.order, point.number, at=clock.now())
            except BaseException:
                point.set_flash_order(None)
                raise

    def is_due(self, point: ChargingPoint) -> bool:
        """Return whether the next turn belongs to the firmware: before it is begun, a session goes first."""
        order = point.flash_order
        return order is not None and (order.is_begun or (point.in_control and not point.busy))

    async def step(self, point: ChargingPoint) -> None:
        """Do the next step; raises DeviceFailed where the controller does not do what it is told."""
        order, writer = point.flash_order, self._writers[point.number]
        if order is None:
            return
        try:
            status = await writer.boot_status()
            step = next_step(writer.image, status, is_begun=order.is_begun)
            point.set_flash_order(_seen(order, step, status, blocks=writer.image.blocks))
            await self._do(point, writer, step, status)
            point.poll_faster()
        except DeviceFailed:
            if point.flash_order is not None:
                point.set_flash_order(replace(point.flash_order, stage=Stage.NO_ANSWER))
            raise

    async def _do(self, point: ChargingPoint, writer: FirmwareWriter, step: Step, status: BootStatus) -> None:
        match step:
            case Step.ENTER:
                if await self._energy_is_off(point) and await self._is_noted(point):
                    await writer.enter_bootloader()
            case Step.BEGIN:
                await self._begin(point, writer)
            case Step.WRITE:
                await writer.write_block(status.stored)
            case Step.VERIFY:
                await writer.verify_transfer()
            case Step.ACTIVATE:
                await writer.activate()
            case Step.DONE:
                await self._end(point)
            case Step.WAIT:
                pass

    async def _energy_is_off(self, point: ChargingPoint) -> bool:
        if not await point.actuator.disable():
            return False
        status = await point.read_controller()
        return not status.enabled and not status.contactor_closed and point.flowing <= NO_CURRENT

    async def _is_noted(self, point: ChargingPoint) -> bool:
        """Write down that it begins now, so that after a crash nobody takes a stopped firmware for a dead board."""
        order = point.flash_order
        if order is None or order.is_begun:
            return order is not None
        # A session may have begun while the board was asked.
        if point.busy:
            return False
        before = (await point.controller.identify()).firmware
        noted = await self._records.attempt(flashing.note_begun, point.number, before=before)
        if noted and not point.busy:
            point.set_flash_order(replace(order, before=before))
            return True
        return False

    async def _begin(self, point: ChargingPoint, writer: FirmwareWriter) -> None:
        order = point.flash_order
        if order is None:
            return
        if order.transfers >= TRANSFERS:
            logger.error("controller %d refuses the whole firmware %d times", point.number, order.transfers)
            if await self._records.attempt(flashing.end_failed, point.number, at=clock.now()):
                point.set_flash_order(None)
            return
        await writer.begin_transfer()
        point.set_flash_order(replace(order, transfers=order.transfers + 1))

    async def _end(self, point: ChargingPoint) -> None:
        order, identity = point.flash_order, await point.controller.identify()
        if order is None:
            return
        ended = await self._records.attempt(
            flashing.end, point.number, before=order.before, after=identity.firmware, at=clock.now()
        )
        if ended:
            point.controller_identified(identity)
            point.set_flash_order(None)


def _seen(order: FlashOrder, step: Step, status: BootStatus, *, blocks: int) -> FlashOrder:
    if not order.is_begun:
        return replace(order, stage=Stage.WAITING)
    if step is Step.WAIT:
        return replace(order, percent=100 * status.stored // blocks)
    percent = {Step.ENTER: 0, Step.BEGIN: 0, Step.WRITE: 100 * status.stored // blocks}.get(step, 100)
    return replace(order, stage=stage_of(step), percent=percent)
