"""The four live tables of the Connectors page."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from station.domain.snapshot import PointSnapshot
from station.ui import format as formats
from station.ui import words
from station.web.present import Present, recorded

_PHASES = ("L1", "L2", "L3")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A value under its column's name, which narrow screens show beside it."""

    column: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with a heading; the first cell of a row names the row."""

    id: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def all_tables(present: Present) -> tuple[Table, ...]:
    """Return the tables in the order of the page."""
    points = [present.connector(number) or recorded(number) for number in present.connector_numbers]
    return (_generic(points), _status(points), _meter(points), _power(points))


def _table(name: str, title: str, columns: list[str], rows: Iterator[list[str]]) -> Table:
    named = tuple(columns)
    return Table(
        id=f"table-{name}",
        title=title,
        columns=named,
        rows=tuple(
            tuple(Cell(column=column, value=value or formats.MISSING) for column, value in zip(named, row, strict=True))
            for row in rows
        ),
    )


def _generic(points: list[PointSnapshot]) -> Table:
    def row(point: PointSnapshot) -> list[str]:
        return [
            str(point.number),
            point.controller.model,
            point.controller.hardware_id,
            point.controller.firmware,
        ]

    columns = [_("EVSE"), _("Type"), _("Hardware ID"), _("Firmware version")]
    return _table("generic", _("Generic information"), columns, map(row, points))


def _status(points: list[PointSnapshot]) -> Table:
    def row(point: PointSnapshot) -> list[str]:
        return [
            str(point.number),
            _yes_no(bool(point.session)),
            _yes_no(point.operative),
            _either(point.contactor, pgettext("contactor", "closed"), pgettext("contactor", "open")),
            _cable(point),
            _either(point.locked, pgettext("lock", "locked"), pgettext("lock", "open")),
            words.faults(list(point.faults)) or _("none"),
            _pilot(point),
        ]

    columns = [
        _("EVSE"),
        _("In use"),
        _("Enabled"),
        _("Contactor"),
        _("Cable"),
        _("Lock"),
        _("Error"),
        _("CP state"),
    ]
    return _table("status", _("Status"), columns, map(row, points))


def _meter(points: list[PointSnapshot]) -> Table:
    def row(point: PointSnapshot) -> list[str]:
        return [
            str(point.number),
            f"{point.meter.vendor} {point.meter.model}".strip(),
            point.meter.serial,
            formats.kilowatt_hours(point.energy_wh, decimals=3),
        ]

    columns = [_("EVSE"), _("Model"), _("Serial number"), _("Energy")]
    return _table("meter", _("Meter"), columns, map(row, points))


def _power(points: list[PointSnapshot]) -> Table:
    def rows() -> Iterator[list[str]]:
        for point in points:
            for name, voltage, current in zip(_PHASES, point.voltages_mv, point.currents_ma, strict=True):
                yield [
                    str(point.number),
                    name,
                    formats.volt(voltage),
                    formats.ampere(current, decimals=2),
                    formats.ampere(point.limit_ma),
                ]

    columns = [_("EVSE"), _("Phase"), _("Voltage"), _("Current"), _("Limit")]
    return _table("power", _("Power"), columns, rows())


def _either(value: bool | None, yes: str, no: str) -> str:  # noqa: FBT001 - the value is shown
    return formats.MISSING if value is None else yes if value else no


def _yes_no(value: bool | None) -> str:  # noqa: FBT001 - the value is shown
    return _either(value, _("yes"), _("no"))


def _cable(point: PointSnapshot) -> str:
    if not point.plugged:
        return _either(point.plugged, "", pgettext("cable", "none"))
    return formats.ampere(point.cable_ma) if point.cable_ma else _("plugged in")


def _pilot(point: PointSnapshot) -> str:
    pilot = point.pilot
    if not pilot:
        return ""
    letter = f"{pilot}{2 if point.pwm else 1}" if pilot in "ABCD" else pilot
    return f"{letter} – {words.word(words.PILOTS, pilot)}"
