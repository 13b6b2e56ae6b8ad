"""Modbus RTU answers that are well-formed and wrong: right checksums around values that cannot be."""

import random

from hardware.simulator.rtu import with_crc

_ADDRESS, _FUNCTION, _COUNT = 0, 1, 2
_WORDS = (b"\x7f\xc0\x00\x00", b"\x7f\x80\x00\x00", b"\xff\x80\x00\x00", b"\xff\xff\xff\xff", b"\x00\x00\x00\x01")


def wrong_answer(dice: random.Random, reply: bytes) -> bytes:
    """Change the content of an answer and compute its checksum anew."""
    if len(reply) < 5:
        return reply
    body = bytearray(reply[:-2])
    match dice.randrange(9):
        case 0:
            body[_ADDRESS] = dice.randrange(256)
        case 1:
            body[_FUNCTION] = dice.randrange(128)
        case 2:
            body = bytearray([body[_ADDRESS], body[_FUNCTION] | 0x80, dice.randrange(256)])
        case 3:
            body[_COUNT] = dice.randrange(256)
        case 4:
            del body[-dice.randint(1, 2) * 2 :]
            if len(body) > _COUNT:
                body[_COUNT] = len(body) - 3
        case 5:
            body += dice.randbytes(dice.choice((1, 2, 200)))
        case 6:
            # NaN, infinity, the smallest number there is.
            at = 3 + 4 * dice.randrange(max(1, (len(body) - 3) // 4))
            body[at : at + 4] = dice.choice(_WORDS)
        case 7:
            for at in range(3, len(body)):
                body[at] = dice.choice((0x00, 0xFF))
        case _:
            at = dice.randrange(2, len(body))
            body[at] = dice.randrange(256)
    return with_crc(bytes(body[:250]))
