"""The four live tables of the Connectors page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from station.domain.snapshot import PointSnapshot
from station.ui import format as formats
from station.ui import words
from station.web.present import Present, recorded

_PHASES = ("L1", "L2", "L3")


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column; numbers stand right-aligned under one another."""

    label: str
    is_number: bool = False


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A value under its column, whose name narrow screens show beside it."""

    column: Column
    value: str


Row = tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class Group:
    """The rows of one charging point; narrow screens show its number, and what holds for all rows, as a heading."""

    number: int
    rows: tuple[Row, ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with a heading. `is_compact`: it stays a table on narrow screens, without its last column.

    What that says then stands in the heading of each group.
    """

    id: str
    title: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    is_compact: bool = False


def all_tables(present: Present) -> tuple[Table, ...]:
    """Return the tables in the order of the page."""
    points = [present.connector(number) or recorded(number) for number in present.connector_numbers]
    return (_generic(points), _status(points), _meter(points), _power(points))


def _table(
    name: str,
    title: str,
    columns: list[Column],
    points: Sequence[PointSnapshot],
    rows_of: Callable[[PointSnapshot], list[list[str]]],
    *,
    is_compact: bool = False,
) -> Table:
    named = (Column(label=_("EVSE")), *columns)

    def row(point: PointSnapshot, values: list[str]) -> Row:
        return tuple(
            Cell(column=column, value=value or formats.MISSING)
            for column, value in zip(named, [str(point.number), *values], strict=True)
        )

    def group(point: PointSnapshot) -> Group:
        rows = tuple(row(point, values) for values in rows_of(point))
        note = f"{rows[0][-1].column.label}: {rows[0][-1].value}" if is_compact else ""
        return Group(number=point.number, rows=rows, note=note)

    return Table(
        id=f"table-{name}", title=title, columns=named, groups=tuple(map(group, points)), is_compact=is_compact
    )


def _generic(points: list[PointSnapshot]) -> Table:
    def rows(point: PointSnapshot) -> list[list[str]]:
        return [[point.controller.model, point.controller.hardware_id, point.controller.firmware]]

    columns = [
        Column(label=_("Type")),
        Column(label=_("Hardware ID")),
        Column(label=_("Firmware version")),
    ]
    return _table("generic", _("Generic information"), columns, points, rows)


def _status(points: list[PointSnapshot]) -> Table:
    def rows(point: PointSnapshot) -> list[list[str]]:
        return [
            [
                _yes_no(bool(point.session)),
                _yes_no(point.operative),
                _either(point.contactor, pgettext("contactor", "closed"), pgettext("contactor", "open")),
                _cable(point),
                _either(point.locked, pgettext("lock", "locked"), pgettext("lock", "open")),
                words.faults(list(point.faults)) or _("none"),
                _pilot(point),
            ]
        ]

    labels = (_("In use"), _("Enabled"), _("Contactor"), _("Cable"), _("Lock"), _("Error"), _("CP state"))
    return _table("status", _("Status"), [Column(label=label) for label in labels], points, rows)


def _meter(points: list[PointSnapshot]) -> Table:
    def rows(point: PointSnapshot) -> list[list[str]]:
        return [
            [
                f"{point.meter.vendor} {point.meter.model}".strip(),
                point.meter.serial,
                formats.kilowatt_hours(point.energy_wh, decimals=3),
            ]
        ]

    columns = [
        Column(label=_("Model")),
        Column(label=_("Serial number")),
        Column(label=_("Energy"), is_number=True),
    ]
    return _table("meter", _("Meter"), columns, points, rows)


def _power(points: list[PointSnapshot]) -> Table:
    def rows(point: PointSnapshot) -> list[list[str]]:
        source = words.word(words.LIMIT_SOURCES, point.limit_source) if point.limit_source else ""
        return [
            [
                name,
                formats.volt(voltage),
                formats.ampere(current, decimals=2),
                formats.ampere(point.limit_ma, decimals=2),
                source,
            ]
            for name, voltage, current in zip(_PHASES, point.voltages_mv, point.currents_ma, strict=True)
        ]

    columns = [
        Column(label=_("Phase")),
        Column(label=_("Voltage"), is_number=True),
        Column(label=_("Current"), is_number=True),
        Column(label=_("Limit"), is_number=True),
        Column(label=_("Limit set by")),
    ]
    return _table("power", _("Power"), columns, points, rows, is_compact=True)


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
