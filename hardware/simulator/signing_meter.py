"""The simulated signing meter: what it keeps over a power cut, and its registers.

Its file `sim/signing-meter-<n>.json` holds the page number, the open transaction, the last record and by how much its
clock is ahead of the computer's. It is written before a record is told. What was being signed when the power went is
forgotten: a begin has not happened, an end may be asked for again, and no page number is lost. Its clock has a battery;
after a cut nobody has synchronised it yet.
"""

import json
import logging
from binascii import crc32
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hardware.protocols.ocmf_meter import (
    BEGIN_COUNT,
    BUSY_EXCEPTION,
    END_COUNT,
    IDENTIFICATION_COUNT,
    IDENTIFICATION_START,
    IDENTITY_START,
    KEY_START,
    MEASURED_BLOCK,
    ORDER_START,
    RECORD_START,
    STATUS_START,
    TEXT_REGISTERS,
    TIME_COUNT,
    TIME_START,
    Failure,
    MeterTime,
    Order,
    Quantity,
    State,
    Status,
    decode_identification,
    encode_identification,
    encode_measured,
)
from hardware.protocols.registers import encode_bytes, encode_text
from hardware.simulator import ocmf
from hardware.simulator.electricity import quantities
from hardware.simulator.files import replace_text
from hardware.simulator.point import ChargingPoint
from hardware.simulator.rtu import (
    Function,
    IllegalAddress,
    IllegalFunction,
    IllegalValue,
    ModbusRequestRefused,
    NotAnswered,
)
from hardware.simulator.signing import SigningFault
from station.domain.ports import DeviceGarbled, Identification, SignedEnd, Synchronisation

logger = logging.getLogger(__name__)

# The time a meter does not answer after its power came back.
RESTART_S = 1.0
_BEGIN = "B"


class MeterBusy(ModbusRequestRefused):
    """A record is being signed."""

    code = BUSY_EXCEPTION


@dataclass(kw_only=True)
class Memory:
    """What the meter keeps; `open_for`: for whom a transaction is being measured."""

    page: int = 0
    order: int = 0
    open_for: Identification | None = None
    record: bytes = b""
    ahead_s: float = 0.0
    offset_minutes: int = 0
    synchronisation: Synchronisation = Synchronisation.UNKNOWN

    @classmethod
    def load(cls, path: Path) -> "Memory":
        """Read the memory after a power cut; a fresh one where there is none."""
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                page=int(stored["page"]),
                order=int(stored["order"]),
                open_for=_identification(stored["open_for"]),
                record=str(stored["record"]).encode(),
                ahead_s=float(stored["ahead_s"]),
                offset_minutes=int(stored["offset_minutes"]),
                synchronisation=_after_a_cut(Synchronisation(stored["synchronisation"])),
            )
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s cannot be read; the meter begins with page 1 again: %r", path, error)
            return cls()

    def keep(self, path: Path) -> None:
        """Write the memory; a full disk does not end the world."""
        content = {
            "page": self.page,
            "order": self.order,
            "open_for": None if self.open_for is None else asdict(self.open_for),
            "record": self.record.decode(),
            "ahead_s": self.ahead_s,
            "offset_minutes": self.offset_minutes,
            "synchronisation": self.synchronisation.value,
        }
        try:
            replace_text(path, json.dumps(content))
        except OSError as error:
            logger.warning("the signing meter forgets its last record at the next start: %s", error)


@dataclass(frozen=True, kw_only=True)
class _Pending:
    """An order that is being carried out; the reading is that of its moment."""

    number: int
    identification: Identification
    reading: ocmf.Reading
    since_s: float


@dataclass(frozen=True, kw_only=True)
class MeterFiles:
    """Where the meter keeps its memory and its private key."""

    memory: Path
    key: Path


