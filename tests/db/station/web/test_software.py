"""Software: versions, the update from a file, archives of the log files."""

import errno
import io
import json
import os
import re
import tarfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from station import clock, tasks
from station.domain.commands import Origin, Outcome, Refusal, Reset, Status
from station.domain.file_jobs import Kind, Step
from station.domain.software_trial import Health
from station.host import updates, versions
from station.host.updates import SlotUpdates
from station.models import AuditEntry, ChargingSession, FileJob, OutboxMessage
from station.paths import DataDirectory
from station.services import configuration
from station.services.file_jobs import jobs, local, runner
from station.services.file_jobs.environment import JobEnvironment
from station.services.transfers import Exchange
from tests.db.station.web.conftest import AT, PASSWORD, Door, Parts
from tests.images import Maker

pytestmark = pytest.mark.django_db


class PowerOff(BaseException):
    """The processes end with the computer."""


class Station:
    """The worker beside the pages, and the computer below."""

    def __init__(self, data: DataDirectory, maker: Maker) -> None:
        self.data, self.maker, self.boots, self.reboots = data, maker, 1, 0
        self.prepared: list[bool] = []
        self.health = Health(is_ready=True, page_answers=True, backend_accepts=True)
        self.updates = SlotUpdates(root=data.files / "slots", key=maker.key, boot_id=lambda: f"boot {self.boots}")

    def environment(self) -> JobEnvironment:
        return JobEnvironment(
            directory=self.data.files / "jobs",
            archives=self.data.archives,
            locks=self.data.run,
            exchange=Exchange(known_hosts=self.data.certificates / "known_hosts"),
            pack=tasks.pack,
            updates=self.updates,
            reboot=self._reboot,
            health=lambda: self.health,
            submit=self._submit,
            now=clock.now,
            wait=lambda _seconds: self._give_up(),
        )

    def _submit(self, command: Any, _at: Any) -> Outcome:
        self.prepared.append(command.begin)
        return Outcome(status=Status.ACCEPTED)

    def _reboot(self) -> None:
        self.boots += 1
        self.reboots += 1
        raise PowerOff

    def _give_up(self) -> None:
        """Somebody charges: what the worker would wait for does not come in this test."""
        raise PowerOff

    def work(self, group: str = "update") -> None:
        try:
            runner.work(group, self.environment())
        except PowerOff:
            if self.reboots and group == "update" and FileJob.objects.get().step == Step.REBOOTING:
                # The job goes on with the next start.
                FileJob.objects.update(due_at=clock.now())
                runner.work(group, self.environment())


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def station(data: DataDirectory, maker: Maker, parts: Parts, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Station:
    settings.FILE_UPLOAD_TEMP_DIR = data.files
    station = Station(data, maker)
    monkeypatch.setattr(jobs, "wake_worker", lambda: None)
    monkeypatch.setattr(updates, "for_settings", lambda: station.updates)
    return station


def upload(browser: Client, content: bytes, *, htmx: bool = False, **headers: Any) -> Any:
    if htmx:
        headers["HTTP_HX_REQUEST"] = "true"
    return browser.post("/software/update/upload", {"image": SimpleUploadedFile("new.raucb", content)}, **headers)


def expert(browser: Client) -> None:
    browser.post("/profile/advanced", {"advanced": "expert"})


def signed(maker: Maker, tmp_path: Path, **changes: Any) -> bytes:
    return maker.image(tmp_path / "image", **changes).read_bytes()


def page(browser: Client, address: str = "/software/update", **headers: Any) -> str:
    return browser.get(address, **headers).content.decode()


def test_an_uploaded_update_is_checked_installed_when_ordered_and_runs(
    browser: Client, station: Station, maker: Maker, tmp_path: Path
):
    assert upload(browser, signed(maker, tmp_path)).status_code == 302
    assert "The file is being checked." in page(browser)
    station.work()
    assert FileJob.objects.get().step == Step.SCHEDULED
    assert 'data-fact="wanted">9.1.0<' in page(browser)
    assert station.updates.version() != "9.1.0"

    browser.post("/software/update/install")
    station.work()

    assert station.reboots == 1
    assert versions.os_version() == "9.1.0"
    assert "Version 9.1.0 was installed and is running" in page(browser)
    assert station.prepared == [True, False]
    ordered = AuditEntry.objects.get(command="InstallUpdate")
    assert (ordered.actor, ordered.origin, ordered.data["version"]) == ("admin", "web", "9.1.0")
    assert list((station.data.files / "jobs").iterdir()) == []


def test_a_second_click_on_install_is_not_told_to_upload_again(
    browser: Client, station: Station, maker: Maker, tmp_path: Path
):
    upload(browser, signed(maker, tmp_path))
    station.work()
    browser.post("/software/update/install")

    second = browser.post("/software/update/install", follow=True).content.decode()

    assert "Upload it again" not in second
    assert AuditEntry.objects.filter(command="InstallUpdate").count() == 1
    station.work()
    assert versions.os_version() == "9.1.0"


def test_a_large_upload_becomes_the_jobs_file_without_a_copy(
    browser: Client, station: Station, maker: Maker, tmp_path: Path
):
    image = signed(maker, tmp_path, files={"bin/station": b"x" * 3_000_000})

    upload(browser, image)

    job = FileJob.objects.get()
    placed = station.data.files / "jobs" / str(job.pk) / "image"
    assert placed.read_bytes() == image
    assert placed.stat().st_mode & 0o777 == 0o600
    assert list(station.data.files.glob("*.upload*")) == []


@pytest.mark.parametrize("size", [100, 3_000_000])
def test_an_upload_survives_a_power_cut_as_soon_as_the_station_knows_of_it(
    browser: Client, station: Station, monkeypatch: pytest.MonkeyPatch, size: int
):
    flushed: list[Path] = []
    flush = os.fsync

    def note(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", note)

    upload(browser, bytes(size))

    folder = station.data.files / "jobs" / str(FileJob.objects.get().pk)
    assert {folder, folder.parent} <= set(flushed)
    # A large one under the name that it was received by.
    assert flushed[0] == folder / "image" or ".upload" in flushed[0].name


def test_an_upload_that_the_disk_has_no_room_for_is_explained_and_the_next_one_is_taken(
    browser: Client, station: Station, maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as scarce:
        scarce.setattr("station.web.pages.update._place", full)
        answer = upload(browser, signed(maker, tmp_path))

    assert answer.status_code == 422
    assert "too little room" in answer.content.decode()
    assert not FileJob.objects.exists()
    assert upload(browser, signed(maker, tmp_path)).status_code == 302


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ({"product": "toaster"}, "for another product (toaster)"),
        ({"hardware": ["x99"]}, "for another board (x99)"),
        ({"signed": False}, "The file is not signed"),
        ({"cut": 900}, "The file is incomplete"),
        ({"flip": 700}, "not as its maker has signed it"),
    ],
)
def test_a_bad_file_is_refused_with_what_to_do_and_leaves_nothing(
    browser: Client, station: Station, tmp_path: Path, spoil: dict, said: str
):
    configuration.change({"/update/requireSignature": "true"}, origin=Origin.LOCAL, actor="test", at=AT)
    changes = {name: value for name, value in spoil.items() if name in {"product", "hardware", "signed"}}
    image = bytearray(signed(station.maker, tmp_path, **changes))
    if "flip" in spoil:
        image[spoil["flip"]] ^= 1
    if "cut" in spoil:
        del image[-len(image) // 2 :]

    upload(browser, bytes(image))
    station.work()

    assert FileJob.objects.get().step == Step.FAILED
    assert said in page(browser)
    assert station.reboots == 0
    assert list((station.data.files / "jobs").iterdir()) == []


def test_an_update_without_room_is_refused(
    browser: Client, station: Station, maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    upload(browser, signed(maker, tmp_path))
    monkeypatch.setattr(updates, "_SPARE_BYTES", 10**18)
    station.work()

    assert "The disk has too little room for this update" in page(browser)


def test_an_older_update_than_the_floor_is_refused(browser: Client, station: Station, maker: Maker, tmp_path: Path):
    upload(browser, signed(maker, tmp_path, version="9.4.0", security_floor="9.4.0"))
    station.work()
    browser.post("/software/update/install")
    station.work()

    upload(browser, signed(maker, tmp_path, version="9.3.9"))
    station.work()

    assert "older than this station takes (9.3.9 &lt; 9.4.0)" in page(browser)


def test_an_older_update_than_the_one_that_runs_is_installed_only_by_who_insists(
    browser: Client, station: Station, maker: Maker, tmp_path: Path
):
    upload(browser, signed(maker, tmp_path, version="0.0.1"))
    station.work()
    assert "older than the software that is running" in page(browser)

    refused = browser.post("/software/update/install")

    assert refused.status_code == 422
    assert "Tick the box if you want that." in refused.content.decode()
    assert FileJob.objects.get().step == Step.SCHEDULED
    browser.post("/software/update/install", {"older": "yes"})
    station.work()
    assert versions.os_version() == "0.0.1"
    assert AuditEntry.objects.get(command="InstallUpdate").data["older"] == "yes"


def test_the_installation_waits_for_the_sessions_and_names_them(
    browser: Client, station: Station, maker: Maker, tmp_path: Path
):
    session = ChargingSession.objects.create(
        connector_id=2, id_tag="04A2B3C4", started_at=AT, meter_start_wh=0, meter_last_wh=0, meter_last_at=AT
    )
    upload(browser, signed(maker, tmp_path))
    station.work()

    browser.post("/software/update/install")
    station.work()

    shown = page(browser)
    assert FileJob.objects.get().step == Step.PREPARING
    assert "Charging point 2: card 04A2…" in shown
    assert "The installation begins when nobody charges" in shown
    session.stopped_at = AT + timedelta(hours=1)
    session.save()
    FileJob.objects.update(due_at=clock.now())
    station.work()
    assert versions.os_version() == "9.1.0"


def test_an_update_that_waits_can_be_stopped_and_leaves_nothing(
    browser: Client, station: Station, maker: Maker, tmp_path: Path
):
    upload(browser, signed(maker, tmp_path))
    station.work()

    browser.post("/software/update/stop")
    station.work()

    assert FileJob.objects.get().step == Step.CANCELLED
    assert list((station.data.files / "jobs").iterdir()) == []
    assert "Stopped by hand." in page(browser)


def test_a_second_file_takes_the_place_of_one_nobody_has_ordered(
    browser: Client, station: Station, maker: Maker, tmp_path: Path
):
    upload(browser, signed(maker, tmp_path))
    station.work()
    upload(browser, signed(maker, tmp_path, version="9.2.0"))
    station.work()

    assert 'data-fact="wanted">9.2.0<' in page(browser)
    assert list(FileJob.objects.order_by("id").values_list("step", flat=True)) == [Step.CANCELLED, Step.SCHEDULED]


def test_a_file_is_refused_while_the_backend_updates_the_station(
    browser: Client, station: Station, maker: Maker, tmp_path: Path
):
    expert(browser)
    jobs.submit_firmware({"location": "https://files.example/image", "retrieveDate": "2026-01-01T00:00:00Z"}, AT)

    answer = upload(browser, signed(maker, tmp_path), htmx=True)

    assert answer.status_code == 422
    assert FileJob.objects.get().kind == Kind.FIRMWARE
    assert "Update from the backend" in page(browser)


def test_the_newest_request_of_the_backend_replaces_a_file_that_waits(
    browser: Client, station: Station, maker: Maker, tmp_path: Path
):
    upload(browser, signed(maker, tmp_path))
    station.work()

    jobs.submit_firmware({"location": "https://files.example/image", "retrieveDate": "2026-01-01T00:00:00Z"}, AT)

    assert FileJob.objects.get(kind=Kind.LOCAL_UPDATE).step == Step.CANCELLING
    assert browser.post("/software/update/install", follow=True).status_code == 200
    assert not AuditEntry.objects.filter(command="InstallUpdate").exists()


def test_a_file_that_nobody_orders_is_given_up_after_a_day(
    browser: Client, station: Station, maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    upload(browser, signed(maker, tmp_path))
    station.work()
    later = clock.now() + local.UPLOAD_LIFE
    monkeypatch.setattr(clock, "now", lambda: later)

    station.work()

    assert FileJob.objects.get().step == Step.CANCELLED
    assert list((station.data.files / "jobs").iterdir()) == []


def test_the_upload_is_shown_in_expert_mode_and_explained_without(browser: Client, station: Station):
    assert 'type="file"' not in page(browser)
    assert "The upload is shown in expert mode." in page(browser)

    expert(browser)

    assert 'type="file"' in page(browser)


def test_no_file_is_explained_beside_the_field(browser: Client, station: Station):
    expert(browser)

    answer = browser.post("/software/update/upload", HTTP_ACCEPT_LANGUAGE="de")

    assert answer.status_code == 422
    assert "Wählen Sie die Update-Datei" in answer.content.decode()
    assert not FileJob.objects.exists()


def test_a_page_that_asks_again_gets_something_only_when_it_changed(
    browser: Client, station: Station, maker: Maker, tmp_path: Path
):
    upload(browser, signed(maker, tmp_path))
    seen = seen_state(browser)

    assert browser.get(f"/software/update/state?seen={seen}", HTTP_HX_REQUEST="true").status_code == 204
    station.work()
    changed = browser.get(f"/software/update/state?seen={seen}", HTTP_HX_REQUEST="true")
    assert changed.status_code == 200
    browser.post("/software/update/install")
    station.work()
    over = browser.get("/software/update/state?seen=1-rebooting-0-0", HTTP_HX_REQUEST="true")
    assert (over.status_code, over["HX-Refresh"]) == (204, "true")


@pytest.mark.parametrize("step", [Step.FAILED, Step.DONE, Step.CANCELLED])
def test_a_page_that_saw_the_last_step_hears_of_the_end_of_the_job_too(
    browser: Client, station: Station, maker: Maker, tmp_path: Path, step: Step
):
    upload(browser, signed(maker, tmp_path))
    FileJob.objects.update(step=step)
    seen = seen_state(browser)

    FileJob.objects.update(finished_at=AT)

    over = browser.get(f"/software/update/state?seen={seen}", HTTP_HX_REQUEST="true")
    assert (over.status_code, over["HX-Refresh"]) == (204, "true")


def seen_state(browser: Client) -> str:
    """Return how the page names what it shows when it asks again."""
    found = re.search(r"seen=([^\"]+)", page(browser))
    assert found
    return found[1]


# Log files


def test_an_archive_is_made_once_and_downloaded(browser: Client, station: Station):
    (station.data.logs / "web.log").write_text("2026-11-20T12:00:00Z INFO a line\n")

    browser.post("/software/log-files")
    browser.post("/software/log-files")
    assert FileJob.objects.count() == 1
    assert "The archive is being made" in page(browser, "/software/log-files")
    station.work("local_log")

    (archive,) = local.kept_archives(station.data.archives)
    answer = browser.get(f"/software/log-files/{archive.name}")
    content = b"".join(answer)
    with tarfile.open(fileobj=io.BytesIO(content)) as found:
        assert {"versions.json", "configuration.txt", "logs/web.log"} <= set(found.getnames())
    assert archive.name in page(browser, "/software/log-files")
    assert list((station.data.files / "jobs").iterdir()) == []


def test_archives_are_deleted_and_only_the_newest_are_kept(browser: Client, station: Station):
    station.data.archives.mkdir()
    for number in range(local.MOST_ARCHIVES + 2):
        (station.data.archives / f"old-{number}.tar.gz").write_bytes(b"x")
    browser.post("/software/log-files")
    station.work("local_log")
    kept = local.kept_archives(station.data.archives)
    assert len(kept) == local.MOST_ARCHIVES

    assert browser.post(f"/software/log-files/{kept[0].name}/delete").status_code == 302

    assert not kept[0].exists()
    assert AuditEntry.objects.filter(command="DeleteLogArchive", actor="admin").count() == 1
    assert browser.post(f"/software/log-files/{kept[0].name}/delete").status_code == 404


@pytest.mark.parametrize("name", ["..%2fstation.sqlite3", "identity.json", "%2e%2e", "a.tar.gz"])
def test_nothing_but_archives_is_sent(browser: Client, station: Station, name: str):
    assert browser.get(f"/software/log-files/{name}").status_code in {400, 404}


# Versions


def test_the_versions_name_every_part_and_can_be_copied_as_text(browser: Client, station: Station):
    shown = page(browser, "/software/versions", HTTP_ACCEPT_LANGUAGE="de")

    for part in ("Stations-Client", "Weboberfläche", "EVSE-Controller 1", "EV-CC-AC1-M3", "Zähler 2", "Kernel"):
        assert part in shown
    assert "Seriennummer: 100002440" in shown


# Factory settings


def test_a_factory_reset_needs_its_word_and_restarts_the_station(
    browser: Client, station: Station, door: Door, data: DataDirectory
):
    assert "To confirm, type RESET" in page(browser, "/software/factory-settings")
    refused = browser.post("/software/factory-settings", {"word": "yes"})
    assert refused.status_code == 422
    assert "Type the word RESET to confirm." in refused.content.decode()
    assert not data.factory_reset.exists()
    assert door.commands == []

    wrong = browser.post("/software/factory-settings", {"word": "RESET", "password": "not this one"})
    assert "Your password is wrong." in wrong.content.decode()
    assert not data.factory_reset.exists()

    answer = browser.post("/software/factory-settings", {"word": " reset ", "password": PASSWORD})

    assert "The station is being reset" in answer.content.decode()
    assert json.loads(data.factory_reset.read_text())["actor"] == "admin"
    assert door.commands == [Reset(hard=True, reason="Reboot")]


def test_a_factory_reset_is_withdrawn_when_the_station_cannot_restart(
    browser: Client, station: Station, door: Door, data: DataDirectory, monkeypatch: pytest.MonkeyPatch
):
    door.outcome = Outcome(status=Status.NO_ANSWER, reason=Refusal.HARDWARE_ABSENT)

    answer = browser.post("/software/factory-settings", {"word": "RESET", "password": PASSWORD})

    # No main process holds this data directory.
    assert "The computer refuses to restart" in answer.content.decode()
    assert not data.factory_reset.exists()


def test_messages_that_are_owed_are_counted_before_the_reset(
    browser: Client, station: Station, door: Door, data: DataDirectory
):
    for number in range(3):
        OutboxMessage.objects.create(message_id=f"m{number}", kind="session_ended", fact={}, at=AT)

    assert "has not got 3 messages" in page(browser, "/software/factory-settings")
    browser.post("/software/factory-settings", {"word": "RESET", "messages": "drop", "password": PASSWORD})

    assert json.loads(data.factory_reset.read_text())["keep_messages"] is False


def test_no_reset_while_somebody_charges(browser: Client, station: Station, door: Door, data: DataDirectory):
    ChargingSession.objects.create(
        connector_id=2, id_tag="04A2B3C4", started_at=AT, meter_start_wh=0, meter_last_wh=0, meter_last_at=AT
    )

    shown = page(browser, "/software/factory-settings")
    assert "Charging point 2: card 04A2…" in shown
    assert 'name="word"' not in shown
    assert browser.post("/software/factory-settings", {"word": "RESET", "password": PASSWORD}).status_code == 422
    assert not data.factory_reset.exists()
    assert door.commands == []
