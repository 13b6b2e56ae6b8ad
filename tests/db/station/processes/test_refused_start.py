"""`runstation --lang` says why it does not start in the language that was asked for."""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from station import secret_key
from station.management.commands import runstation
from station.paths import DataDirectory
from station.processes.lock import OrphanSurvives

pytestmark = pytest.mark.django_db


class NobodysLock:
    """A data directory that nobody else uses."""

    def __init__(self, data: DataDirectory) -> None:
        pass

    def acquire(self) -> None:
        pass


@pytest.fixture
def data(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataDirectory]:
    settings.DATA = DataDirectory(tmp_path / "data")
    settings.DATA.create()
    secret_key.obtain(settings.DATA.secret_key)
    settings.STATIC_ROOT = settings.DATA.run / "static"
    monkeypatch.setattr(runstation, "StationLock", NobodysLock)
    # A start that is not refused must not become a station inside the tests.
    monkeypatch.setattr("station.processes.supervision.supervise", _begins)
    for name in ("STATION_HTTP_ORIGINS", "STATION_DISPLAY_PORT"):
        monkeypatch.setenv(name, "")
    yield settings.DATA
    gc.enable()


def _begins(*_: object) -> int:
    raise AssertionError("the start was not refused")


def refusal(language: str) -> str:
    with pytest.raises(CommandError) as refused:
        call_command("runstation", "--lang", language, "--simulate", "--no-https", "--http", "127.0.0.1:0")
    return str(refused.value)


@pytest.mark.usefixtures("data")
def test_an_orphan_that_survives(monkeypatch: pytest.MonkeyPatch) -> None:
    def survives(_data: DataDirectory) -> list[str]:
        raise OrphanSurvives("hardware, web")

    monkeypatch.setattr(runstation, "end_orphans", survives)

    assert "does not end, not even when it is killed: hardware, web." in refusal("en")
    assert "endet nicht, auch nicht mit Gewalt: hardware, web." in refusal("de")


@pytest.mark.parametrize(
    ("content", "english", "german"),
    [
        ("{", "is not JSON; mend it or move it away", "ist kein JSON; berichtigen Sie die Datei"),
        (
            '{"connectors": [{"controller": {"port": "/dev/ttyUSB0"}}]}',
            "describes real hardware",
            "beschreibt echte Hardware",
        ),
    ],
)
def test_a_description_of_real_hardware(data: DataDirectory, content: str, english: str, german: str) -> None:
    data.hardware.write_text(content)

    assert english in refusal("en")
    assert german in refusal("de")


@pytest.mark.parametrize(
    ("content", "english", "german"),
    [
        (b"{", "it is no JSON (line 1, column 2)", "sie ist kein JSON (Zeile 1, Spalte 2)"),
        (b"\xfc", "it is not written in UTF-8", "sie ist nicht in UTF-8 geschrieben"),
        (b"[]", "it holds no JSON object", "sie enthält kein JSON-Objekt"),
        (b'{"colour": "red"}', "the unknown entry “colour”", "den unbekannten Eintrag „colour“"),
        (b'{"serial": []}', "the entry “serial” is neither", "der Eintrag „serial“ ist weder"),
        (b'{"connectors": 99}', "the entry “connectors” is not allowed", "der Eintrag „connectors“ ist nicht erlaubt"),
        (b'{"master_key": "x"}', "no card number of 4 to 10 bytes", "keine Kartennummer von 4 bis 10 Byte"),
        (b'{"factory_password_hash": 1}', "factory_password_hash is no text", "factory_password_hash ist kein Text"),
    ],
)
def test_an_identity_that_is_broken(data: DataDirectory, content: bytes, english: str, german: str) -> None:
    data.identity.write_bytes(content)

    for language, reason, remedy in (("en", english, "Restore it"), ("de", german, "Stellen Sie sie aus")):
        said = refusal(language)
        assert reason in said
        assert remedy in said
        assert str(data.identity) in said
    assert data.identity.read_bytes() == content
