"""The mobile modem of a real station."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NoModem:
    """A station that is connected by cable."""

    def status(self) -> None:
        return None
