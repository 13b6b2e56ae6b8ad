"""Driver of card readers that send the id of a card by themselves, between a prefix and a suffix."""

from collections.abc import Sequence

from hardware.drivers.elatec_twn4 import LetterCase
from hardware.links.listening import ListeningLine
from hardware.protocols.stx_etx import Dialect
from station.domain.ports import DeviceGarbled, ReaderSignal, Tag

# Some readers end a line after an id.
_BLANK = b"\r\n\0 "


class StxEtxReader:
    """A TagReader that only listens: a reader that says nothing may be ill or have no card, nobody can tell.

    A port that is gone is told, and so is noise. A reader that repeats a card while it lies there is welcome: whoever
    polls takes what comes close together for one tap.
    """

    def __init__(
        self,
        port: str,
        *,
        baudrate: int = 9600,
        dialect: Dialect,
        reverse: bool = False,
        case: LetterCase = LetterCase.LOWER,
    ) -> None:
        self._line = ListeningLine(port, baudrate=baudrate, on_received=self._on_received, on_lost=self._on_lost)
        self._dialect = dialect
        self._reverse = reverse
        self._case = case
        self._buffer = b""
        # In the order they came, each once.
        self._heard: dict[str, None] = {}
        self._noise: DeviceGarbled | None = None

    async def open(self) -> None:
        """Take the line; the first poll opens the port."""
        self._line.open()

    async def close(self) -> None:
        self._line.close()

    async def poll(self) -> Sequence[Tag]:
        self._line.listen()
        heard, self._heard = self._heard, {}
        noise, self._noise = self._noise, None
        # A card that was read well counts more than noise around it.
        if noise is not None and not heard:
            raise noise
        return tuple(Tag(uid=uid, technology="serial") for uid in heard)

    async def signal(self, signal: ReaderSignal) -> None:
        """Do nothing: nothing is ever sent to these readers."""

    def _on_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            noise, body, self._buffer = self._dialect.cut(self._buffer)
            if noise.strip(_BLANK):
                self._noise = DeviceGarbled(f"no beginning of an id: {noise[-40:]!r}")
            if body is None:
                break
            if not body:
                continue
            try:
                uid = self._dialect.decode(body)
            except DeviceGarbled as error:
                self._noise = error
                continue
            text = (uid[::-1] if self._reverse else uid).hex()
            self._heard[text.upper() if self._case is LetterCase.UPPER else text] = None
        if len(self._buffer) > self._dialect.longest:
            self._noise = DeviceGarbled(f"an id without an end: {self._buffer[:40]!r}")
            self._buffer = b""

    def _on_lost(self) -> None:
        self._buffer = b""
