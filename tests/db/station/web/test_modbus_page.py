"""Communication – Modbus and Load management: what an installer sets, and what an energy manager's author reads."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.test import Client

from loadmgmt import set_points
from loadmgmt.energy_manager import SetPoint
from station import clock
from station.domain.commands import Origin
from station.domain.snapshot import ModbusClientSnapshot, ModbusPointSnapshot, ModbusRefusalSnapshot, ModbusSnapshot
from station.domain.units import MilliAmpere, Watt
from station.models import AuditEntry
from station.services import configuration
from tests.db.station.web.conftest import Parts, charging, point
from tests.db.station.web.test_settings import enter, page

MODBUS, REGISTERS, LOAD = "/communication/modbus", "/communication/modbus/registers", "/communication/load-management"


def serving(parts: Parts, **changes: object) -> None:
    """Let the server run with one energy manager that has limited charging point 1."""
    now = clock.now()
    made = ModbusSnapshot(
        enabled=True,
        uptime_s=3_600,
        ports=(1502, 1503),
        clients=(
            ModbusClientSnapshot(
                address="192.0.2.7",
                port=1502,
                since=now - timedelta(hours=1),
                last_read_at=now,
                last_write_at=now,
                last_write_register=1000,
                last_write_value=16,
            ),
        ),
        points=(
            ModbusPointSnapshot(
                number=1,
                watchdog=1,
                remaining_s=42,
                current_ma=MilliAmpere(16_000),
                limit_ma=MilliAmpere(16_000),
                heard_at=now,
                written_at=now,
                written_by="192.0.2.7",
            ),
            ModbusPointSnapshot(number=2, watchdog=2, remaining_s=0, limit_ma=MilliAmpere(6_000)),
        ),
    )
    assert parts.hardware is not None
    parts.hardware = replace(parts.hardware, modbus=replace(made, **changes))  # type: ignore[arg-type]
    enable()


def enable(**items: str) -> None:
    configuration.change(
        {"/modbus/enabled": "true", "/modbus/port": "1502", **items}, origin=Origin.LOCAL, actor="test", at=clock.now()
    )


def test_the_server_is_switched_on_and_what_is_set_stands_in_the_audit_trail(browser: Client, parts: Parts) -> None:
    status, said = enter(
        browser,
        MODBUS,
        **{
            "modbus-enabled": "true",
            "modbus-fallbackCurrent": "8000",
            "modbus-clients": "192.168.1.20, 192.168.2.7/24",
        },
    )

    assert status == 200
    assert "Saved." in said
    assert configuration.get_bool("/modbus/enabled")
    assert configuration.get("/modbus/clients") == "192.168.1.20,192.168.2.0/24"
    assert AuditEntry.objects.get(command="ChangeConfiguration").data["/modbus/fallbackCurrent"] == "8000"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("modbus-clients", "evcc", "„evcc“ ist weder eine IP-Adresse"),
        ("modbus-watchdogS", "4", "muss 0 sein oder zwischen 5 und 3600"),
        ("modbus-fallbackCurrent", "5999", "muss 0 sein oder zwischen 6000 und 80000"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_beside_its_field(
    browser: Client, parts: Parts, name: str, value: str, reason: str
) -> None:
    status, said = enter(browser, MODBUS, "de", **{"modbus-enabled": "true", name: value})

    assert status == 422
    assert reason in said
    assert not configuration.get_bool("/modbus/enabled")


def test_what_to_enter_who_is_there_and_what_was_set_is_shown(browser: Client, parts: Parts) -> None:
    serving(parts)

    said = page(browser, MODBUS)

    assert 'data-endpoint="1502"' in said
    assert 'data-endpoint="1503"' in said
    assert 'data-client="192.0.2.7"' in said
    assert "register 1000 = 16" in said
    assert "Heard; fallback in 42 s without a request" in said
    assert "Not heard since the start: the fallback holds" in said


def test_why_nobody_can_connect_is_told(browser: Client, parts: Parts) -> None:
    serving(parts, ports=(), problem="Address already in use", problem_port=1502, clients=())

    assert "Port 1502 cannot be opened: Address already in use." in page(browser, MODBUS)


def test_who_was_refused_is_told(browser: Client, parts: Parts) -> None:
    serving(parts, refusal=ModbusRefusalSnapshot(at=clock.now(), address="192.0.2.99", reason="not_listed"))

    said = page(browser, MODBUS, "de")

    assert "192.0.2.99" in said
    assert "nicht in der Zugriffsliste" in said


def test_the_trail_of_set_points_is_shown(browser: Client, parts: Parts) -> None:
    serving(parts)
    set_points.note(1, SetPoint(current=MilliAmpere(13_000), power=Watt(9_000)), client="192.0.2.7", at=clock.now())

    said = page(browser, MODBUS, "de").partition("Letzte Änderungen")[2]

    assert "13 A · 9,00 kW" in said
    assert "192.0.2.7" in said


def test_read_only_no_fallback_is_promised(browser: Client, parts: Parts) -> None:
    serving(parts)
    enable(**{"/modbus/readOnly": "true"})

    assert "the fallback holds</dd>" not in page(browser, MODBUS)


def test_the_register_table_shows_present_values_and_hides_the_card(browser: Client, parts: Parts) -> None:
    parts.show(charging(1), point(2))
    serving(parts)

    said = page(browser, REGISTERS)

    row = said.partition('data-register="1000"')[2].partition("</tr>")[0]
    assert ">16<" in row
    assert "0010" in row
    assert "04A2B3C4" not in said


def test_the_register_table_of_the_station_and_of_what_is_not_there(browser: Client, parts: Parts) -> None:
    serving(parts)

    assert 'data-register="3208"' in page(browser, f"{REGISTERS}?of=station")
    assert browser.get(f"{REGISTERS}?of=3").status_code == 404


def test_without_the_control_the_table_has_no_values_and_says_so(browser: Client, parts: Parts) -> None:
    parts.hardware = None

    assert "so there are no values" in page(browser, REGISTERS)
    assert "does not answer" in page(browser, LOAD)


def test_every_limit_of_a_charging_point_and_the_one_that_binds_are_shown(browser: Client, parts: Parts) -> None:
    parts.show(
        charging(
            1, limit_ma=10_000, limit_source="energy_manager", limits={"rating": 32_000, "energy_manager": 10_000}
        ),
        point(2),
    )

    said = page(browser, LOAD)

    assert "Energy manager (Modbus) <em>sets the limit</em>" in said
    assert 'data-fact="modbus">Switched off' in said


def test_a_pause_that_lasts_only_to_spare_the_contactor_says_when_it_ends(browser: Client, parts: Parts) -> None:
    held = ModbusPointSnapshot(
        number=1,
        watchdog=1,
        remaining_s=42,
        current_ma=MilliAmpere(16_000),
        limit_ma=MilliAmpere(0),
        resumes_in_s=37,
    )
    serving(parts, points=(held,))

    assert "0 A – charging goes on in 37 s" in page(browser, MODBUS)
