import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import given
from hypothesis import strategies as st

from hardware.drivers import ocmf_meter
from hardware.drivers.ocmf_meter import OcmfMeter
from hardware.links.serial_bus import ModbusRefused, Patience, SerialBus
from hardware.protocols.ocmf_meter import (
    IDENTIFICATION_COUNT,
    MEASURED_BLOCK,
    STATUS_COUNT,
    Quantity,
    Status,
    decode_identification,
    decode_measured,
    encode_identification,
    encode_measured,
)
from hardware.simulator.files import MetersFile, key_path
from hardware.simulator.point import ChargingPoint
from hardware.simulator.rtu import Function, ModbusRequestRefused, NotAnswered
from hardware.simulator.signing import SigningFault
from hardware.simulator.signing_meter import MeterFiles, OcmfRegisters
from station.domain import ocmf as checker
from station.domain.ports import (
    DeviceFailed,
    DeviceGarbled,
    DeviceRefused,
    DeviceSilent,
    Identification,
    ReadingUnusable,
    SignedEnd,
    SigningMeter,
    Synchronisation,
)

# A Sunday in winter, one minute to noon in Germany.
NOW_S = datetime(2026, 11, 22, 10, 59, 0, 250_000, UTC).timestamp()
CUSTOMER = Identification(
    assigned=True,
    level="TRUSTED",
    flags=("RFID_PLAIN", "OCPP_AUTH_TLS"),
    kind="ISO14443",
    data="04A2B3C4",
    charge_point_kind="EVSEID",
    charge_point="DE*EVC*E0001*1",
)


