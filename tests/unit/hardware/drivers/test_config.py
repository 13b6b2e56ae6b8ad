import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.drivers.config import HardwareConfigInvalid, ProblemCode, build, load, parse
from hardware.drivers.eastron_sdm import EastronSdm
from hardware.drivers.elatec_twn4 import ElatecTwn4
from hardware.drivers.modbus_io import ModbusIo
from hardware.drivers.phoenix_ev_cc import PhoenixEvCc
from station.domain.ports import Signal

STATION: dict[str, Any] = {
    "connectors": [
        {
            "controller": {"driver": "phoenix_ev_cc", "port": "/dev/ttyS1", "address": 1},
            "meter": {"driver": "eastron_sdm630", "port": "/dev/ttyS2", "address": 1, "public_key_registers": True},
        },
        {
            "controller": {"driver": "phoenix_ev_cc", "port": "/dev/ttyS1", "address": 2},
            "meter": {"driver": "eastron_sdm72", "port": "/dev/ttyS2", "address": 2},
        },
    ],
    "readers": [{"driver": "elatec_twn4", "port": "/dev/ttyACM0", "connector": None, "reverse": True}],
    "io": {
        "driver": "modbus_io",
        "port": "/dev/ttyS1",
        "address": 10,
        "inputs": [{"input": 0, "code": "GroundFailure", "connector": 1}, {"input": 1, "code": "ResetFailure"}],
    },
}


@pytest.fixture
def data():
    return copy.deepcopy(STATION)


def problems_of(data) -> set[tuple[ProblemCode, str]]:
    with pytest.raises(HardwareConfigInvalid) as caught:
        parse(data)
    assert all(problem.text and problem.where for problem in caught.value.problems)
    return {(problem.code, problem.where) for problem in caught.value.problems}


def test_a_station_is_built_as_it_is_written(data):
    devices = build(parse(data))

    assert [type(devices.controllers[number]) for number in (1, 2)] == [PhoenixEvCc, PhoenixEvCc]
    assert [type(devices.meters[number]) for number in (1, 2)] == [EastronSdm, EastronSdm]
    ((connector, reader),) = devices.readers
    assert connector is None
    assert isinstance(reader, ElatecTwn4)
    assert isinstance(devices.io, ModbusIo)


def test_devices_on_one_port_share_one_bus(data):
    devices: Any = build(parse(data))

    assert devices.controllers[1]._bus is devices.controllers[2]._bus is devices.io._bus
    assert devices.meters[1]._bus is not devices.controllers[1]._bus


def test_the_surge_contact_is_at_the_first_charging_point_unless_said_otherwise(data):
    devices: Any = build(parse(data))
    assert [devices.controllers[number]._surge_contact for number in (1, 2)] == [True, False]

    data["connectors"][1]["controller"]["surge_contact"] = True
    devices = build(parse(data))
    assert devices.controllers[2]._surge_contact


def test_a_point_is_connected_by_three_phases_unless_said_otherwise(data):
    data["connectors"][1]["phases"] = 1
    assert build(parse(data)).phases == {1: 3, 2: 1}

    data["connectors"][1]["phases"] = 2
    assert problems_of(data) == {(ProblemCode.OUT_OF_RANGE, "connectors[1].phases")}


def test_a_station_without_readers_and_lamps_is_a_station():
    devices = build(parse({"connectors": STATION["connectors"]}))

    assert (devices.readers, devices.io) == ([], None)


def test_a_charging_point_without_a_meter_is_refused(data):
    del data["connectors"][0]["meter"]

    assert problems_of(data) == {(ProblemCode.MISSING, "connectors[0].meter")}


def test_a_driver_nobody_knows_is_named(data):
    data["connectors"][0]["controller"]["driver"] = "phoenix"

    assert problems_of(data) == {(ProblemCode.UNKNOWN_DRIVER, "connectors[0].controller.driver")}


