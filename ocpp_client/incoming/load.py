"""How much of the backend's calls is being answered. Bounded by what it takes, so that a flood waits on the wire."""

import asyncio

from ocpp_client.connection.socket import MAX_MESSAGE_BYTES

# Two messages of the greatest size a connection takes: parsed and carried out, they cost several times their text.
MOST_BYTES = 2 * MAX_MESSAGE_BYTES
# A call costs something beside its text: its task, and the objects made of it.
_CALL_BYTES = 4096


class Load:
    """The bytes under way. Whoever reads asks for room before the next message, which may then be of any size."""

    def __init__(self) -> None:
        self._bytes = 0
        self._has_room = asyncio.Event()
        self._has_room.set()

    @property
    def bytes(self) -> int:
        """What is under way."""
        return self._bytes

    def add(self, size: int) -> None:
        """Count a call in."""
        self._bytes += size + _CALL_BYTES
        if self._bytes >= MOST_BYTES:
            self._has_room.clear()

    def remove(self, size: int) -> None:
        """Count it out."""
        self._bytes -= size + _CALL_BYTES
        if self._bytes < MOST_BYTES:
            self._has_room.set()

    async def room(self) -> None:
        """Wait until another call may come."""
        await self._has_room.wait()
