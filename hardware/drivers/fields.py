"""What the configuration of each driver may and must say."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class FieldKind:
    """One field: its JSON type, and what values it takes. `connector`: a charging point that must exist."""

    type: type[Any]
    required: bool = False
    default: Any = None
    nullable: bool = False
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[Any, ...] = ()
    connector: bool = False

    def accepts(self, value: Any) -> bool:
        """Return whether a value of the right type is in range."""
        if self.choices:
            return value in self.choices
        if self.type is str:
            return bool(value.strip())
        return (self.minimum is None or value >= self.minimum) and (self.maximum is None or value <= self.maximum)

    def describe(self) -> str:
        """Write the range for people."""
        if self.choices:
            return "one of " + ", ".join(str(choice) for choice in self.choices)
        if self.type is str:
            return "a text that is not empty"
        if self.maximum is None:
            return f"{self.minimum} or more"
        return f"from {self.minimum} to {self.maximum}"


# MODBUS over serial line V1.02, section 2.2: addresses of slaves.
LARGEST_ADDRESS = 247


def modbus_fields(
    baudrates: tuple[int, ...],
    *,
    baudrate: int = 9600,
    parity: str = "N",
    stopbits: int = 1,
    largest_address: int = LARGEST_ADDRESS,
) -> dict[str, FieldKind]:
    """List the fields of every device on a Modbus bus, with the settings its maker delivers it with."""
    return {
        "port": FieldKind(type=str, required=True),
        "address": FieldKind(type=int, required=True, minimum=1, maximum=largest_address),
        "baudrate": FieldKind(type=int, default=baudrate, choices=baudrates),
        "parity": FieldKind(type=str, default=parity, choices=("N", "E", "O")),
        "stopbits": FieldKind(type=int, default=stopbits, choices=(1, 2)),
        "echo": FieldKind(type=bool, default=False),
    }
