"""Reading and writing registers: what a request may do, and with which exception another one is answered. Pure.

Exceptions are those of the Modbus application protocol V1.1b3, section 7.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from loadmgmt.energy_manager import LifeSign, SetPoint
from loadmgmt.registers import (
    HIGHEST_CURRENT_A,
    NOT_OFFERED,
    WATCHDOG_S,
    Register,
    Unit,
    View,
    Write,
    by_address,
)
from station.domain.units import MINIMUM_CURRENT, NOMINAL_VOLTAGE_V, MilliAmpere, Watt

_NO_POWER_LIMIT = 0xFFFFFFFF
_ADDRESSES = 0x10000
_HIGHEST_POWER_W = HIGHEST_CURRENT_A * 3 * NOMINAL_VOLTAGE_V
# A block may begin in a gap between registers that are this near; what lies farther away is no part of the table.
_LARGEST_GAP = 60
_LOWEST_TENTHS = MINIMUM_CURRENT // 100
_STATION_IDENTIFIER = 200
_MA_PER_A, _MA_PER_TENTH = 1_000, 100


class RequestRefused(Exception):
    """The request is answered with an exception."""

    code = 4


class IllegalFunction(RequestRefused):
    """There is no such function here, or the server is read-only."""

    code = 1


class IllegalAddress(RequestRefused):
    """There is no such register, or it cannot be written."""

    code = 2


class IllegalValue(RequestRefused):
    """The value, or the form of the request, is not allowed."""

    code = 3


@dataclass(frozen=True, kw_only=True)
class Written:
    """One register that is written, as the number that was sent."""

    address: int
    write: Write
    value: int


def unit_of(identifier: int, port_of_point: int, points: int) -> tuple[Unit, int]:
    """Return whose registers a unit identifier names at the port of a charging point.

    Every identifier means the point of the port, as in the Bender table; only at the first port the other points and
    the station (200) have identifiers of their own.
    """
    if port_of_point == 1:
        if identifier == _STATION_IDENTIFIER:
            return Unit.STATION, 0
        if 1 <= identifier <= points:
            return Unit.POINT, identifier
    return Unit.POINT, port_of_point


def read(unit: Unit, address: int, count: int, view: View) -> list[int]:
    """Return the words of a block; what lies between registers is 0. Raises RequestRefused."""
    known = by_address(unit, len(view.points))
    if address + count > _ADDRESSES or not _may_begin(known, address):
        raise IllegalAddress(address)
    encoded: dict[int, tuple[int, ...]] = {}
    words = []
    for each in range(address, address + count):
        found = known.get(each)
        if found is None:
            words.append(0)
            continue
        register, word = found
        if register.address not in encoded:
            encoded[register.address] = register.encode(view)
        words.append(encoded[register.address][word])
    return words


def _may_begin(known: Mapping[int, tuple[Register, int]], address: int) -> bool:
    if address in NOT_OFFERED:
        return False
    found = known.get(address)
    if found is not None:
        return found[0].read is not None
    below = any(address - step in known for step in range(1, _LARGEST_GAP))
    return below and any(address + step in known for step in range(1, _LARGEST_GAP))


def write(unit: Unit, address: int, words: Sequence[int], points: int) -> tuple[Written, ...]:
    """Return what a block of words changes, all of it or nothing. Raises RequestRefused."""
    known = by_address(unit, points)
    written = []
    at = 0
    while at < len(words):
        found = known.get(address + at)
        kind = found[0].write if found else None
        if found is None or kind is None:
            raise IllegalAddress(address + at)
        register, word = found
        if word or len(words) - at < register.words:
            # Half of a value of 32 bits means nothing.
            raise IllegalValue(address + at)
        value = 0
        for each in words[at : at + register.words]:
            value = value << 16 | each
        _check(kind, value)
        written.append(Written(address=register.address, write=kind, value=value))
        at += register.words
    return tuple(written)


def _check(kind: Write, value: int) -> None:
    match kind:
        case Write.CURRENT_A:
            allowed = value <= HIGHEST_CURRENT_A
        case Write.CURRENT:
            allowed = value <= HIGHEST_CURRENT_A * 10
        case Write.POWER:
            allowed = value <= _HIGHEST_POWER_W or value == _NO_POWER_LIMIT
        case Write.WATCHDOG:
            allowed = value == 0 or WATCHDOG_S[0] <= value <= WATCHDOG_S[1]
        case Write.FALLBACK_A:
            allowed = value == 0 or _LOWEST_TENTHS <= value * 10 <= HIGHEST_CURRENT_A * 10
        case Write.FALLBACK:
            allowed = value == 0 or _LOWEST_TENTHS <= value <= HIGHEST_CURRENT_A * 10
        case Write.LIFE_SIGN:
            allowed = value in {0, 1}
        case Write.HEARTBEAT:
            allowed = True
    if not allowed:
        raise IllegalValue(value)


def as_configuration(write: Write, value: int) -> dict[str, str]:
    """Return the key, and its value, that a written register stands for; empty: it is no setting."""
    match write:
        case Write.WATCHDOG:
            return {"/modbus/watchdogS": str(value)}
        case Write.FALLBACK_A:
            return {"/modbus/fallbackCurrent": str(value * _MA_PER_A)}
        case Write.FALLBACK:
            return {"/modbus/fallbackCurrent": str(value * _MA_PER_TENTH)}
        case Write.LIFE_SIGN:
            return {"/modbus/lifeSign": (LifeSign.WRITES if value else LifeSign.ANY_REQUEST).value}
    return {}


def changed(set_point: SetPoint, written: Written) -> SetPoint:
    """Return a set-point with what was written; the same where that is none."""
    match written.write:
        case Write.CURRENT_A:
            return replace(set_point, current=MilliAmpere(written.value * _MA_PER_A))
        case Write.CURRENT:
            return replace(set_point, current=MilliAmpere(written.value * _MA_PER_TENTH))
        case Write.POWER:
            return replace(set_point, power=None if written.value == _NO_POWER_LIMIT else Watt(written.value))
    return set_point
