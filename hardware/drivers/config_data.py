"""What a hardware configuration says, and what can be wrong with it, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from station.domain.ports import MOST_PHASES


class Role(StrEnum):
    """What a device is for."""

    CONTROLLER = "controller"
    METER = "meter"
    READER = "reader"
    IO = "io"


class ProblemCode(StrEnum):
    """What is wrong with a configuration."""

    FILE_UNREADABLE = "file-unreadable"
    NOT_JSON = "not-json"
    WRONG_TYPE = "wrong-type"
    MISSING = "missing"
    UNKNOWN_FIELD = "unknown-field"
    UNKNOWN_DRIVER = "unknown-driver"
    OUT_OF_RANGE = "out-of-range"
    UNKNOWN_CODE = "unknown-code"
    NO_SUCH_CONNECTOR = "no-such-connector"
    NO_CONNECTOR = "no-connector"
    DUPLICATE_ADDRESS = "duplicate-address"
    DIFFERENT_SETTINGS = "different-settings"
    PORT_SHARED = "port-shared"
    DUPLICATE_INPUT = "duplicate-input"
    UNKNOWN_SIGNAL = "unknown-signal"
    SIGNAL_FIELD = "signal-field"
    DUPLICATE_READER = "duplicate-reader"
    DUPLICATE_LAMP = "duplicate-lamp"
    NO_OUTPUTS = "no-outputs"


def gettext_noop(text: str) -> str:
    """Mark a text for the translators; drivers know no Django, whoever shows the text translates it."""
    return text


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One mistake: its code, the place in the file, and an English sentence with its data, for translation."""

    code: ProblemCode
    where: str
    template: str
    data: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The sentence in English."""
        return self.template % self.data


class HardwareConfigInvalid(Exception):
    """The hardware configuration cannot be used; `problems` names every mistake."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(f"{problem.where}: {problem.text}" for problem in problems))
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class DeviceConfig:
    """One device: its driver, its port and every option of the driver, defaults filled in."""

    role: Role
    driver: str
    where: str
    options: Mapping[str, Any]

    @property
    def port(self) -> str:
        """The serial port."""
        return str(self.options["port"])


@dataclass(frozen=True, kw_only=True)
class ConnectorConfig:
    """The devices of one charging point, and by how many phases it is connected to the mains."""

    controller: DeviceConfig
    meter: DeviceConfig | None
    phases: int = MOST_PHASES


@dataclass(frozen=True, kw_only=True)
class GpioLampsConfig:
    """Lamps at GPIO lines: of each charging point the line of each colour."""

    chip: str
    active_low: bool
    lines: tuple[Mapping[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class ControllerLampsConfig:
    """Lamps at outputs of the controllers: of each charging point the output of each colour."""

    outputs: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class HardwareConfig:
    """The devices of the station; the charging point with number n is `connectors[n - 1]`."""

    connectors: tuple[ConnectorConfig, ...]
    readers: tuple[DeviceConfig, ...] = ()
    io: DeviceConfig | None = None
    lamps: GpioLampsConfig | ControllerLampsConfig | None = None

    def devices(self) -> tuple[DeviceConfig, ...]:
        """List every device."""
        of_connectors = [
            device for item in self.connectors for device in (item.controller, item.meter) if device is not None
        ]
        return (*of_connectors, *self.readers, *([self.io] if self.io is not None else []))
