"""A driver behind its guard is still what it was: also what it can do beyond its port is seen."""

import inspect

import pytest

from hardware.drivers.registry import CONTROLLERS, METERS, Buses
from hardware.runtime.driver_guard import guarded
from station.domain.ports import Devices, FirmwareWriter, HeartbeatWanted, SigningMeter


@pytest.fixture
def devices() -> Devices:
    def options(fields: object, number: int) -> dict[str, object]:
        assert isinstance(fields, dict)
        defaults = {name: field.default for name, field in fields.items()}
        return defaults | {"port": f"/dev/absent-{number}", "address": 1}

    buses = Buses()
    names = ["phoenix_ev_cc", "flashable_ev_cc", "mennekes_amtron"]
    controllers = {
        number: CONTROLLERS[name].make(options(CONTROLLERS[name].fields, number), buses, number)
        for number, name in enumerate(names, start=1)
    }
    meters = {
        number: METERS[name].make(options(METERS[name].fields, number + 10), buses, number)
        for number, name in enumerate(["abb_b23", "ocmf_meter"], start=1)
    }
    return Devices(controllers=controllers, meters=meters, readers=[], io=None)


def test_what_a_driver_can_do_beyond_its_port_is_seen_through_the_guard(devices: Devices) -> None:
    behind_guards = guarded(devices)

    assert list(behind_guards.firmware_writers) == [2]
    assert list(behind_guards.heartbeats) == [3]
    assert list(behind_guards.signing_meters) == [2]


@pytest.mark.parametrize(
    ("kind", "number", "protocol"),
    [("controllers", 2, FirmwareWriter), ("controllers", 3, HeartbeatWanted), ("meters", 2, SigningMeter)],
)
def test_newer_pythons_see_it_too(devices: Devices, kind: str, number: int, protocol: type) -> None:
    guard = getattr(guarded(devices), kind)[number]
    wanted = [*protocol.__annotations__, *(name for name in vars(protocol) if not name.startswith("_"))]

    # From Python 3.12 on isinstance() looks for the members of a Protocol in this way.
    assert all(inspect.getattr_static(guard, name) is not None for name in wanted)
