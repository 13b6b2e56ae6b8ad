"""The simulated AMTRON has the protection of the real one, and no more."""

import pytest

from hardware.protocols.amtron import ALIVE, HEARTBEAT_TIMEOUT_S, Register, encode_float
from hardware.simulator.amtron import AmtronBoard, AmtronRegisters
from hardware.simulator.point import ChargingPoint
from hardware.simulator.rtu import Function, IllegalAddress, IllegalValue
from hardware.simulator.vehicle import Vehicle


class Bench:
    def __init__(self, fallback: int) -> None:
        self.point = ChargingPoint(number=1, now_s=100.0)
        self.point.board = self.board = AmtronBoard(fallback=fallback)
        self.registers = AmtronRegisters(point=self.point, board=self.board, serial_number="1")
        self.point.plug(Vehicle(), cable_a=32)

    def live(self, seconds: float, *, beats: bool) -> None:
        for _ in range(int(2 * seconds)):
            if beats:
                self.registers.write_registers(Register.HEARTBEAT, [ALIVE])
            self.point.advance(now_s=self.point.now_s + 0.5, factor=1.0)


@pytest.mark.parametrize(("fallback", "goes_on_with_a"), [(0, 16.0), (1, 0.0), (8, 8.0)])
def test_without_a_heartbeat_the_fallback_holds_and_nothing_else(fallback: int, goes_on_with_a: float) -> None:
    bench = Bench(fallback)
    bench.registers.write_registers(Register.HEARTBEAT, [ALIVE])
    bench.registers.write_registers(Register.LIMIT, encode_float(16.0))
    bench.registers.write_registers(Register.RELEASE, [1])
    bench.live(60.0, beats=True)
    assert bench.point.offered_a == 16.0
    assert bench.point.contactor_closed

    bench.live(HEARTBEAT_TIMEOUT_S - 0.5, beats=False)
    assert bench.point.offered_a == 16.0, "ten seconds are given"
    bench.live(1.0, beats=False)

    assert bench.point.offered_a == goes_on_with_a
    assert bench.point.contactor_closed == (goes_on_with_a > 0)
    assert list(bench.registers.read_registers(Function.READ_HOLDING_REGISTERS, Register.FALLBACK_ACTIVE, 1)) == [1]
    bench.live(1.0, beats=True)
    assert bench.point.offered_a == 16.0


def test_charging_needs_heartbeat_release_and_limit() -> None:
    wanted = {
        Register.HEARTBEAT: [ALIVE],
        Register.LIMIT: encode_float(6.0),
        Register.RELEASE: [1],
    }
    for missing in wanted:
        bench = Bench(fallback=1)
        for register, values in wanted.items():
            if register is not missing:
                bench.registers.write_registers(register, values)
        bench.point.advance(now_s=101.0, factor=1.0)

        assert not bench.point.contactor_closed, missing.name


def test_what_the_document_does_not_know_is_refused() -> None:
    bench = Bench(fallback=1)

    for register, values in ((Register.LIMIT, encode_float(5.9)), (Register.HEARTBEAT, [1]), (Register.RELEASE, [2])):
        with pytest.raises(IllegalValue):
            bench.registers.write_registers(register, values)
    for address in (0x0104, 0x0D01, 0x2000):
        with pytest.raises(IllegalAddress):
            bench.registers.read_registers(Function.READ_HOLDING_REGISTERS, address, 1)
