"""The devices of a simulated station, which fall silent, slow or noisy when they shall."""

from collections.abc import Callable

from station.domain.ports import DeviceGarbled, Tag
from tests.fakes import FakeController, FakeMeter, FakeReader, Hall, Outlet


class TroubledController(FakeController):
    noisy = False

    async def _answer(self) -> None:
        await super()._answer()
        if self.noisy:
            raise DeviceGarbled("checksum")


class TroubledMeter(FakeMeter):
    noisy = False

    async def _answer(self) -> None:
        await super()._answer()
        if self.noisy:
            raise DeviceGarbled("checksum")


class TroubledReader(FakeReader):
    noisy = False

    async def poll(self) -> list[Tag]:
        found = list(await super().poll())
        if self.noisy:
            raise DeviceGarbled("no hexadecimal text")
        return found


def build(points: int, contactor_moves: Callable[[Outlet], None]) -> Hall:
    """Build all the hardware of a station."""
    hall = Hall.build(points, contactor_moves)
    for number, outlet in hall.outlets.items():
        hall.controllers[number] = TroubledController(outlet)
        hall.meters[number] = TroubledMeter(outlet)
    hall.reader = TroubledReader()
    return hall
