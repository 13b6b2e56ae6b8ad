r"""Modbus ASCII frames, and the dialect of ABL's controllers in which answers begin with another character.

::

    request  ":" | hex text of: address, function, data, LRC | CR LF      ":010300010002F9\r\n"
    answer   ">" | the same                                               ">01030401011237AD\r\n"

LRC: two's complement of the sum of the bytes before it (MODBUS over serial line V1.02, section 2.5.2). The ":" of
answers in plain Modbus is the ">" of ABL (EVCC2/3 API, 05 0015 20 Rev. B).
"""

from pymodbus.pdu import DecodePDU, ModbusPDU

from station.domain.ports import DeviceGarbled

REQUEST, ANSWER, END = b":", b">", b"\r\n"
# 252 bytes of data with address, function and checksum as text, and the three characters around.
MAXIMUM_LENGTH = 2 * (252 + 3) + 3
_SHORTEST_BYTES = 3


def lrc(data: bytes) -> int:
    """Return the longitudinal redundancy check of these bytes."""
    return -sum(data) & 0xFF


def encode_frame(data: bytes, *, start: bytes) -> bytes:
    """Write address, function and data as a frame."""
    return start + (data + bytes([lrc(data)])).hex().upper().encode("ascii") + END


def decode_frame(frame: bytes, *, start: bytes) -> bytes:
    """Read address, function and data of a frame; DeviceGarbled when it is none."""
    text = frame.removeprefix(start).removesuffix(END)
    # bytes.fromhex takes small letters and blanks, too; devices send neither.
    if len(frame) != len(start) + len(text) + len(END) or len(text) % 2 or not set(text) <= set(b"0123456789ABCDEF"):
        raise DeviceGarbled(f"no ASCII frame: {frame[:40]!r}")
    data = bytes.fromhex(text.decode("ascii"))
    if len(data) < _SHORTEST_BYTES:
        raise DeviceGarbled(f"ASCII frame too short: {frame!r}")
    expected = lrc(data[:-1])
    if data[-1] != expected:
        raise DeviceGarbled(f"LRC {data[-1]:02X} instead of {expected:02X} in {frame[:40]!r}")
    return data[:-1]


class AsciiFramer:
    """Frames of one line, in the shape pymodbus gives its own framers; `answer_start` begins what devices say."""

    MAX_SIZE = MAXIMUM_LENGTH

    def __init__(self, decoder: DecodePDU, *, answer_start: bytes = ANSWER) -> None:
        self._decoder = decoder
        self._answer_start = answer_start

    def buildFrame(self, message: ModbusPDU) -> bytes:  # noqa: N802 - pymodbus' name
        """Write a request."""
        head = bytes([message.dev_id, message.function_code])
        return encode_frame(head + message.encode(), start=REQUEST)

    def handleFrame(self, data: bytes, exp_devid: int, _exp_tid: int) -> tuple[int, ModbusPDU | None]:  # noqa: N802
        """Return how many bytes are done with, and the answer of this device among them."""
        used = 0
        while (end := data.find(END, used)) >= 0:
            # What was cut off before the last beginning is no part of the frame.
            begin = data.rfind(self._answer_start, used, end)
            frame, used = data[begin : end + len(END)], end + len(END)
            if begin < 0:
                continue
            try:
                content = decode_frame(frame, start=self._answer_start)
            except DeviceGarbled:
                continue
            if content[0] != exp_devid:
                continue
            reply = self._decoder.decode(content[1:])
            if reply is not None:
                reply.dev_id = exp_devid
                return used, reply
        return used, None
