"""x"""
from tests.process.conformance.bench import Bench, section

@section("S 5.11")
def test_a_car_charges(bench: Bench) -> None:
    bench.charge()
    bench.unplug()
    bench.wait_for("StopTransaction", reason="EVDisconnected")

@section("S 5.11")
def test_a_car_charges2(bench: Bench) -> None:
    bench.charge()
    bench.unplug()
    bench.wait_for("StopTransaction", reason="EVDisconnected")
