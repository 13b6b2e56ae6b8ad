"""Without a usable hardware.json: energy off where controllers are known, the reason told, and a begin by itself."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from django.utils import translation

from hardware.runtime import wiring
from hardware.runtime.control_loop import ControlLoop
from hardware.runtime.kept_off import KeptOff
from hardware.runtime.safe_mode import SafeMode
from hardware.runtime.stand_in import StandIn
from hardware.runtime.undescribed import Undescribed, stamp_of
from station.domain.commands import PresentTag, Refusal, Status
from station.domain.crash_guard import CrashHistory
from station.domain.snapshot import DescriptionMistake, HardwareSnapshot, decode, encode
from station.models import ChargingSession, LogEntry
from station.paths import DataDirectory
from station.services import identity
from station.ui import event_words
from tests.db.hardware.runtime.bench import CARD, ControlLoopBench, in_virtual_time

NO_JSON = DescriptionMistake(
    where="hardware.json",
    template="the file is no JSON (line %(line)s, column %(column)s)",
    data={"line": "1", "column": "2"},
)


@asynccontextmanager
async def undescribed(bench: ControlLoopBench, file: Path, *mistakes: DescriptionMistake) -> AsyncIterator[Undescribed]:
    await bench.kill()
    stand_in = Undescribed(
        [
            KeptOff(number=number, controller=controller, meter=bench.hall.meters.get(number), has_lock=True)
            for number, controller in bench.hall.controllers.items()
        ],
        file=file,
        stamp=stamp_of(file),
        mistakes=mistakes,
        connectors=1,
        power=bench.hall.computer,
        redis=bench.redis,
    )
    running = asyncio.create_task(stand_in.run())
    await asyncio.sleep(3)
    yield stand_in
    running.cancel()
    await asyncio.wait([running])


@in_virtual_time
async def test_energy_that_was_left_on_goes_off_and_the_session_stays_open(
    bench: ControlLoopBench, tmp_path: Path
) -> None:
    await bench.charge(1)

    async with undescribed(bench, tmp_path / "hardware.json"):
        assert not bench.hall.outlets[1].released
        assert ChargingSession.objects.running().count() == 1


@in_virtual_time
async def test_pages_backend_log_and_systemd_are_told_what_is_wrong(bench: ControlLoopBench, tmp_path: Path) -> None:
    file = tmp_path / "hardware.json"
    file.write_text("{")
    async with undescribed(bench, file, NO_JSON) as stand_in:
        snapshot = stand_in.take(1)
        refused = await bench.command(PresentTag(id_tag=CARD), to=stand_in)
        told = [message["info"] for message in bench.channel_layer.sent if message["type"] == "status.changed"]

        assert (snapshot.not_ready, snapshot.is_controlled) == (("hardware_wrong",), False)
        assert snapshot.mistakes == (NO_JSON,)
        assert decode(HardwareSnapshot, encode(snapshot)) == snapshot
        assert (refused.status, refused.reason) == (Status.REJECTED, Refusal.HARDWARE_UNKNOWN)
        assert told[-1] == "hardware.json is wrong: the station cannot charge"
        entry = LogEntry.objects.get(code="station.undescribed")
        assert entry.data["cause"] == "hardware_wrong"
        assert "hardware.json: the file is no JSON (line 1, column 2)" in event_words.event(entry.code, entry.data)
        with translation.override("de"):
            assert "hardware.json: die Datei ist kein JSON" in event_words.event(entry.code, entry.data)
        assert stand_in.told().endswith("the file is no JSON (line 1, column 2)")


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.write_text("[]"),
        lambda file: (file.with_suffix(".new").write_text("{"), file.with_suffix(".new").replace(file)),
        lambda file: file.unlink(),
    ],
    ids=["written", "replaced", "deleted"],
)
@in_virtual_time
async def test_it_ends_by_itself_when_the_file_is_another_one(
    bench: ControlLoopBench, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    file = tmp_path / "hardware.json"
    file.write_text("{")
    await bench.kill()
    stand_in = Undescribed(
        [],
        file=file,
        stamp=stamp_of(file),
        mistakes=(),
        connectors=1,
        power=bench.hall.computer,
        redis=bench.redis,
    )
    running = asyncio.create_task(stand_in.run())
    await asyncio.sleep(60)
    assert not running.done()

    change(file)
    await asyncio.sleep(2)
    assert running.done()
    running.result()


def described(port: str) -> str:
    controller = {"driver": "phoenix_ev_cc", "port": port, "address": 1}
    meter = {"driver": "eastron_sdm630", "port": port, "address": 2}
    return json.dumps({"connectors": [{"controller": controller, "meter": meter}], "readers": []})


@pytest.mark.django_db
def test_what_is_made_depends_on_the_description_and_the_last_one_is_kept(
    data: DataDirectory, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = identity.load()
    settings.DATA = data
    monkeypatch.setattr(identity, "load", lambda: present)
    monkeypatch.setattr(wiring, "ControlLoop", lambda devices, **_: devices)

    def made(history: CrashHistory | None = None) -> ControlLoop | StandIn:
        return asyncio.run(wiring.make(history or CrashHistory()))

    missing = made()
    assert isinstance(missing, Undescribed)
    assert (missing.why.codes, missing.why.mistakes, missing.points) == (("hardware_missing",), (), {})

    data.hardware.write_text(described("/dev/ttyUSB0"))
    usable = made()
    assert not isinstance(usable, StandIn), usable.why
    assert list(usable.controllers) == [1]  # type: ignore[attr-defined]
    assert isinstance(made(CrashHistory(safe_until_s=1e9)), SafeMode)

    data.hardware.write_text('{"connectors": [{"controller": {"driver": "nobody"}}]}')
    damaged = made()
    assert isinstance(damaged, Undescribed)
    assert damaged.why.codes == ("hardware_wrong",)
    assert any("nobody" in mistake.text for mistake in damaged.why.mistakes)
    # The controllers of the description that was in use are told to keep energy off.
    assert list(damaged.points) == [1]
