"""Every driver by the name the hardware configuration calls it: its fields and how to make one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from hardware.drivers.abb_b23 import AbbB23
from hardware.drivers.abl_evcc import AblEvcc
from hardware.drivers.eastron_sdm import EastronSdm
from hardware.drivers.elatec_twn4 import ElatecTwn4, LetterCase
from hardware.drivers.fields import FieldKind, modbus_fields
from hardware.drivers.flashable_ev_cc import FlashableEvCc
from hardware.drivers.mennekes_amtron import MennekesAmtron
from hardware.drivers.modbus_io import InputAssignment, ModbusIo, SignalAssignment
from hardware.drivers.ocmf_meter import OcmfMeter
from hardware.drivers.phoenix_ev_cc import OUTPUTS, PhoenixEvCc
from hardware.drivers.pn532 import Pn532
from hardware.drivers.sml_meter import SmlMeter
from hardware.drivers.stx_etx import StxEtxReader
from hardware.links.serial_bus import BusSettings, Framing, SerialBus
from hardware.protocols import stx_etx
from hardware.protocols.eastron import Model
from hardware.protocols.sml import Checksum
from station.domain.faults import FaultCode
from station.domain.ports import EvseController, Meter, Signal, StationIo, TagReader

Device_co = TypeVar("Device_co", covariant=True)


class Buses:
    """The Modbus buses of the station, one to a port, made when the first device asks for it."""

    def __init__(self) -> None:
        self._by_port: dict[str, SerialBus] = {}

    def bus(self, options: Mapping[str, Any], framing: Framing = Framing.RTU) -> SerialBus:
        """Return the bus of a device; the configuration check ensures that settings on one port agree."""
        settings = BusSettings(
            port=options["port"],
            baudrate=options["baudrate"],
            parity=options["parity"],
            stopbits=options["stopbits"],
            echo=options["echo"],
            framing=framing,
        )
        return self._by_port.setdefault(settings.port, SerialBus(settings))


@dataclass(frozen=True, kw_only=True)
class Driver(Generic[Device_co]):
    """A driver. `make` gets the options, the buses, and the charging point (None: the station's device).

    `framing`: how it speaks on its bus, if it is on one; devices on one port speak alike. `outputs`: of a controller,
    the switching outputs it has for a lamp.
    """

    fields: Mapping[str, FieldKind]
    make: Callable[[Mapping[str, Any], Buses, int | None], Device_co]
    framing: Framing = Framing.RTU
    outputs: tuple[str, ...] = ()


def _phoenix(kind: type[PhoenixEvCc]) -> Callable[[Mapping[str, Any], Buses, int | None], PhoenixEvCc]:
    def make(options: Mapping[str, Any], buses: Buses, connector_id: int | None) -> PhoenixEvCc:
        surge_contact = options["surge_contact"]
        return kind(
            buses.bus(options),
            address=options["address"],
            commission=options["commission"],
            # The contact of the surge arrester is wired to the first board of a station.
            surge_contact=connector_id == 1 if surge_contact is None else surge_contact,
        )

    return make


def _abl(options: Mapping[str, Any], buses: Buses, _connector_id: int | None) -> AblEvcc:
    return AblEvcc(buses.bus(options, Framing.ABL_ASCII), address=options["address"])


def _amtron(options: Mapping[str, Any], buses: Buses, _connector_id: int | None) -> MennekesAmtron:
    return MennekesAmtron(buses.bus(options), address=options["address"])


def _sdm(model: Model) -> Callable[[Mapping[str, Any], Buses, int | None], EastronSdm]:
    def make(options: Mapping[str, Any], buses: Buses, _connector_id: int | None) -> EastronSdm:
        return EastronSdm(
            buses.bus(options),
            address=options["address"],
            model=model,
            public_key_registers=options["public_key_registers"],
        )

    return make


def _b23(options: Mapping[str, Any], buses: Buses, _connector_id: int | None) -> AbbB23:
    return AbbB23(buses.bus(options), address=options["address"])


def _ocmf(options: Mapping[str, Any], buses: Buses, _connector_id: int | None) -> OcmfMeter:
    return OcmfMeter(buses.bus(options), address=options["address"])


def _sml(options: Mapping[str, Any], _buses: Buses, _connector_id: int | None) -> SmlMeter:
    return SmlMeter(options["port"], baudrate=options["baudrate"], checksum=Checksum(options["crc"]))


def _twn4(options: Mapping[str, Any], _buses: Buses, _connector_id: int | None) -> ElatecTwn4:
    return ElatecTwn4(
        options["port"],
        baudrate=options["baudrate"],
        reverse=options["reverse"],
        case=LetterCase(options["case"]),
        max_bytes=options["max_bytes"],
    )


def _pn532(options: Mapping[str, Any], _buses: Buses, _connector_id: int | None) -> Pn532:
    return Pn532(options["port"], reverse=options["reverse"], case=LetterCase(options["case"]))


def _stx_etx(options: Mapping[str, Any], _buses: Buses, _connector_id: int | None) -> StxEtxReader:
    return StxEtxReader(
        options["port"],
        baudrate=options["baudrate"],
        dialect=stx_etx.Dialect(
            prefix=_FRAMING_BYTES[options["prefix"]],
            suffix=_FRAMING_BYTES[options["suffix"]],
            encoding=stx_etx.Encoding(options["encoding"]),
            checksum=stx_etx.Checksum(options["checksum"]),
            length=options["length"],
        ),
        reverse=options["reverse"],
        case=LetterCase(options["case"]),
    )


def _modbus_io(options: Mapping[str, Any], buses: Buses, _connector_id: int | None) -> ModbusIo:
    faults = [item for item in options["inputs"] if "signal" not in item]
    return ModbusIo(
        buses.bus(options),
        address=options["address"],
        inputs=[InputAssignment(**item | {"code": FaultCode(item["code"])}) for item in faults],
        signals=[
            SignalAssignment(input=item["input"], signal=Signal(item["signal"]))
            for item in options["inputs"]
            if "signal" in item
        ],
    )


_PHOENIX_FIELDS = {
    # DIP switch S2/1 of the board.
    **modbus_fields((9600, 19200)),
    "commission": FieldKind(type=bool, default=False),
    # None: at the first charging point only.
    "surge_contact": FieldKind(type=bool, nullable=True),
}
# ABL 05 0015 20 Rev. B: ids 1 to 16; register 3 sets the line, 38400 8E1 is how boards come.
_ABL_FIELDS = modbus_fields((9600, 19200, 38400, 57600), baudrate=38400, parity="E", largest_address=16)
# MENNEKES Modbus RTU Specification 1.2: 57600 8N2, address 50, or 11 to 14.
_AMTRON_FIELDS = modbus_fields((57600,), baudrate=57600, stopbits=2)
_SDM_FIELDS = {
    # Eastron protocol documents: baud rates of the SDM630 and SDM72D-M.
    **modbus_fields((1200, 2400, 4800, 9600, 19200, 38400)),
    "public_key_registers": FieldKind(type=bool, default=False),
}
# ABB 2CMC485003M0201: baud rates and parity are chosen at the meter's menu.
_B23_FIELDS = modbus_fields((1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200))
_OCMF_FIELDS = modbus_fields((9600, 19200, 38400, 57600, 115200))
_SML_FIELDS = {
    "port": FieldKind(type=str, required=True),
    "baudrate": FieldKind(type=int, default=9600, choices=(9600, 19200, 38400, 57600, 115200)),
    "crc": FieldKind(type=str, default="x25", choices=tuple(checksum.value for checksum in Checksum)),
}
_TWN4_FIELDS = {
    "port": FieldKind(type=str, required=True),
    "baudrate": FieldKind(type=int, default=9600, choices=(9600, 19200, 38400, 57600, 115200)),
    "connector": FieldKind(type=int, nullable=True, minimum=1, connector=True),
    "reverse": FieldKind(type=bool, default=False),
    "case": FieldKind(type=str, default="lower", choices=tuple(case.value for case in LetterCase)),
    "max_bytes": FieldKind(type=int, default=10, minimum=4, maximum=10),
}
_READER_FIELDS = {name: _TWN4_FIELDS[name] for name in ("port", "connector", "reverse", "case")}
# How the characters around an id are named in the configuration.
_FRAMING_BYTES = {"STX": b"\x02", "ETX": b"\x03", "CR": b"\r", "LF": b"\n", "CR LF": b"\r\n"}
_STX_ETX_FIELDS = {
    **_READER_FIELDS,
    "baudrate": _TWN4_FIELDS["baudrate"],
    "prefix": FieldKind(type=str, default="STX", choices=tuple(_FRAMING_BYTES)),
    "suffix": FieldKind(type=str, default="ETX", choices=tuple(_FRAMING_BYTES)),
    "encoding": FieldKind(type=str, default="hex", choices=tuple(each.value for each in stx_etx.Encoding)),
    "checksum": FieldKind(type=str, default="xor", choices=tuple(each.value for each in stx_etx.Checksum)),
    "length": FieldKind(type=int, default=5, minimum=1, maximum=10),
}
_IO_FIELDS = {
    **modbus_fields((1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)),
    "inputs": FieldKind(type=list, default=[]),
}

CONTROLLERS: Mapping[str, Driver[EvseController]] = {
    "phoenix_ev_cc": Driver(fields=_PHOENIX_FIELDS, make=_phoenix(PhoenixEvCc), outputs=OUTPUTS),
    "flashable_ev_cc": Driver(fields=_PHOENIX_FIELDS, make=_phoenix(FlashableEvCc), outputs=OUTPUTS),
    "mennekes_amtron": Driver(fields=_AMTRON_FIELDS, make=_amtron),
    "abl_evcc": Driver(fields=_ABL_FIELDS, make=_abl, framing=Framing.ABL_ASCII),
}
METERS: Mapping[str, Driver[Meter]] = {
    "eastron_sdm630": Driver(fields=_SDM_FIELDS, make=_sdm(Model.SDM630)),
    "eastron_sdm72": Driver(fields=_SDM_FIELDS, make=_sdm(Model.SDM72)),
    "eastron_sdm72_v1": Driver(fields=_SDM_FIELDS, make=_sdm(Model.SDM72_V1)),
    "abb_b23": Driver(fields=_B23_FIELDS, make=_b23),
    "ocmf_meter": Driver(fields=_OCMF_FIELDS, make=_ocmf),
    "sml": Driver(fields=_SML_FIELDS, make=_sml),
}
READERS: Mapping[str, Driver[TagReader]] = {
    "elatec_twn4": Driver(fields=_TWN4_FIELDS, make=_twn4),
    "pn532": Driver(fields=_READER_FIELDS, make=_pn532),
    "stx_etx": Driver(fields=_STX_ETX_FIELDS, make=_stx_etx),
}
IO_MODULES: Mapping[str, Driver[StationIo]] = {
    "modbus_io": Driver(fields=_IO_FIELDS, make=_modbus_io),
}
