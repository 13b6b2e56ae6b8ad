"""Driver of card readers with NXP's PN532 on a serial line (HSU)."""

import logging
from collections.abc import Sequence

from hardware.drivers.elatec_twn4 import LetterCase
from hardware.links.line import SerialLine
from hardware.protocols.pn532 import (
    MAXIMUM_LENGTH,
    ONE_TRY,
    ONE_TYPE_A_CARD,
    SAM_NORMAL,
    WAKE_UP,
    Command,
    FoundCard,
    decode_answer,
    decode_firmware,
    encode_command,
    end_of_answer,
)
from station.domain.ports import DeviceFailed, ReaderSignal, Tag

logger = logging.getLogger(__name__)

# One try for a card takes some milliseconds; like any reader it is ill after 2 s of silence (fact sheet rfid.md).
TIMEOUT_S = 0.5
# Phones make up an id of four bytes that begins so, anew each time (ISO 14443-3, section 6.5.4).
_RANDOM_ID, _RANDOM_LENGTH = 0x08, 4


class Pn532:
    """A TagReader for ISO 14443 type A. It is set up anew whenever it answers again after a failure."""

    def __init__(self, port: str, *, reverse: bool = False, case: LetterCase = LetterCase.LOWER) -> None:
        self._line = SerialLine(port, baudrate=115_200, maximum_length=MAXIMUM_LENGTH, end_of=end_of_answer)
        self._reverse = reverse
        self._case = case
        self._is_set_up = False
        self._random: bytes | None = None

    async def open(self) -> None:
        """Take the line; the first poll sets the reader up, so a silent reader does not delay the start."""
        self._line.open()

    async def close(self) -> None:
        self._line.close()
        self._is_set_up = False

    async def poll(self) -> Sequence[Tag]:
        try:
            if not self._is_set_up:
                await self._ask(Command.SAM_CONFIGURATION, SAM_NORMAL, before=WAKE_UP)
                decode_firmware(await self._ask(Command.GET_FIRMWARE_VERSION))
                await self._ask(Command.RF_CONFIGURATION, ONE_TRY)
                self._is_set_up = True
            card = FoundCard.decode(await self._ask(Command.IN_LIST_PASSIVE_TARGET, ONE_TYPE_A_CARD))
        except DeviceFailed:
            self._is_set_up = False
            raise
        if card is None:
            return ()
        if len(card.uid) == _RANDOM_LENGTH and card.uid[0] == _RANDOM_ID:
            if card.uid != self._random:
                logger.info("a card with a random id cannot be recognised again: %s", card.uid.hex())
            self._random = card.uid
            return ()
        uid = (card.uid[::-1] if self._reverse else card.uid).hex()
        return (Tag(uid=uid.upper() if self._case is LetterCase.UPPER else uid, technology="ISO14443A"),)

    async def signal(self, signal: ReaderSignal) -> None:
        """Do nothing: the chip has neither light nor sound."""

    async def _ask(self, command: Command, parameters: bytes = b"", *, before: bytes = b"") -> bytes:
        request = before + encode_command(command, parameters)
        return decode_answer(await self._line.ask(request, timeout_s=TIMEOUT_S), command)
