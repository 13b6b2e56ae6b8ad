"""What the configuration of each driver may and must say."""

from dataclasses import dataclass
from typing import Any

from hardware.drivers.config_data import gettext_noop


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

    def describe(self) -> tuple[str, dict[str, str]]:
        """Return a sentence for people about a value (`found`) that is not accepted, and its data."""
        if self.choices:
            choices = ", ".join(str(choice) for choice in self.choices)
            return gettext_noop("must be one of %(choices)s, not %(found)s"), {"choices": choices}
        if self.type is str:
            return gettext_noop("must be a text that is not empty, not %(found)s"), {}
        bounds = {"minimum": str(self.minimum), "maximum": str(self.maximum)}
        if self.maximum is None:
            return gettext_noop("must be %(minimum)s or more, not %(found)s"), bounds
        return gettext_noop("must be from %(minimum)s to %(maximum)s, not %(found)s"), bounds


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
