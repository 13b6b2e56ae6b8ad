"""A serial line of a device that tells without being asked; nothing is ever sent."""

import asyncio
from collections.abc import Callable

from hardware.links.backoff import PortBackoff
from hardware.links.port import PortFailed, SerialPort
from station.domain.ports import DeviceSilent


class ListeningLine:
    """One port, opened when somebody wants to hear and again after a loss."""

    def __init__(
        self,
        port: str,
        *,
        baudrate: int,
        on_received: Callable[[bytes], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._name = port
        self._baudrate = baudrate
        self._on_received = on_received
        self._on_lost = on_lost
        self._port: SerialPort | None = None
        self._backoff = PortBackoff()
        self._trouble = "the port was closed"
        self._is_open = False

    @property
    def trouble(self) -> str:
        """Why nothing is heard, for the log."""
        return f"{self._name}: {self._trouble}"

    def open(self) -> None:
        """Allow listening; `listen` opens the port."""
        self._is_open = True

    def close(self) -> None:
        """Close the port and listen no more."""
        self._is_open = False
        self._drop("the port was closed")

    def listen(self) -> None:
        """Open the port unless it is open; raises DeviceSilent when it is not there."""
        if self._port is not None:
            return
        now_s = asyncio.get_running_loop().time()
        if not self._is_open or not self._backoff.allows(now_s):
            raise DeviceSilent(self.trouble)
        try:
            port = SerialPort(self._name, on_received=self._on_received, on_lost=self._drop, baudrate=self._baudrate)
            self._port = port
            # What came while nobody listened is of an unknown age.
            port.forget_input()
        except PortFailed as error:
            self._backoff.failed(now_s)
            self._drop(str(error))
            raise DeviceSilent(self.trouble) from error
        self._backoff.succeeded()

    def _drop(self, trouble: str) -> None:
        port, self._port, self._trouble = self._port, None, trouble
        if port is not None:
            port.close()
        self._on_lost()
