"""Driver of Elatec TWN4 card readers with the Simple Protocol application."""

import asyncio
import logging
from collections.abc import Sequence
from enum import StrEnum

from hardware.links.line import LineLost, SerialLine
from hardware.protocols.twn4 import (
    ALL_TAG_TYPES,
    MAXIMUM_LINE_LENGTH,
    TERMINATOR,
    Beep,
    Command,
    FoundTag,
    Function,
    Led,
    Reply,
    Status,
    TagType,
    configure_led_outputs,
    leds,
    search_tag,
    set_tag_types,
)
from station.domain.id_tags import MAX_ID_TAG_LENGTH
from station.domain.legic import technology_of
from station.domain.ports import DeviceFailed, DeviceGarbled, DeviceRefused, ReaderSignal, Tag

logger = logging.getLogger(__name__)

# A search takes the reader up to a few hundred milliseconds when every tag type is switched on; the fact sheet calls
# a reader ill after 2 s of silence, which are two unanswered attempts.
TIMEOUT_S = 0.5
ATTEMPTS = 2
# Bytes asked for: enough to see that an id is too long, instead of getting it cut (usual request 10h, rfid.md).
_SEARCH_BYTES = 0x14

_LIGHT: dict[ReaderSignal, Led] = {
    ReaderSignal.ACCEPTED: Led.GREEN,
    ReaderSignal.REFUSED: Led.RED,
    ReaderSignal.WAIT: Led.YELLOW,
}
# Pitch and rhythm distinguish yes from no. The reader is busy while it beeps and must answer in time.
_SOUND: dict[ReaderSignal, tuple[Beep, ...]] = {
    ReaderSignal.ACCEPTED: (Beep(volume_percent=80, frequency_hz=2600, on_ms=150, off_ms=0),),
    ReaderSignal.REFUSED: (
        Beep(volume_percent=80, frequency_hz=1200, on_ms=120, off_ms=80),
        Beep(volume_percent=80, frequency_hz=1200, on_ms=120, off_ms=0),
    ),
    ReaderSignal.WAIT: (),
}
_LIGHT_S = 2.0


class LetterCase(StrEnum):
    """How hexadecimal ids are written."""

    LOWER = "lower"
    UPPER = "upper"


class ElatecTwn4:
    """A TagReader. The reader is set up anew whenever it answers again after a failure."""

    def __init__(
        self,
        port: str,
        *,
        baudrate: int = 9600,
        reverse: bool = False,
        case: LetterCase = LetterCase.LOWER,
        max_bytes: int = MAX_ID_TAG_LENGTH // 2,
    ) -> None:
        self._line = SerialLine(port, baudrate=baudrate, terminator=TERMINATOR, maximum_length=MAXIMUM_LINE_LENGTH)
        self._reverse = reverse
        self._case = case
        self._max_bytes = max_bytes
        self._is_set_up = False
        self._light_until_s: float | None = None
        self._unusable: FoundTag | None = None

    async def open(self) -> None:
        """Take the line; the first poll sets the reader up, so a silent reader does not delay the start."""
        self._line.open()

    async def close(self) -> None:
        self._line.close()
        self._is_set_up = False

    async def poll(self) -> Sequence[Tag]:
        if not self._is_set_up:
            await self._set_up()
        now_s = asyncio.get_running_loop().time()
        if self._light_until_s is not None and now_s >= self._light_until_s:
            await self._command(leds(Function.GPIO_CLEAR, Led.RED | Led.GREEN | Led.YELLOW))
            self._light_until_s = None
        found = FoundTag.decode(await self._command(search_tag(_SEARCH_BYTES)))
        uid = None if found is None else self._uid(found)
        if found is None or uid is None:
            # The reader works: a tag that cannot be an idTag is no card to the station; it is reported once.
            if found is not None and found != self._unusable:
                logger.info("card with an id that cannot be an idTag: type %02X, %s", found.type, found.id.hex())
            self._unusable = found
            return ()
        return (Tag(uid=uid, technology=_technology(found)),)

    async def signal(self, signal: ReaderSignal) -> None:
        light = _LIGHT[signal]
        await self._command(leds(Function.GPIO_CLEAR, (Led.RED | Led.GREEN | Led.YELLOW) & ~light))
        await self._command(leds(Function.GPIO_SET, light))
        # The poll switches the light off; "waiting" is shown until the result replaces it.
        self._light_until_s = None if signal is ReaderSignal.WAIT else asyncio.get_running_loop().time() + _LIGHT_S
        for beep in _SOUND[signal]:
            await self._command(beep.encode())

    async def _set_up(self) -> None:
        await self._command(set_tag_types(ALL_TAG_TYPES, ALL_TAG_TYPES))
        await self._command(configure_led_outputs())
        self._is_set_up = True

    async def _command(self, command: Command) -> bytes:
        for remaining in reversed(range(ATTEMPTS)):
            try:
                reply = Reply.decode(await self._line.ask(command.encode(), timeout_s=TIMEOUT_S))
            except LineLost:
                self._is_set_up = False
                raise
            except DeviceFailed:
                if not remaining:
                    self._is_set_up = False
                    raise
            else:
                if reply.status != Status.OK:
                    raise DeviceRefused(f"reader refuses {command.function.name.lower()} with status {reply.status}")
                return reply.result
        raise DeviceGarbled("reader was never asked")

    def _uid(self, found: FoundTag) -> str | None:
        if found.type == TagType.TEXT:
            text = found.id.decode("ascii", errors="replace")
            return text if len(text) <= MAX_ID_TAG_LENGTH and text.isascii() and text.isprintable() else None
        if len(found.id) > self._max_bytes:
            return None
        uid = (found.id[::-1] if self._reverse else found.id).hex()
        return uid.upper() if self._case is LetterCase.UPPER else uid


def _technology(found: FoundTag) -> str:
    match found.type:
        case TagType.TEXT:
            return "text"
        case TagType.LEGIC:
            return technology_of(found.id)
        case _:
            return f"{found.type:02X}"