def test_a_meter_driver_is_no_controller(data):
    data["connectors"][0]["controller"]["driver"] = "eastron_sdm630"

    assert problems_of(data) == {(ProblemCode.UNKNOWN_DRIVER, "connectors[0].controller.driver")}


def test_two_devices_with_one_address_on_a_bus_are_found(data):
    data["io"]["address"] = 2

    assert problems_of(data) == {(ProblemCode.DUPLICATE_ADDRESS, "io.address")}


def test_different_settings_of_one_port_are_found(data):
    data["io"] |= {"baudrate": 19200, "parity": "E"}

    assert problems_of(data) == {
        (ProblemCode.DIFFERENT_SETTINGS, "io.baudrate"),
        (ProblemCode.DIFFERENT_SETTINGS, "io.parity"),
    }


def test_a_reader_does_not_share_its_port(data):
    data["readers"][0]["port"] = "/dev/ttyS2"

    assert problems_of(data) == {(ProblemCode.PORT_SHARED, "readers[0].port")}


def test_a_meter_that_pushes_does_not_share_its_port(data):
    data["connectors"][0]["meter"] = {"driver": "sml", "port": data["io"]["port"]}

    assert (ProblemCode.PORT_SHARED, "connectors[0].meter.port") in problems_of(data)


def test_all_mistakes_are_told_at_once(data):
    del data["connectors"][0]["controller"]["port"]
    data["connectors"][1]["controller"]["address"] = 300
    data["connectors"][1]["meter"]["adress"] = 5
    data["readers"][0] |= {"connector": 3, "reverse": "no"}
    data["io"]["inputs"] += [{"input": -1, "code": "Fire", "connector": 9}, {"code": "OtherError"}]

    assert problems_of(data) == {
        (ProblemCode.MISSING, "connectors[0].controller.port"),
        (ProblemCode.OUT_OF_RANGE, "connectors[1].controller.address"),
        (ProblemCode.UNKNOWN_FIELD, "connectors[1].meter.adress"),
        (ProblemCode.NO_SUCH_CONNECTOR, "readers[0].connector"),
        (ProblemCode.WRONG_TYPE, "readers[0].reverse"),
        (ProblemCode.OUT_OF_RANGE, "io.inputs[2].input"),
        (ProblemCode.UNKNOWN_CODE, "io.inputs[2].code"),
        (ProblemCode.NO_SUCH_CONNECTOR, "io.inputs[2].connector"),
        (ProblemCode.MISSING, "io.inputs[3].input"),
    }


def test_an_input_written_twice_is_a_slip(data):
    data["io"]["inputs"].append(data["io"]["inputs"][0])

    assert problems_of(data) == {(ProblemCode.DUPLICATE_INPUT, "io.inputs[2]")}


def test_the_contact_of_the_control_box_gets_an_input_of_its_own(data):
    data["io"]["inputs"].append({"input": 7, "signal": "dimming"})

    devices = build(parse(data))

    assert devices.io is not None
    assert devices.io.signals == {Signal.DIMMING}


