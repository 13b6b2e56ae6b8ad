"""The four live tables of the Connectors page."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

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


def _generic(points: list[dict[str, Any]]) -> Table:
    def row(point: dict[str, Any]) -> list[str]:
        controller = point.get("controller") or {}
        return [
            str(point["id"]),
            controller.get("model") or "",
            controller.get("hardware_id") or "",
            controller.get("firmware") or "",
        ]

    columns = [_("EVSE"), _("Type"), _("Hardware ID"), _("Firmware version")]
    return _table("generic", _("Generic information"), columns, map(row, points))


def _status(points: list[dict[str, Any]]) -> Table:
    def row(point: dict[str, Any]) -> list[str]:
        cable_ma = point.get("cable_ma")
        return [
            str(point["id"]),
            _yes_no(bool(point.get("session"))),
            _yes_no(point.get("operative")),
            _either(point.get("contactor"), pgettext("contactor", "closed"), pgettext("contactor", "open")),
            _cable(point.get("plugged"), cable_ma),
            _either(point.get("locked"), pgettext("lock", "locked"), pgettext("lock", "open")),
            words.faults(point.get("faults") or []) or _("none"),
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


def _meter(points: list[dict[str, Any]]) -> Table:
    def row(point: dict[str, Any]) -> list[str]:
        meter = point.get("meter") or {}
        return [
            str(point["id"]),
            f"{meter.get('vendor') or ''} {meter.get('model') or ''}".strip(),
            meter.get("serial") or "",
            formats.kilowatt_hours(point.get("energy_wh"), decimals=3),
        ]

    columns = [_("EVSE"), _("Model"), _("Serial number"), _("Energy")]
    return _table("meter", _("Meter"), columns, map(row, points))


def _power(points: list[dict[str, Any]]) -> Table:
    def rows() -> Iterator[list[str]]:
        for point in points:
            voltages, currents = point.get("voltages_mv") or [None] * 3, point.get("currents_ma") or [None] * 3
            for name, voltage, current in zip(_PHASES, voltages, currents, strict=False):
                yield [
                    str(point["id"]),
                    name,
                    formats.volt(voltage),
                    formats.ampere(current, decimals=2),
                    formats.ampere(point.get("limit_ma")),
                ]

    columns = [_("EVSE"), _("Phase"), _("Voltage"), _("Current"), _("Limit")]
    return _table("power", _("Power"), columns, rows())


def _either(value: Any, yes: str, no: str) -> str:
    return formats.MISSING if value is None else yes if value else no


def _yes_no(value: Any) -> str:
    return _either(value, _("yes"), _("no"))


def _cable(plugged: Any, cable_ma: int | None) -> str:
    if not plugged:
        return _either(plugged, "", pgettext("cable", "none"))
    return formats.ampere(cable_ma) if cable_ma else _("plugged in")


def _pilot(point: dict[str, Any]) -> str:
    pilot = point.get("pilot")
    if not pilot:
        return ""
    letter = f"{pilot}{2 if point.get('pwm') else 1}" if pilot in "ABCD" else str(pilot)
    return f"{letter} – {words.word(words.PILOTS, pilot)}"
