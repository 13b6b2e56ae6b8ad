"""The simulated Elatec TWN4 reader: answers lines of the Simple Protocol from the field of the simulated world.

Rule for ids: TWN4 delivers bytes, but a swipe must hand any text on unchanged, case included. Every swiped tag is
therefore of type 0x7F, *text id*: its bytes are the ASCII characters of the id, and the driver hands them on as text;
only a card that was swiped as a LEGIC card is of type 0x83, with the bytes of its number.
Type 0x80 stays what it is on real readers, a binary id that the driver turns into lower-case hexadecimal digits.
"""

from hardware.protocols.twn4 import (
    ALL_TAG_TYPES,
    NO_TAG,
    TERMINATOR,
    Command,
    FoundTag,
    Function,
    Led,
    Reply,
    TagType,
)
from hardware.simulator.world import World
from station.domain.ports import DeviceGarbled

# Status numbers of the Simple Protocol for a command that is not understood and one with wrong parameters.
UNKNOWN_FUNCTION, MISSING_PARAMETER = 0x01, 0x02
# Commands are short; whatever is longer is noise.
MAXIMUM_COMMAND_LENGTH = 200
# Bytes of parameters of the commands that have any.
_PARAMETER_BYTES = {
    Function.SEARCH_TAG: 1,
    Function.SET_TAG_TYPES: 8,
    Function.BEEP: 7,
    Function.GPIO_CONFIGURE_OUTPUTS: 3,
    Function.GPIO_SET: 1,
    Function.GPIO_CLEAR: 1,
    Function.GPIO_TOGGLE: 1,
    Function.GPIO_TEST: 1,
}
_ALL_LEDS = int(Led.RED | Led.GREEN | Led.YELLOW)


class Twn4Reader:
    """Cuts command lines out of the bytes of the line and answers them."""

    def __init__(self, *, world: World) -> None:
        self._world = world
        self._buffer = bytearray()
        self._tag_types = ALL_TAG_TYPES.to_bytes(4, "little") * 2

    def receive(self, data: bytes, *, now_s: float) -> bytes:
        """Take bytes from the line and return the bytes to send."""
        self._buffer += data
        answer = b""
        while (end := self._buffer.find(TERMINATOR)) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            answer += self._answer(line, now_s=now_s).encode()
        if len(self._buffer) > MAXIMUM_COMMAND_LENGTH:
            self._buffer.clear()
        return answer

    def _answer(self, line: bytes, *, now_s: float) -> Reply:
        try:
            command = Command.decode(line)
        except DeviceGarbled:
            return Reply(status=UNKNOWN_FUNCTION)
        if len(command.parameters) != _PARAMETER_BYTES.get(command.function, 0):
            return Reply(status=MISSING_PARAMETER)
        match command.function:
            case Function.SEARCH_TAG:
                return Reply(result=self._search(command.parameters[0], now_s=now_s))
            case Function.SET_TAG_TYPES:
                self._tag_types = command.parameters
            case Function.GET_TAG_TYPES:
                return Reply(result=self._tag_types)
            case Function.BEEP:
                self._world.reader.beeps += 1
            case Function.GPIO_SET | Function.GPIO_CLEAR | Function.GPIO_TOGGLE | Function.GPIO_TEST:
                return self._gpio(command.function, Led(command.parameters[0] & _ALL_LEDS))
            case _:
                pass  # Field off, output mode and diagnosis LED are understood and show nothing in this world.
        return Reply()

    def _gpio(self, function: Function, lines: Led) -> Reply:
        field = self._world.reader
        match function:
            case Function.GPIO_SET:
                field.leds |= lines
            case Function.GPIO_CLEAR:
                field.leds &= ~lines
            case Function.GPIO_TOGGLE:
                field.leds ^= lines
            case _:
                return Reply(result=bytes([bool(field.leds & lines)]))
        return Reply()

    def _search(self, max_bytes: int, *, now_s: float) -> bytes:
        uid = self._world.reader.search(now_s=now_s)
        if uid is None:
            return NO_TAG
        if uid in self._world.reader.legic:
            number = bytes.fromhex(uid)[:max_bytes]
            return FoundTag(type=TagType.LEGIC, bits=8 * len(number), id=number).encode()
        characters = uid.encode("ascii")[:max_bytes]
        return FoundTag(type=TagType.TEXT, bits=8 * len(characters), id=characters).encode()