@pytest.mark.parametrize(
    ("added", "problem", "word"),
    [
        ([{"input": 7, "signal": "dim"}], (ProblemCode.UNKNOWN_SIGNAL, "io.inputs[2].signal"), "dimming"),
        ([{"signal": "dimming"}], (ProblemCode.MISSING, "io.inputs[2].input"), "missing"),
        ([{"input": 7}], (ProblemCode.MISSING, "io.inputs[2].code"), "signal"),
        ([{"input": 7, "signal": 1}], (ProblemCode.WRONG_TYPE, "io.inputs[2].signal"), "text"),
        (
            [{"input": 7, "signal": "dimming", "code": "OtherError"}],
            (ProblemCode.SIGNAL_FIELD, "io.inputs[2].code"),
            "either",
        ),
        (
            [{"input": 7, "signal": "dimming", "connector": 1}],
            (ProblemCode.SIGNAL_FIELD, "io.inputs[2].connector"),
            "whole station",
        ),
        (
            [{"input": 7, "signal": "dimming", "active_low": True}],
            (ProblemCode.SIGNAL_FIELD, "io.inputs[2].active_low"),
            "page",
        ),
        ([{"input": 1, "signal": "dimming"}], (ProblemCode.DUPLICATE_INPUT, "io.inputs[2]"), "its own"),
        (
            [{"input": 7, "signal": "dimming"}, {"input": 8, "signal": "dimming"}],
            (ProblemCode.DUPLICATE_INPUT, "io.inputs[3]"),
            "already",
        ),
    ],
)
def test_a_wrong_contact_of_the_control_box_is_named_with_the_remedy(data, added, problem, word):
    data["io"]["inputs"] += added

    with pytest.raises(HardwareConfigInvalid) as caught:
        parse(data)

    (found,) = caught.value.problems
    assert (found.code, found.where) == problem
    assert word in found.text


def test_two_readers_for_the_same_drivers_are_refused(data):
    data["readers"].append(data["readers"][0] | {"port": "/dev/ttyACM1"})

    assert problems_of(data) == {(ProblemCode.DUPLICATE_READER, "readers[1]")}


def test_true_is_no_address(data):
    data["io"]["address"] = True

    assert problems_of(data) == {(ProblemCode.WRONG_TYPE, "io.address")}


@pytest.mark.parametrize("empty", [{}, {"connectors": []}])
def test_a_station_needs_a_charging_point(empty):
    assert (ProblemCode.NO_CONNECTOR, "connectors") in problems_of(empty)


def test_a_charging_point_needs_a_controller(data):
    del data["connectors"][0]["controller"]

    assert problems_of(data) == {(ProblemCode.MISSING, "connectors[0].controller")}


def test_a_file_is_read(tmp_path, data):
    path = tmp_path / "hardware.json"
    path.write_text(json.dumps(data))

    assert len(load(path).connectors) == 2


@pytest.mark.parametrize(
    ("content", "code"),
    [(None, ProblemCode.FILE_UNREADABLE), ("{", ProblemCode.NOT_JSON), ("[]", ProblemCode.WRONG_TYPE)],
)
def test_a_file_that_is_none_is_explained(tmp_path, content, code):
    path = tmp_path / "hardware.json"
    if content is not None:
        path.write_text(content)

    with pytest.raises(HardwareConfigInvalid) as caught:
        load(path)

    assert caught.value.problems[0].code is code


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.data())
def test_whatever_stands_in_the_file_it_is_a_station_or_explained(draw):
    data = copy.deepcopy(STATION)
    for _ in range(draw.draw(st.integers(1, 3))):
        spot: Any = data
        while isinstance(spot, dict | list) and spot:
            key = draw.draw(st.sampled_from(list(spot) if isinstance(spot, dict) else list(range(len(spot)))))
            if draw.draw(st.booleans()) or not isinstance(spot[key], dict | list):
                spot[key] = draw.draw(anything)
                break
            spot = spot[key]
    try:
        config = parse(data)
    except HardwareConfigInvalid as error:
        assert error.problems  # noqa: PT017 - either way is right
    else:
        build(config)


def test_controllers_of_two_dialects_do_not_share_a_port() -> None:
    line = {"port": "/dev/ttyS1", "baudrate": 9600, "parity": "N", "stopbits": 1}
    meter = {"driver": "eastron_sdm630", "port": "/dev/ttyS2"}
    mixed = {
        "connectors": [
            {"controller": {"driver": driver, "address": number, **line}, "meter": {**meter, "address": number}}
            for number, driver in enumerate(("abl_evcc", "phoenix_ev_cc"), start=1)
        ]
    }

    with pytest.raises(HardwareConfigInvalid) as refused:
        parse(mixed)

    assert [problem.where for problem in refused.value.problems] == ["connectors[1].controller.driver"]