@dataclass(kw_only=True)
class OcmfRegisters:
    """What the meter answers. `keep` saves the counts before they are told, `clock` is steady, `wall` tells the day."""

    point: ChargingPoint
    serial_number: int
    public_key: bytes
    files: MeterFiles
    keep: Callable[[], None]
    clock: Callable[[], float]
    wall: Callable[[], float]
    _memory: Memory = field(init=False)
    _pending: _Pending | None = None
    _failure: Failure = Failure.NONE
    _failed_order: int | None = None
    _is_mute: bool = False
    _dark_until_s: float = 0.0

    def __post_init__(self) -> None:
        self._memory = Memory.load(self.files.memory)
        self.point.signing.is_played = True

    def read_bits(self, _function: Function, _start: int, _count: int, /) -> Sequence[bool]:
        """Refuse: this meter has no bits."""
        raise IllegalFunction

    def write_bits(self, _start: int, _values: Sequence[bool], /) -> None:
        """Refuse: this meter has no bits."""
        raise IllegalFunction

    def read_registers(self, function: Function, start: int, count: int, /) -> Sequence[int]:
        """Read by FC3 what lies within one block."""
        self._advance()
        if function is not Function.READ_HOLDING_REGISTERS:
            raise IllegalFunction
        if start >= ORDER_START:
            self._check_voice()
        for first, words in self._blocks(start):
            if first <= start and start + count <= first + len(words):
                return words[start - first : start - first + count]
        raise IllegalAddress

    def write_registers(self, start: int, values: Sequence[int], /) -> None:
        """Take the time, or an order."""
        self._advance()
        if (start, len(values)) == (TIME_START, TIME_COUNT):
            self._set_time(values)
        elif start == ORDER_START and len(values) in (END_COUNT, BEGIN_COUNT):
            self._obey(values)
            self._check_voice()
        else:
            raise IllegalAddress

    def _blocks(self, start: int) -> list[tuple[int, Sequence[int]]]:
        if start >= RECORD_START:
            return [(RECORD_START, self._record())]
        if start >= STATUS_START:
            return [(STATUS_START, self._status().encode())]
        if start >= ORDER_START:
            return [(IDENTIFICATION_START, self._open_for())]
        if start >= TIME_START:
            return [(TIME_START, self._time().encode())]
        if start >= MEASURED_BLOCK[0]:
            self.keep()
            return [
                (
                    MEASURED_BLOCK[0],
                    encode_measured(quantities(Quantity, self.point.load, import_energy_wh=self._energy_wh())),
                )
            ]
        texts = (ocmf.VENDOR, ocmf.MODEL, str(self.serial_number), ocmf.FIRMWARE)
        identity = [word for text in texts for word in encode_text(text, TEXT_REGISTERS)]
        key = [len(self.public_key), *encode_bytes(self.public_key, (len(self.public_key) + 1) // 2)]
        return [(IDENTITY_START, identity), (KEY_START, key)]

    def _open_for(self) -> Sequence[int]:
        if self._memory.open_for is None:
            return [0] * IDENTIFICATION_COUNT
        return encode_identification(self._memory.open_for)

    def _record(self) -> Sequence[int]:
        record = bytearray(self._memory.record)
        if record and SigningFault.RECORD in self.point.signing.faults:
            record[len(record) // 2] ^= 1
        return encode_bytes(bytes(record), (len(record) + 1) // 2)

    def _status(self) -> Status:
        memory = self._memory
        state = State.OPEN if memory.open_for is not None else State.IDLE
        if self._pending is not None:
            state = State.SIGNING
        elif self._failed_order is not None:
            state = State.FAILED
        return Status(
            state=state,
            is_open=memory.open_for is not None,
            order=memory.order if self._failed_order is None else self._failed_order,
            failure=self._failure,
            pagination=memory.page,
            record_bytes=len(memory.record),
            checksum=crc32(memory.record),
        )

    def _energy_wh(self) -> int | None:
        if SigningFault.REGISTER in self.point.signing.faults:
            return None
        return int(self.point.energy.total_wh)

    def _time(self) -> MeterTime:
        return MeterTime(
            at=datetime.fromtimestamp(self.wall() + self._memory.ahead_s, UTC),
            offset_minutes=self._memory.offset_minutes,
            synchronisation=self._memory.synchronisation,
        )

    def _set_time(self, values: Sequence[int]) -> None:
        try:
            told = MeterTime.decode(values)
        except ValueError as error:
            raise IllegalValue from error
        self._memory.ahead_s = told.at.timestamp() - self.wall()
        self._memory.offset_minutes = told.offset_minutes
        self._memory.synchronisation = told.synchronisation
        self._memory.keep(self.files.memory)

    def _obey(self, values: Sequence[int]) -> None:
        number, order, letter = values[:END_COUNT]
        if self._pending is not None:
            if number != self._pending.number:
                raise MeterBusy
            return
        if number == self._status().order:
            # The same order, heard twice.
            return
        open_for = self._memory.open_for
        if order == Order.BEGIN and len(values) == BEGIN_COUNT and open_for is None:
            try:
                identification = decode_identification(values[END_COUNT:])
            except DeviceGarbled as error:
                raise IllegalValue from error
            transaction = _BEGIN
        elif order == Order.END and len(values) == END_COUNT and open_for is not None:
            identification, transaction = open_for, chr(letter)
            if transaction not in {end.value for end in SignedEnd}:
                raise IllegalValue
        else:
            raise IllegalValue
        self.keep()
        time = self._time()
        self._pending = _Pending(
            number=number,
            identification=identification,
            reading=ocmf.Reading(time=time, at=time.at, transaction=transaction, energy_wh=self._energy_wh()),
            since_s=self.clock(),
        )
        self._failure, self._failed_order = Failure.NONE, None
        self._is_mute = SigningFault.ANSWER in self.point.signing.faults
        self._advance()

    def _advance(self) -> None:
        """Come to the present: sign what is due, or lose the power on the way; NotAnswered without power."""
        now_s, signing = self.clock(), self.point.signing
        pending = self._pending
        if pending is not None:
            dies_at_s = pending.since_s + signing.seconds / 2
            if SigningFault.POWER in signing.faults:
                if now_s >= dies_at_s:
                    signing.faults.discard(SigningFault.POWER)
                    self._lose_power(at_s=dies_at_s)
            elif now_s >= pending.since_s + signing.seconds:
                self._pending = None
                self._sign(pending)
        if now_s < self._dark_until_s:
            raise NotAnswered

    def _lose_power(self, *, at_s: float) -> None:
        self._pending, self._failure, self._failed_order = None, Failure.NONE, None
        self._memory = replace(self._memory, synchronisation=_after_a_cut(self._memory.synchronisation))
        self._dark_until_s = at_s + RESTART_S

    def _sign(self, pending: _Pending) -> None:
        memory = self._memory
        text = ocmf.payload(
            serial=str(self.serial_number),
            page=memory.page + 1,
            identification=pending.identification,
            reading=pending.reading,
        )
        record, faults = b"", self.point.signing.faults
        if SigningFault.FULL in faults:
            self._failure, self._failed_order = Failure.LOG_FULL, pending.number
            return
        if SigningFault.SIGNATURE not in faults:
            try:
                record = ocmf.sign(text, self.files.key)
            except ocmf.KeyUnusable as error:
                logger.warning("the meter of charging point %d cannot sign: %s", self.point.number, error)
        if not record:
            self._failure, self._failed_order = Failure.SIGNATURE, pending.number
            return
        if SigningFault.FORGED in faults:
            record = ocmf.forged(record)
        is_begin = pending.reading.transaction == _BEGIN
        self._memory = replace(
            memory,
            page=memory.page + 1,
            order=pending.number,
            open_for=pending.identification if is_begin else None,
            record=record,
        )
        self._memory.keep(self.files.memory)

    def _check_voice(self) -> None:
        if self._is_mute and SigningFault.ANSWER in self.point.signing.faults:
            raise NotAnswered
        self._is_mute = False


def _after_a_cut(told: Synchronisation) -> Synchronisation:
    return Synchronisation.INFORMATIVE if told is Synchronisation.SYNCHRONISED else told


def _identification(stored: dict[str, Any] | None) -> Identification | None:
    return None if stored is None else Identification(**stored | {"flags": tuple(stored["flags"])})
