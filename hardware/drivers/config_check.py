"""Checking of a hardware configuration: collects every mistake, so that an installer can correct them all at once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hardware.drivers.config_data import (
    ConnectorConfig,
    ControllerLampsConfig,
    DeviceConfig,
    GpioLampsConfig,
    HardwareConfig,
    HardwareConfigInvalid,
    Problem,
    ProblemCode,
    Role,
    gettext_noop,
)
from hardware.drivers.fields import FieldKind
from hardware.drivers.registry import CONTROLLERS, IO_MODULES, METERS, READERS
from hardware.links.serial_bus import Framing
from hardware.protocols.digital_io import MAXIMUM_INPUTS
from station.domain.faults import FaultCode
from station.domain.ports import MOST_PHASES, LampColour, Signal

FIELDS: Mapping[Role, Mapping[str, Mapping[str, FieldKind]]] = {
    Role.CONTROLLER: {name: driver.fields for name, driver in CONTROLLERS.items()},
    Role.METER: {name: driver.fields for name, driver in METERS.items()},
    Role.READER: {name: driver.fields for name, driver in READERS.items()},
    Role.IO: {name: driver.fields for name, driver in IO_MODULES.items()},
}
FRAMINGS: Mapping[str, Framing] = {
    name: driver.framing for drivers in (CONTROLLERS, METERS, IO_MODULES) for name, driver in drivers.items()
}


class Parser:
    """Walks through the configuration once and collects mistakes instead of stopping at the first."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self._connectors = 0

    def parse(self, data: object) -> HardwareConfig:
        connectors: list[ConnectorConfig] = []
        readers: list[DeviceConfig] = []
        io: DeviceConfig | None = None
        lamps: GpioLampsConfig | ControllerLampsConfig | None = None
        top = self._mapping(data, "configuration")
        if top is not None:
            self._only(top, {"connectors", "readers", "io", "lamps"}, "configuration")
            listed = self._list(top.get("connectors", []), "connectors")
            self._connectors = len(listed)
            if not listed:
                self._add(ProblemCode.NO_CONNECTOR, "connectors", gettext_noop("there is no charging point"))
            connectors = self._parse_connectors(listed)
            for number, item in enumerate(self._list(top.get("readers", []), "readers")):
                reader = self._device(item, Role.READER, f"readers[{number}]")
                readers += [reader] if reader is not None else []
            io = self._device(top["io"], Role.IO, "io") if top.get("io") is not None else None
            lamps = self._lamps(top["lamps"], connectors) if top.get("lamps") is not None else None
        config = HardwareConfig(connectors=tuple(connectors), readers=tuple(readers), io=io, lamps=lamps)
        self._check_ports(config)
        self._check_readers(config)
        if self._problems:
            raise HardwareConfigInvalid(tuple(self._problems))
        return config

    def _parse_connectors(self, listed: list[Any]) -> list[ConnectorConfig]:
        connectors = []
        for number, item in enumerate(listed):
            where = f"connectors[{number}]"
            fields = self._mapping(item, where)
            if fields is None:
                continue
            self._only(fields, {"controller", "meter", "phases"}, where)
            phases = self._value(fields.get("phases", MOST_PHASES), _PHASES, f"{where}.phases")
            if fields.get("controller") is None:
                text = gettext_noop("every charging point needs a controller")
                self._add(ProblemCode.MISSING, f"{where}.controller", text)
                controller = None
            else:
                controller = self._device(fields["controller"], Role.CONTROLLER, f"{where}.controller")
            meter = None
            if fields.get("meter") is None:
                # What cannot be measured cannot be billed, and the station never charges without a bill.
                self._add(ProblemCode.MISSING, f"{where}.meter", gettext_noop("every charging point needs a meter"))
            else:
                meter = self._device(fields["meter"], Role.METER, f"{where}.meter")
            if controller is not None:
                connectors.append(ConnectorConfig(controller=controller, meter=meter, phases=phases))
        return connectors

    def _device(self, data: object, role: Role, where: str) -> DeviceConfig | None:
        fields = self._mapping(data, where)
        if fields is None:
            return None
        driver = fields.get("driver")
        known = FIELDS[role]
        if not isinstance(driver, str) or driver not in known:
            names = ", ".join(sorted(known))
            self._add(
                ProblemCode.UNKNOWN_DRIVER,
                f"{where}.driver",
                _NO_DRIVER[role],
                driver=repr(driver),
                known=names,
            )
            return None
        self._only(fields, {"driver", *known[driver]}, where)
        options: dict[str, Any] = {}
        for name, kind in known[driver].items():
            if name in fields:
                options[name] = self._value(fields[name], kind, f"{where}.{name}")
            elif kind.required:
                self._add(ProblemCode.MISSING, f"{where}.{name}", _MISSING)
            else:
                options[name] = kind.default
        if "inputs" in options:
            options["inputs"] = self._inputs(options["inputs"], f"{where}.inputs")
        return DeviceConfig(role=role, driver=driver, where=where, options=options)

    def _lamps(self, data: object, connectors: list[ConnectorConfig]) -> GpioLampsConfig | ControllerLampsConfig | None:
        fields = self._mapping(data, "lamps")
        if fields is None:
            return None
        if "outputs" in fields:
            self._only(fields, {"outputs"}, "lamps")
            return self._controller_lamps(fields["outputs"], connectors)
        self._only(fields, {"chip", "active_low", "lines"}, "lamps")
        lines: list[Mapping[str, int]] = []
        taken: set[int] = set()
        for place, lamp in self._lamp_entries(fields.get("lines", []), "lamps.lines"):
            known = {name: value for name, value in lamp.items() if name in _LAMP_FIELDS}
            lines.append(
                {name: self._value(value, _LAMP_FIELDS[name], f"{place}.{name}") for name, value in known.items()}
            )
            self._one_lamp_each(lamp, lines[:-1], place)
            for line in (value for name, value in known.items() if name != "connector" and isinstance(value, int)):
                if line in taken:
                    text = gettext_noop("line %(input)s has another meaning already")
                    self._add(ProblemCode.DUPLICATE_INPUT, place, text, input=str(line))
                taken.add(line)
        return GpioLampsConfig(
            chip=self._value(fields.get("chip", "/dev/gpiochip0"), _LAMP_CHIP, "lamps.chip"),
            active_low=self._value(fields.get("active_low", False), FieldKind(type=bool), "lamps.active_low"),
            lines=tuple(lines),
        )

    def _controller_lamps(self, listed: object, connectors: list[ConnectorConfig]) -> ControllerLampsConfig:
        lamps: list[Mapping[str, Any]] = []
        for place, lamp in self._lamp_entries(listed, "lamps.outputs"):
            connector = self._value(lamp.get("connector", 1), _LAMP_FIELDS["connector"], f"{place}.connector")
            outputs = {name: value for name, value in lamp.items() if name in _LAMP_FIELDS and name != "connector"}
            driver = connectors[connector - 1].controller.driver if 0 < connector <= len(connectors) else None
            offered = CONTROLLERS[driver].outputs if driver is not None else ()
            if driver is not None and not offered:
                names = ", ".join(sorted(name for name, each in CONTROLLERS.items() if each.outputs))
                text = gettext_noop("the controller %(driver)s has no outputs for a lamp; %(known)s have")
                self._add(ProblemCode.NO_OUTPUTS, place, text, driver=driver, known=names)
            elif driver is not None:
                kind = FieldKind(type=str, choices=offered)
                outputs = {name: self._value(value, kind, f"{place}.{name}") for name, value in outputs.items()}
                taken = list(outputs.values())
                if twice := next((each for each in taken if taken.count(each) > 1), None):
                    text = gettext_noop("output %(input)s has another colour already")
                    self._add(ProblemCode.DUPLICATE_INPUT, place, text, input=str(twice))
            self._one_lamp_each(lamp, lamps, place)
            lamps.append({"connector": connector, **outputs})
        return ControllerLampsConfig(outputs=tuple(lamps))

    def _lamp_entries(self, listed: object, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Go through the lamps of a list, each with its place; what is no lamp at all is told and left out."""
        for number, item in enumerate(self._list(listed, where)):
            place = f"{where}[{number}]"
            lamp = self._mapping(item, place)
            if lamp is None:
                continue
            self._only(lamp, set(_LAMP_FIELDS), place)
            if "connector" not in lamp:
                self._add(ProblemCode.MISSING, f"{place}.connector", _MISSING)
            yield place, lamp

    def _one_lamp_each(self, lamp: Mapping[str, Any], others: Sequence[Mapping[str, Any]], place: str) -> None:
        connector = lamp.get("connector")
        if connector is not None and any(each.get("connector") == connector for each in others):
            text = gettext_noop("charging point %(connector)s has a lamp already")
            self._add(ProblemCode.DUPLICATE_LAMP, f"{place}.connector", text, connector=str(connector))

    def _inputs(self, listed: object, where: str) -> list[dict[str, Any]]:
        inputs: list[dict[str, Any]] = []
        for number, item in enumerate(self._list(listed, where)):
            place = f"{where}[{number}]"
            fields = self._mapping(item, place)
            if fields is None:
                continue
            self._only(fields, set(_INPUT_FIELDS), place)
            if "input" not in fields:
                self._add(ProblemCode.MISSING, f"{place}.input", _MISSING)
            if "signal" in fields:
                self._check_signal(fields, place)
            elif "code" not in fields:
                text = gettext_noop('is missing (a fault), or "signal" instead of it')
                self._add(ProblemCode.MISSING, f"{place}.code", text)
            checked = {
                name: self._value(value, _INPUT_FIELDS[name], f"{place}.{name}")
                for name, value in fields.items()
                if name in _INPUT_FIELDS
            }
            if isinstance(checked.get("code"), str) and checked["code"] not in {code.value for code in FaultCode}:
                text = gettext_noop("%(fault)s is no fault")
                self._add(ProblemCode.UNKNOWN_CODE, f"{place}.code", text, fault=repr(checked["code"]))
            inputs.append(checked)
        self._check_twice(inputs, where)
        return inputs

    def _check_signal(self, fields: dict[str, Any], place: str) -> None:
        known = [signal.value for signal in Signal]
        signal = fields["signal"]
        if isinstance(signal, str) and signal not in known:
            text = gettext_noop("%(signal)s is no signal; there is %(known)s")
            self._add(ProblemCode.UNKNOWN_SIGNAL, f"{place}.signal", text, signal=repr(signal), known=", ".join(known))
        reasons = {
            "code": gettext_noop("an input is either a fault or a signal: leave one of them out"),
            "connector": gettext_noop("a signal is one of the whole station: leave it out"),
            "active_low": gettext_noop("which position is active is set on the page of the signal: leave it out"),
        }
        for name, reason in reasons.items():
            if name in fields:
                self._add(ProblemCode.SIGNAL_FIELD, f"{place}.{name}", reason, field=name)

    def _check_twice(self, inputs: list[dict[str, Any]], where: str) -> None:
        """Refuse equal entries; one contact may mean the same fault at several points, but a signal stands alone."""
        entries = [
            (item.get("input"), item.get("code"), item.get("signal"), item.get("connector", 0)) for item in inputs
        ]
        for number, entry in enumerate(entries):
            place, (used, _, signal, _) = f"{where}[{number}]", entry
            earlier = entries[:number]
            if entry in earlier:
                self._add(ProblemCode.DUPLICATE_INPUT, place, gettext_noop("stands twice in the list"), input=str(used))
            elif signal is not None and any(other[2] == signal for other in earlier):
                text = gettext_noop("the signal %(signal)s has an input already")
                self._add(ProblemCode.DUPLICATE_INPUT, place, text, input=str(used), signal=repr(signal))
            elif used is not None and any(other[0] == used and (other[2] or signal) for other in earlier):
                text = gettext_noop("input %(input)s has another meaning already, and that of a signal must be its own")
                self._add(ProblemCode.DUPLICATE_INPUT, place, text, input=str(used))

    def _value(self, value: Any, kind: FieldKind, where: str) -> Any:
        if value is None and kind.nullable:
            return None
        # bool is a subclass of int, but JSON tells them apart.
        if not isinstance(value, kind.type) or (isinstance(value, bool) and kind.type is not bool):
            self._add(ProblemCode.WRONG_TYPE, where, _WRONG_TYPE[kind.type], found=repr(value))
        elif not kind.accepts(value):
            template, allowed = kind.describe()
            self._add(ProblemCode.OUT_OF_RANGE, where, template, found=repr(value), **allowed)
        elif kind.connector and not 0 <= value <= self._connectors:
            text = gettext_noop("there is no charging point %(connector)s")
            self._add(ProblemCode.NO_SUCH_CONNECTOR, where, text, connector=str(value))
        return value

    def _check_ports(self, config: HardwareConfig) -> None:
        first_on_port: dict[str, DeviceConfig] = {}
        addresses: dict[tuple[str, int], DeviceConfig] = {}
        for device in config.devices():
            if not isinstance(device.options.get("port"), str):
                continue
            first = first_on_port.setdefault(device.port, device)
            if first is not device:
                self._check_pair(first, device)
            address = device.options.get("address")
            if isinstance(address, int) and not isinstance(address, bool):
                other = addresses.setdefault((device.port, address), device)
                if other is not device:
                    self._add(
                        ProblemCode.DUPLICATE_ADDRESS,
                        f"{device.where}.address",
                        gettext_noop("%(other)s has address %(address)s on %(port)s too"),
                        other=other.where,
                        address=str(address),
                        port=device.port,
                    )

    def _check_pair(self, first: DeviceConfig, device: DeviceConfig) -> None:
        # What has no address cannot share its line with anybody: readers, and meters that push.
        if alone := next((each for each in (first, device) if "address" not in each.options), None):
            if alone.role is Role.READER:
                text = gettext_noop("%(other)s uses %(port)s too, and a reader needs a port of its own")
            else:
                text = gettext_noop(
                    "%(other)s uses %(port)s too, and a device of the driver %(driver)s needs a port of its own"
                )
            told = {"other": first.where, "port": device.port, "driver": alone.driver}
            self._add(ProblemCode.PORT_SHARED, f"{device.where}.port", text, **told)
            return
        spoken, of_first = FRAMINGS[device.driver], FRAMINGS[first.driver]
        if spoken is not of_first:
            self._add(
                ProblemCode.DIFFERENT_SETTINGS,
                f"{device.where}.driver",
                gettext_noop("speaks %(spoken)s, but %(other)s on the same port speaks %(of_other)s"),
                spoken=spoken.value,
                other=first.where,
                of_other=of_first.value,
            )
        for name in ("baudrate", "parity", "stopbits", "echo"):
            if first.options.get(name) != device.options.get(name):
                self._add(
                    ProblemCode.DIFFERENT_SETTINGS,
                    f"{device.where}.{name}",
                    gettext_noop("is %(value)s, but %(other)s on the same port has %(of_other)s"),
                    value=repr(device.options.get(name)),
                    other=first.where,
                    of_other=repr(first.options.get(name)),
                )

    def _check_readers(self, config: HardwareConfig) -> None:
        places = [reader.options.get("connector") for reader in config.readers]
        for number, place in enumerate(places):
            if place in places[:number]:
                if place is None:
                    text = gettext_noop("the whole station has a reader already")
                else:
                    text = gettext_noop("charging point %(connector)s has a reader already")
                self._add(ProblemCode.DUPLICATE_READER, f"readers[{number}]", text, connector=str(place))

    def _mapping(self, data: object, where: str) -> dict[str, Any] | None:
        if isinstance(data, dict):
            return data
        self._add(ProblemCode.WRONG_TYPE, where, _WRONG_TYPE[dict], found=repr(data))
        return None

    def _list(self, data: object, where: str) -> list[Any]:
        if isinstance(data, list):
            return data
        self._add(ProblemCode.WRONG_TYPE, where, _WRONG_TYPE[list], found=repr(data))
        return []

    def _only(self, fields: dict[str, Any], known: set[str], where: str) -> None:
        for name in fields:
            if name not in known:
                self._add(ProblemCode.UNKNOWN_FIELD, f"{where}.{name}", gettext_noop("is not known here"))

    def _add(self, code: ProblemCode, where: str, template: str, **data: str) -> None:
        self._problems.append(Problem(code=code, where=where, template=template, data=data))


_MISSING = gettext_noop("is missing")
_WRONG_TYPE: Mapping[type[Any], str] = {
    str: gettext_noop("must be a text, not %(found)s"),
    int: gettext_noop("must be a whole number, not %(found)s"),
    bool: gettext_noop("must be true or false, not %(found)s"),
    list: gettext_noop("must be a list, not %(found)s"),
    dict: gettext_noop("must be an object, not %(found)s"),
}
_NO_DRIVER: Mapping[Role, str] = {
    Role.CONTROLLER: gettext_noop("there is no driver %(driver)s for controllers; there is %(known)s"),
    Role.METER: gettext_noop("there is no driver %(driver)s for meters; there is %(known)s"),
    Role.READER: gettext_noop("there is no driver %(driver)s for readers; there is %(known)s"),
    Role.IO: gettext_noop("there is no driver %(driver)s for input/output modules; there is %(known)s"),
}
_PHASES = FieldKind(type=int, choices=(1, MOST_PHASES))
_LAMP_CHIP = FieldKind(type=str)
_LAMP_FIELDS: dict[str, FieldKind] = {
    "connector": FieldKind(type=int, connector=True, minimum=1),
    # Offsets of lines at a chip, as `gpioinfo` numbers them.
    **{
        colour.value: FieldKind(type=int, minimum=0, maximum=1023)
        for colour in LampColour
        if colour is not LampColour.OFF
    },
}
_INPUT_FIELDS: dict[str, FieldKind] = {
    "input": FieldKind(type=int, minimum=0, maximum=MAXIMUM_INPUTS - 1),
    "code": FieldKind(type=str),
    "connector": FieldKind(type=int, connector=True, minimum=0),
    "active_low": FieldKind(type=bool),
    "signal": FieldKind(type=str),
}