class MeterBus(SerialBus):
    """A bus without wires and without waiting: its time passes as fast as the driver asks for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_s = 1000.0
        self.wall_ahead_s = 0.0
        self.lost_answers = 0
        self.point = ChargingPoint(number=1, now_s=0.0)
        self.power_on()

    def power_on(self) -> None:
        file = MetersFile(self.folder)
        record = file.open([1])[1]
        self.point.energy = record.energy
        self.meter = OcmfRegisters(
            point=self.point,
            serial_number=record.serial_number,
            public_key=record.public_key,
            files=MeterFiles(memory=self.folder / "signing-meter-1.json", key=key_path(self.folder, 1)),
            keep=file.keep,
            clock=lambda: self.now_s,
            wall=lambda: NOW_S + self.now_s - 1000.0 + self.wall_ahead_s,
        )

    def acquire(self) -> None: ...

    def release(self) -> None: ...

    async def read_holding(self, device: int, address: int, count: int, patience: Patience) -> list[int]:
        await asyncio.sleep(0)
        self.now_s += 0.05
        try:
            return list(self.meter.read_registers(Function.READ_HOLDING_REGISTERS, address, count))
        except NotAnswered as silence:
            self.now_s += patience.timeout_s
            raise DeviceSilent("silent") from silence
        except ModbusRequestRefused as refusal:
            raise ModbusRefused(device, 3, refusal.code) from refusal

    async def write_registers(self, device: int, address: int, values: Sequence[int], patience: Patience) -> None:
        self.now_s += 0.05
        for _ in range(patience.attempts):
            try:
                self.meter.write_registers(address, values)
            except NotAnswered:
                self.now_s += patience.timeout_s
            except ModbusRequestRefused as refusal:
                raise ModbusRefused(device, 16, refusal.code) from refusal
            else:
                if not self.lost_answers:
                    return
                self.lost_answers -= 1
        raise DeviceSilent("silent")


class Loop:
    """The clock of the driver is that of the bus."""

    def __init__(self, bus: MeterBus) -> None:
        self._bus = bus

    def time(self) -> float:
        return self._bus.now_s


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MeterBus:
    bus = MeterBus(tmp_path)

    async def sleep(seconds: float) -> None:
        bus.now_s += seconds
        await asyncio.sleep(0)

    played = SimpleNamespace(sleep=sleep, get_running_loop=lambda: Loop(bus), Lock=asyncio.Lock)
    monkeypatch.setattr(ocmf_meter, "asyncio", played)
    return bus


@pytest.fixture
def meter(bus: MeterBus) -> OcmfMeter:
    return OcmfMeter(bus, address=1)


def content(raw: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(raw.split(b"|")[1])
    return found


def check_signature(raw: bytes, public_key: str) -> None:
    head, payload, signature = raw.split(b"|")
    key = load_der_public_key(bytes.fromhex(public_key))
    assert head == b"OCMF"
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(bytes.fromhex(json.loads(signature)["SD"]), payload, ec.ECDSA(SHA256()))


async def test_begin_and_end_are_signed_with_the_key_that_is_read_over_the_same_line(
    bus: MeterBus, meter: OcmfMeter
) -> None:
    identity = await meter.identify()
    await meter.set_time(datetime(2026, 11, 22, 11, 0, tzinfo=UTC), 3600, Synchronisation.SYNCHRONISED)
    bus.point.energy.phases_wh = (4_000.9, 4_000.0, 4_339.2)

    begin = await meter.begin_transaction(CUSTOMER)
    bus.point.energy.phases_wh = (5_000.9, 5_000.0, 5_339.2)
    end = await meter.end_transaction(SignedEnd.LOCAL)

    for record in (begin, end):
        check_signature(record.raw, identity.public_key)
    first, last = content(begin.raw), content(end.raw)
    assert (first["FV"], first["PG"], last["PG"]) == ("1.3", "T1", "T2")
    assert first["MS"] == first["GS"] == last["MS"] == identity.serial
    assert (last["IS"], last["IL"], last["IT"], last["ID"]) == (True, "TRUSTED", "ISO14443", "04A2B3C4")
    assert (last["IF"], last["CT"], last["CI"]) == (["RFID_PLAIN", "OCPP_AUTH_TLS"], "EVSEID", "DE*EVC*E0001*1")
    assert [reading["TX"] for reading in first["RD"] + last["RD"]] == ["B", "L"]
    assert first["RD"][0]["TM"].startswith("2026-11-22T12:00:0")
    assert first["RD"][0]["TM"].endswith("+0100 S")
    # The number of decimals is part of what is signed.
    assert b'"RV":12.340,' in begin.raw
    assert b'"RV":15.340,' in end.raw
    assert (last["RD"][0]["ST"], last["RD"][0]["EF"], last["RD"][0]["RU"]) == ("G", "", "kWh")


async def test_a_changed_byte_does_not_verify(meter: OcmfMeter) -> None:
    identity = await meter.identify()
    record = await meter.begin_transaction(CUSTOMER)

    with pytest.raises(InvalidSignature):
        check_signature(record.raw.replace(b'"RV":0.000', b'"RV":0.001'), identity.public_key)


async def test_a_meter_tells_its_values_beside_what_it_signs(bus: MeterBus, meter: OcmfMeter) -> None:
    bus.point.energy.phases_wh = (6_000.0, 6_000.0, 6_240.7)

    reading = await meter.read()

    assert isinstance(meter, SigningMeter)
    assert (reading.import_energy, reading.export_energy, reading.power) == (18_240, 0, 0)
    assert reading.voltages == (230_400, 229_900, 230_200)
    assert (reading.currents, reading.frequency, reading.read_at_s) == ((0, 0, 0), 50_000, bus.now_s)


async def test_a_meter_says_for_whom_it_measures_and_measures_one_transaction_at_a_time(meter: OcmfMeter) -> None:
    assert await meter.open_transaction() is None
    assert await meter.last_record() is None
    with pytest.raises(DeviceRefused):
        await meter.end_transaction(SignedEnd.END)

    begin = await meter.begin_transaction(CUSTOMER)

    assert await meter.open_transaction() == CUSTOMER
    assert (await meter.last_record() or begin).raw == begin.raw
    with pytest.raises(DeviceRefused):
        await meter.begin_transaction(CUSTOMER)


@pytest.mark.parametrize("lost", [1, 2])
async def test_an_order_whose_confirmation_is_lost_is_carried_out_once(
    bus: MeterBus, meter: OcmfMeter, lost: int
) -> None:
    bus.lost_answers = lost

    begin = await meter.begin_transaction(CUSTOMER)
    bus.lost_answers = lost
    end = await meter.end_transaction(SignedEnd.REMOTE)

    assert [content(record.raw)["PG"] for record in (begin, end)] == ["T1", "T2"]


async def test_a_record_whose_answer_was_lost_is_given_again(bus: MeterBus, meter: OcmfMeter) -> None:
    bus.point.signing.faults.add(SigningFault.ANSWER)
    with pytest.raises(DeviceSilent):
        await meter.begin_transaction(CUSTOMER)
    bus.point.signing.faults.clear()

    record = await meter.last_record()

    assert await meter.open_transaction() == CUSTOMER
    assert record is not None
    assert content(record.raw)["RD"][0]["TX"] == "B"


async def test_an_open_transaction_survives_a_power_cut_with_its_page_number(bus: MeterBus, meter: OcmfMeter) -> None:
    await meter.set_time(datetime(2026, 11, 22, 11, 0, tzinfo=UTC), 0, Synchronisation.SYNCHRONISED)
    begin = await meter.begin_transaction(CUSTOMER)

    bus.power_on()

    assert await meter.open_transaction() == CUSTOMER
    assert (await meter.last_record() or begin).raw == begin.raw
    end = content((await meter.end_transaction(SignedEnd.POWER_FAILURE)).raw)
    # Nobody has synchronised its clock since.
    assert (end["PG"], end["RD"][0]["TX"], end["RD"][0]["TM"][-1]) == ("T2", "P", "I")


async def test_a_cut_while_signing_loses_the_order_and_no_page(bus: MeterBus, meter: OcmfMeter) -> None:
    bus.point.signing.seconds = 3.0
    await meter.begin_transaction(CUSTOMER)
    bus.point.signing.faults.add(SigningFault.POWER)
    with pytest.raises(DeviceFailed):
        await meter.end_transaction(SignedEnd.LOCAL)

    assert await meter.open_transaction() == CUSTOMER
    assert content((await meter.end_transaction(SignedEnd.LOCAL)).raw)["PG"] == "T2"
    assert await meter.open_transaction() is None


async def test_a_meter_that_cannot_sign_refuses_and_the_next_order_is_a_new_one(
    bus: MeterBus, meter: OcmfMeter
) -> None:
    bus.point.signing.faults.add(SigningFault.SIGNATURE)
    with pytest.raises(DeviceRefused, match="sign"):
        await meter.begin_transaction(CUSTOMER)
    assert await meter.open_transaction() is None
    bus.point.signing.faults.clear()

    assert content((await meter.begin_transaction(CUSTOMER)).raw)["PG"] == "T1"


async def test_a_meter_whose_log_is_full_says_so_and_signs_when_there_is_room(bus: MeterBus, meter: OcmfMeter) -> None:
    bus.point.signing.faults.add(SigningFault.FULL)
    with pytest.raises(DeviceRefused, match="full"):
        await meter.begin_transaction(CUSTOMER)
    bus.point.signing.faults.clear()

    assert content((await meter.begin_transaction(CUSTOMER)).raw)["PG"] == "T1"


async def test_what_is_forged_is_a_record_that_does_not_verify(bus: MeterBus, meter: OcmfMeter) -> None:
    bus.point.signing.faults.add(SigningFault.FORGED)
    record = await meter.begin_transaction(CUSTOMER)

    key = (await meter.identify()).public_key
    assert checker.Finding.SIGNATURE_WRONG in checker.check(record.raw, key)


async def test_signing_may_take_half_a_minute_and_the_values_are_told_meanwhile(
    bus: MeterBus, meter: OcmfMeter
) -> None:
    bus.point.signing.seconds = meter.longest_signing_s
    asked_at_s = bus.now_s
    begin = asyncio.ensure_future(meter.begin_transaction(CUSTOMER))

    assert (await meter.read()).import_energy == 0
    record = await begin

    assert record.signed_at_s - asked_at_s >= meter.longest_signing_s
    # The value is that of the order, not that of the signature.
    assert content(record.raw)["RD"][0]["TM"].startswith("2026-11-22T10:59:00")


async def test_a_meter_that_never_ends_signing_is_given_up(bus: MeterBus, meter: OcmfMeter) -> None:
    bus.point.signing.seconds = 1e6

    with pytest.raises(DeviceSilent, match="not signed"):
        await meter.begin_transaction(CUSTOMER)


async def test_a_register_that_cannot_be_read_is_signed_as_what_it_is(bus: MeterBus, meter: OcmfMeter) -> None:
    bus.point.signing.faults.add(SigningFault.REGISTER)

    (reading,) = content((await meter.begin_transaction(CUSTOMER)).raw)["RD"]

    assert (reading["EF"], reading["ST"]) == ("E", "F")
    assert "RV" not in reading
    with pytest.raises(ReadingUnusable):
        await meter.read()


async def test_a_record_with_a_wrong_byte_is_noise_and_is_whole_again_when_asked_for_once_more(
    bus: MeterBus, meter: OcmfMeter
) -> None:
    bus.point.signing.faults.add(SigningFault.RECORD)
    with pytest.raises(DeviceGarbled, match="checksum"):
        await meter.begin_transaction(CUSTOMER)
    bus.point.signing.faults.clear()

    record = await meter.last_record()

    assert record is not None
    check_signature(record.raw, (await meter.identify()).public_key)


async def test_a_bar_in_an_identification_does_not_cut_the_record(meter: OcmfMeter) -> None:
    odd = Identification(assigned=False, level="NONE", flags=(), kind="LOCAL_1", data='a|"ü')

    record = await meter.begin_transaction(odd)

    check_signature(record.raw, (await meter.identify()).public_key)
    assert content(record.raw)["ID"] == 'a|"ü'
    assert await meter.open_transaction() == odd


async def test_what_the_meter_has_no_room_for_is_refused_before_it_is_sent(meter: OcmfMeter) -> None:
    with pytest.raises(DeviceRefused, match="40 bytes"):
        await meter.begin_transaction(Identification(assigned=True, level="", flags=(), kind="NONE", data="x" * 41))

    assert await meter.open_transaction() is None


@given(
    st.booleans(),
    st.lists(st.text(st.characters(codec="ascii", min_codepoint=1), min_size=1, max_size=16), max_size=4),
    st.text(st.characters(codec="utf-8", min_codepoint=1), max_size=10),
)
def test_an_identification_comes_back_as_it_was_written(assigned: bool, flags: list[str], data: str) -> None:  # noqa: FBT001 - drawn
    identification = Identification(assigned=assigned, level="HEARSAY", flags=tuple(flags), kind="NONE", data=data)

    registers = encode_identification(identification)

    assert len(registers) == IDENTIFICATION_COUNT
    assert decode_identification(registers) == identification


@given(st.dictionaries(st.sampled_from(Quantity), st.one_of(st.none(), st.integers(0, 2**31 - 2))))
def test_measured_values_come_back_as_they_were_written(values: dict[Quantity, int | None]) -> None:
    registers = encode_measured(values)

    assert len(registers) == MEASURED_BLOCK[1]
    assert decode_measured(registers) == {quantity: values.get(quantity) for quantity in Quantity}


@given(st.lists(st.integers(0, 0xFFFF), min_size=STATUS_COUNT, max_size=STATUS_COUNT))
def test_any_status_is_one_or_is_refused_as_noise(registers: list[int]) -> None:
    try:
        status = Status.decode(registers)
    except DeviceGarbled:
        return
    assert status.encode() == registers
