"""File jobs from the request to the last status: OCPP 1.6 sections 5.9 and 5.19, whitepaper L01 and N01."""

import base64
import gzip
import random
import tarfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from django.db import connection
from django.test.utils import CaptureQueriesContext

from station import tasks
from station.domain.commands import Origin, Outcome, PrepareUpdate, Refusal, Status, rejected
from station.domain.file_jobs import Kind
from station.domain.firmware import ImageRefused
from station.domain.moments import to_wire
from station.domain.software_trial import Health
from station.host import release
from station.host.ports import InstallationResult
from station.host.updates import SlotUpdates
from station.models import ChargingSession, FileJob, LogEntry, SecurityEvent, TrustedCertificate
from station.paths import DataDirectory
from station.services import configuration, diagnostics, event_log, messages, security_log
from station.services.file_jobs import jobs, runner
from station.services.file_jobs.environment import JobEnvironment, RebootRefused
from station.services.messages import FileStatusChanged
from station.services.transfers import Exchange
from station.services.transfers.errors import ConnectionBroken, LoginRefused
from tests.images import Maker, with_checksum

pytestmark = pytest.mark.django_db(transaction=True)
AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
WELL = Health(is_ready=True, page_answers=True, backend_accepts=True)
# The backend waits for the answer to GetDiagnostics.
MOST_QUERIES = 20
DIAGNOSTICS = {"location": "ftp://me:secret-of-the-server@files.example/logs/", "retries": 1, "retryInterval": 5}
FIRMWARE = {"location": "https://files.example/image", "retrieveDate": to_wire(AT)}


class Killed(BaseException):
    """The process dies here."""


class PowerOff(BaseException):
    """The processes end with the computer."""


@dataclass
class World:
    """Everything around the jobs, under the test's control. `plan` holds what the next transfers do."""

    data: DataDirectory
    maker: Maker
    image: Path
    at: datetime = AT
    boots: int = 1
    reboots: int = 0
    told: list[tuple[str, str]] = field(default_factory=list)
    _known: dict[int, list] = field(default_factory=dict)
    plan: list[BaseException | None] = field(default_factory=list)
    uploaded: dict[str, bytes] = field(default_factory=dict)
    commands: list[bool] = field(default_factory=list)
    outcome: Outcome = field(default_factory=lambda: Outcome(status=Status.ACCEPTED))
    command_s: float = 0.0
    reboot_refused: bool = False
    reboot_unheard: bool = False
    on_wait: list = field(default_factory=list)
    health: Health = WELL

    def hear(self, message) -> None:
        """Take a message to the OCPP process, and look at what it is about."""
        if not isinstance(message, FileStatusChanged):
            return
        for job in FileJob.objects.order_by("id"):
            known = self._known.get(job.pk, [])
            self._known[job.pk] = owed = job.data.get("untold", [])
            self.told += [(job.kind, entry["status"]) for entry in owed if entry not in known]

    def environment(self) -> JobEnvironment:
        return JobEnvironment(
            directory=self.data.files / "jobs",
            archives=self.data.archives,
            locks=self.data.run,
            exchange=Exchange(known_hosts=self.data.certificates / "known_hosts"),
            pack=tasks.pack,
            updates=SlotUpdates(
                root=self.data.files / "slots", key=self.maker.key, boot_id=lambda: f"boot {self.boots}"
            ),
            reboot=self._reboot,
            health=lambda: self.health,
            submit=self._submit,
            now=lambda: self.at,
            wait=self._wait,
        )

    def _wait(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        if self.on_wait:
            self.on_wait.pop(0)()

    def _reboot(self) -> None:
        if self.reboot_refused:
            raise RebootRefused
        self.reboots += 1
        if not self.reboot_unheard:
            raise PowerOff

    def _submit(self, command, _at) -> Outcome:
        assert isinstance(command, PrepareUpdate)
        self.at += timedelta(seconds=self.command_s)
        self.commands.append(command.begin)
        return self.outcome

    def restart(self) -> None:
        self.boots += 1
        self.at += timedelta(seconds=100)

    def work(self, group: str = "update") -> list[str]:
        """Work until nothing is due or the computer restarts; return the statuses told meanwhile."""
        before = len(self.told)
        with suppress(PowerOff):
            assert runner.work(group, self.environment())
        return [status for _, status in self.told[before:]]

    def _next(self, exchange) -> None:
        exchange.check()
        problem = self.plan.pop(0) if self.plan else None
        if problem is not None:
            raise problem

    def upload(self, _location, source: Path, name: str, exchange) -> None:
        self._next(exchange)
        self.uploaded[name] = source.read_bytes()

    def download(self, _location, target: Path, exchange) -> None:
        self._next(exchange)
        target.write_bytes(self.image.read_bytes())


@pytest.fixture
def world(data, tmp_path, settings, monkeypatch) -> World:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    maker = Maker()
    world = World(data=data, maker=maker, image=maker.image(tmp_path / "image"))
    monkeypatch.setattr(jobs, "wake_worker", lambda: None)
    monkeypatch.setattr(messages, "send_to_ocpp_sync", world.hear)
    monkeypatch.setattr(security_log, "send_to_ocpp_sync", world.hear)
    monkeypatch.setattr("station.services.transfers.upload", world.upload)
    monkeypatch.setattr("station.services.transfers.download", world.download)
    configuration.change({"/identity/serial": "4711"}, origin=Origin.LOCAL, actor="test", at=AT)
    return world


def only_job() -> FileJob:
    return FileJob.objects.get()


# Uploads


def test_diagnostics_are_uploaded_under_the_serial_number(world):
    assert jobs.submit_diagnostics(DIAGNOSTICS, AT) == "4711.tar.gz"

    assert world.work("diagnostics") == ["Uploading", "Uploaded"]
    assert list(world.uploaded) == ["4711.tar.gz"]
    assert not list((world.data.files / "jobs").iterdir())


def test_a_failed_upload_is_tried_again_as_often_as_asked_for(world):
    world.plan = [ConnectionBroken("x"), ConnectionBroken("x")]
    jobs.submit_diagnostics(DIAGNOSTICS, AT)

    assert world.work("diagnostics") == ["Uploading", "UploadFailed", "Uploading", "UploadFailed"]
    assert world.at == AT + timedelta(seconds=5)
    assert LogEntry.objects.filter(code="files.began").count() == 1


def test_a_second_try_that_succeeds_is_an_upload(world):
    world.plan = [ConnectionBroken("x")]
    jobs.submit_diagnostics(DIAGNOSTICS, AT)

    assert world.work("diagnostics") == ["Uploading", "UploadFailed", "Uploading", "Uploaded"]


def test_every_try_of_a_download_is_told(world):
    world.plan = [ConnectionBroken("x"), ConnectionBroken("x")]
    jobs.submit_firmware(FIRMWARE | {"retries": 2, "retryInterval": 1}, AT)

    assert world.work()[:6] == ["Downloading", "DownloadFailed"] * 2 + ["Downloading", "Downloaded"]


def test_a_retry_far_away_does_not_hold_the_worker(world):
    world.plan = [ConnectionBroken("x")]
    jobs.submit_diagnostics(DIAGNOSTICS | {"retryInterval": 600}, AT)

    assert world.work("diagnostics") == ["Uploading", "UploadFailed"]
    assert runner.due_groups(AT + timedelta(seconds=500)) == []
    assert runner.due_groups(AT + timedelta(seconds=600)) == ["diagnostics"]


def test_a_second_request_takes_the_place_of_the_first_in_the_middle_of_its_transfer(world):
    jobs.submit_diagnostics(DIAGNOSTICS, AT)
    real = world.upload

    def interrupted(location, source, name, exchange):
        world.at += timedelta(seconds=1)
        if not world.uploaded and FileJob.objects.count() == 1:
            jobs.submit_diagnostics(DIAGNOSTICS | {"location": "sftp://other.example/"}, world.at)
        real(location, source, name, exchange)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("station.services.transfers.upload", interrupted)
        statuses = world.work("diagnostics")

    assert statuses == ["Uploading", "Uploading", "Uploaded"]
    assert list(FileJob.objects.order_by("id").values_list("step", flat=True)) == ["cancelled", "done"]


def test_a_window_in_which_nothing_can_have_happened_has_no_file(world):
    assert jobs.submit_diagnostics(DIAGNOSTICS | {"startTime": to_wire(AT + timedelta(days=1))}, AT) is None
    inverted = {"startTime": to_wire(AT), "stopTime": to_wire(AT - timedelta(days=1))}
    assert jobs.submit_diagnostics(DIAGNOSTICS | inverted, AT) is None
    assert not FileJob.objects.exists()


def log_request(number: int = 7, kind: str = "DiagnosticsLog", location: str = "ftp://files.example/") -> dict:
    return {"logType": kind, "requestId": number, "retries": 0, "log": {"remoteLocation": location}}


def test_a_log_carries_its_request_id_and_a_second_request_cancels_the_first(world):
    assert jobs.submit_log(log_request(7), AT) == ("Accepted", "4711.tar.gz")
    assert jobs.submit_log(log_request(8, "SecurityLog"), AT) == ("AcceptedCanceled", "4711-security.tar.gz")

    assert world.work("log") == ["Uploading", "Uploaded"]
    assert [owed.payload for owed in jobs.untold(AT)] == [
        {"status": "Uploading", "requestId": 8},
        {"status": "Uploaded", "requestId": 8},
    ]


@pytest.mark.parametrize(
    ("location", "plan", "status"),
    [
        ("gopher://files.example/", [], "NotSupportedOperation"),
        ("not a location", [], "BadMessage"),
        ("ftp://files.example/", [LoginRefused("x")], "PermissionDenied"),
        ("ftp://files.example/", [ConnectionBroken("x")], "UploadFailure"),
    ],
)
def test_a_failed_log_upload_says_why(world, location, plan, status):
    world.plan = plan
    jobs.submit_log(log_request(location=location), AT)

    assert world.work("log") == ["Uploading", status]


def test_9_1_30_a_protocol_that_is_switched_off_is_not_spoken(world):
    configuration.change({"SupportedFileTransferProtocols": "SFTP,HTTPS"}, origin=Origin.LOCAL, actor="test", at=AT)
    jobs.submit_log(log_request(location="ftp://files.example/"), AT)

    assert world.work("log") == ["Uploading", "NotSupportedOperation"]
    assert world.uploaded == {}


def test_the_security_log_holds_the_security_events_of_the_time(world):
    security_log.record("InvalidMessages", at=AT - timedelta(hours=2), tech_info="early")
    security_log.record("InvalidMessages", at=AT, tech_info="right")
    request = log_request(kind="SecurityLog")
    request["log"]["oldestTimestamp"] = to_wire(AT - timedelta(hours=1))

    jobs.submit_log(request, AT)
    world.work("log")

    (world.data.root / "got").write_bytes(world.uploaded["4711-security.tar.gz"])
    with tarfile.open(world.data.root / "got") as archive:
        assert archive.getnames() == ["security.jsonl"]
        text = archive.extractfile("security.jsonl").read().decode()
    assert "right" in text
    assert "early" not in text


def test_the_archive_holds_no_secret_in_any_form(world):
    secrets = {
        "AuthorizationKey": "canary1-Aa/+key=0123456789",
        "GiroEStaticToken": "canary2-giro-token",
        "/cluster/key": "canary3-cluster-pairing-secret",
        "/identity/factoryPassword": "CANARY5FACT",
    }
    for key, value in secrets.items():
        configuration.change({key: value}, origin=Origin.LOCAL, actor="test", at=AT)
    # Of the factory password only a hash exists; nobody could put it into a log.
    stored = {key: value for key, value in secrets.items() if key != "/identity/factoryPassword"}
    canaries = [*stored.values(), "secret-of-the-server"]
    forms = [
        form
        for canary in canaries
        for form in (
            canary,
            quote(canary, safe=""),
            canary.encode().hex(),
            base64.b64encode(canary.encode()).decode(),
            base64.b64encode(b"TE4711:" + canary.encode()).decode(),
        )
    ]
    lines = "".join(f"2026-11-20T11:00:00.000Z INFO    x: {form}\n" for form in forms)
    (world.data.logs / "ocpp.log").write_text(lines)
    (world.data.logs / "ocpp.log.1").write_text(lines)
    with gzip.open(world.data.logs / "ocpp.log.2.gz", "wt") as file:
        file.write(lines)
    for form in forms:
        event_log.log("some.event", at=AT, detail=form)
        security_log.record("InvalidMessages", at=AT, tech_info=form)

    jobs.submit_diagnostics(DIAGNOSTICS, AT)
    world.work("diagnostics")

    (world.data.root / "got").write_bytes(world.uploaded["4711.tar.gz"])
    with tarfile.open(world.data.root / "got") as archive:
        texts = {member.name: archive.extractfile(member).read().decode() for member in archive.getmembers()}
    assert set(texts) >= {
        "versions.json",
        "configuration.txt",
        "events.jsonl",
        "audit.jsonl",
        "sessions.jsonl",
        "security.jsonl",
        "logs/ocpp.log",
        "logs/ocpp.log.1",
        "logs/ocpp.log.2",
    }
    for name, text in texts.items():
        for canary in [*canaries, secrets["/identity/factoryPassword"]]:
            raw = canary.encode()
            for form in (canary, quote(canary, safe=""), raw.hex(), base64.b64encode(raw).decode().rstrip("=")):
                assert form not in text, (name, canary)
        assert base64.b64encode(b"TE4711:" + canaries[0].encode()).decode()[12:-4] not in text, name


def test_the_password_of_a_location_leaves_the_database_with_the_job(world):
    jobs.submit_diagnostics(DIAGNOSTICS, AT)
    assert "secret-of-the-server" in diagnostics.secrets()

    world.work("diagnostics")

    assert only_job().request["location"] == "ftp://files.example/logs/"


# Updates


def test_an_update_is_downloaded_installed_and_confirmed_after_the_restart(world):
    jobs.submit_firmware(FIRMWARE, AT)

    assert world.work() == ["Downloading", "Downloaded", "Installing"]
    assert world.reboots == 1
    world.restart()
    assert world.work() == ["Installed"]
    assert world.environment().updates.version() == "9.1.0"
    assert SecurityEvent.objects.get().type == "FirmwareUpdated"
    assert world.commands == [True, False]
    assert only_job().step == "done"


def test_the_last_status_stays_owed_until_the_backend_has_it(world):
    jobs.submit_firmware(FIRMWARE, AT)
    world.work()
    for owed in jobs.untold(world.at):
        assert jobs.mark_told(owed.job_id, owed.status)
    world.restart()
    world.work()

    (owed,) = jobs.untold(world.at)
    assert (owed.action, owed.payload) == ("FirmwareStatusNotification", {"status": "Installed"})
    assert jobs.mark_told(owed.job_id, "Installed")
    assert not jobs.mark_told(owed.job_id, "Installed")
    assert jobs.untold(world.at) == []
    assert jobs.last_status("firmware") == {"status": "Idle"}


def test_an_update_waits_for_its_retrieve_date(world):
    jobs.submit_firmware(FIRMWARE | {"retrieveDate": to_wire(AT + timedelta(hours=1))}, AT)

    assert world.work() == []
    assert world.at == AT
    world.at += timedelta(hours=1)
    assert world.work()[0] == "Downloading"


def test_an_update_waits_until_nobody_charges(world):
    session = ChargingSession.objects.create(
        connector_id=1, id_tag="A", started_at=AT, meter_start_wh=0, meter_last_wh=0, meter_last_at=AT
    )
    jobs.submit_firmware(FIRMWARE, AT)

    def unplug() -> None:
        session.stopped_at, session.meter_stop_wh = world.at, 10
        session.save()

    world.on_wait = [lambda: None] * 8 + [unplug]
    assert world.work() == ["Downloading", "Downloaded", "Installing"]
    assert world.at > AT + timedelta(seconds=3)
    # Asked for once when it began and once more before the installation, not every second.
    assert world.commands == [True, True]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"product": "toaster"}, "other_product"),
        ({"signed": False}, "signature_missing"),
        ({"hardware": ["other"]}, "other_hardware"),
    ],
)
def test_an_unsuitable_image_is_an_installation_that_fails(world, changes, reason):
    world.maker.image(world.image, **changes)
    jobs.submit_firmware(FIRMWARE, AT)

    assert world.work() == ["Downloading", "Downloaded", "Installing", "InstallationFailed"]
    assert only_job().data["reason"] == reason
    assert (world.reboots, world.commands) == (0, [])


def test_unsigned_software_is_taken_on_the_bench_when_signatures_are_switched_off(world):
    world.maker.image(world.image, signed=False)
    configuration_without_signatures(world)
    jobs.submit_firmware(FIRMWARE, AT)

    assert world.work() == ["Downloading", "Downloaded", "Installing"]


def configuration_without_signatures(world: World) -> None:
    from django.conf import settings

    settings.SIMULATE = True
    configuration.change({"/update/requireSignature": "false"}, origin=Origin.LOCAL, actor="test", at=AT)


def test_an_installation_that_fails_gives_the_points_back(world, monkeypatch):
    def fail(*_args, **_kwargs) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("station.host.images.unpack", fail)
    jobs.submit_firmware(FIRMWARE, AT)

    assert world.work() == ["Downloading", "Downloaded", "Installing", "InstallationFailed"]
    assert world.commands == [True, False]
    assert world.environment().updates.version() != "9.1.0"


def test_a_computer_that_cannot_be_restarted_keeps_the_old_software(world):
    world.reboot_refused = True
    jobs.submit_firmware(FIRMWARE, AT)

    assert world.work()[-1] == "InstallationFailed"
    world.restart()
    assert world.environment().updates.version() != "9.1.0"


def test_a_restart_that_does_not_come_is_asked_for_again_and_then_given_up(world):
    world.reboot_unheard = True
    jobs.submit_firmware(FIRMWARE, AT)

    assert world.work()[-1] == "InstallationFailed"
    assert world.reboots == 3
    assert world.commands == [True, False]


def test_an_update_without_hardware_is_given_up_in_the_end(world):
    world.outcome = rejected(Refusal.HARDWARE_ABSENT)
    jobs.submit_firmware(FIRMWARE, AT)

    assert world.work()[-1] == "InstallationFailed"
    assert timedelta(minutes=10) < world.at - AT < timedelta(minutes=12)


@pytest.mark.parametrize("survived", range(14))
def test_an_update_that_is_killed_anywhere_goes_on_after_the_start(world, monkeypatch, survived):
    """The process dies before the n-th change of the row; afterwards another one takes over."""
    left = [survived]
    real: dict[str, Any] = {"advance": jobs.advance, "postpone": jobs.postpone}

    def mortal(name):
        def call(*args, **kwargs):
            if left[0] == 0:
                left[0] = -1
                raise Killed
            left[0] -= 1
            return real[name](*args, **kwargs)

        return call

    for name in real:
        monkeypatch.setattr(jobs, name, mortal(name))
    jobs.submit_firmware(FIRMWARE, AT)

    statuses = []
    for _ in range(3):
        try:
            statuses = world.work()
        except Killed:
            continue
        world.restart()

    assert [status for _, status in world.told] == ["Downloading", "Downloaded", "Installing", "Installed"]
    assert statuses in (["Installed"], [])
    assert world.environment().updates.version() == "9.1.0"
    assert world.commands[-1] is False
    assert SecurityEvent.objects.filter(type="FirmwareUpdated").exists()


def test_a_transfer_that_kills_the_process_again_and_again_is_given_up(world):
    jobs.submit_firmware(FIRMWARE | {"retries": 0}, AT)
    world.plan = [Killed()] * 20
    kills = 0
    for _ in range(20):
        try:
            world.work()
            break
        except Killed:
            kills += 1

    assert kills == 5
    assert world.told[-1] == ("firmware", "DownloadFailed")


def test_only_one_worker_works_on_a_group(world):
    jobs.submit_diagnostics(DIAGNOSTICS, AT)
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        with runner._lock(world.data.run / "files-diagnostics.lock"):
            held.set()
            go.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)

    assert not runner.work("diagnostics", world.environment())
    go.set()
    thread.join()
    assert world.work("diagnostics") == ["Uploading", "Uploaded"]


def test_a_second_update_waits_while_the_first_is_being_installed(world):
    jobs.submit_firmware(FIRMWARE, AT)
    world.work()

    jobs.submit_firmware(FIRMWARE, world.at)

    assert world.work() == []
    world.restart()
    assert world.work() == ["Installed", "Downloading", "Downloaded", "Installing"]


# Signed updates


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass
class Manufacturer:
    """A root certificate, and signing certificates below it."""

    root_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    key: Any = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def root(self) -> x509.Certificate:
        return self._issue("Root", self.root_key.public_key())

    def _issue(self, subject: str, public_key, begin=AT - timedelta(days=1), end=AT + timedelta(days=9)):
        return (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("Root"))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .sign(self.root_key, hashes.SHA256())
        )

    def install(self) -> None:
        root = self.root
        TrustedCertificate.objects.create(
            kind="manufacturer_root",
            pem=pem(root),
            subject="Root",
            issuer="Root",
            serial_number="1",
            fingerprint=root.fingerprint(hashes.SHA256()).hex(),
            not_before=root.not_valid_before_utc,
            not_after=root.not_valid_after_utc,
            added_at=AT,
        )

    def certificate(self, **times) -> x509.Certificate:
        return self._issue("Signer", self.key.public_key(), **times)

    def sign(self, content: bytes) -> str:
        if isinstance(self.key, rsa.RSAPrivateKey):
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
            raw = self.key.sign(content, pss, hashes.SHA256())
        else:
            raw = self.key.sign(content, ec.ECDSA(hashes.SHA256()))
        return base64.b64encode(raw).decode()

    def request(self, content: bytes, number: int = 5, certificate: x509.Certificate | None = None, **dates) -> dict:
        firmware = {
            "location": "https://files.example/image",
            "retrieveDateTime": to_wire(AT),
            "signingCertificate": pem(certificate or self.certificate()),
            "signature": self.sign(content),
        }
        return {"requestId": number, "retries": 0, "firmware": firmware | dates}


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture
def manufacturer() -> Manufacturer:
    manufacturer = Manufacturer()
    manufacturer.install()
    return manufacturer


SIGNED = ["Downloading", "Downloaded", "SignatureVerified", "Installing", "InstallRebooting"]


@pytest.mark.parametrize("key", [None, rsa.generate_private_key(65537, 2048)])
def test_a_signed_update_runs_through(world, manufacturer, key):
    manufacturer.key = key or manufacturer.key

    assert jobs.submit_signed_firmware(manufacturer.request(world.image.read_bytes()), AT) == "Accepted"

    assert world.work() == SIGNED
    world.restart()
    assert world.work() == ["Installed"]
    assert {owed.payload["requestId"] for owed in jobs.untold(world.at)} == {5}
    assert jobs.last_status("signed_firmware") == {"status": "Idle"}


def test_a_signature_of_another_file_is_invalid_and_a_security_event(world, manufacturer):
    jobs.submit_signed_firmware(manufacturer.request(b"another file"), AT)

    assert world.work() == ["Downloading", "Downloaded", "InvalidSignature"]
    event = SecurityEvent.objects.get()
    assert (event.type, event.critical) == ("InvalidFirmwareSignature", True)
    assert jobs.last_status("signed_firmware") == {"status": "InvalidSignature", "requestId": 5}


@pytest.mark.parametrize("signature", ["", "no base64!", "AAAA", "==", "ä", "\ud83d", "A" * 100_000])
def test_a_signature_that_is_none_is_invalid(world, manufacturer, signature):
    request = manufacturer.request(b"")
    request["firmware"]["signature"] = signature
    jobs.submit_signed_firmware(request, AT)

    assert world.work()[-1] == "InvalidSignature"


def test_a_certificate_the_manufacturer_has_not_issued_is_refused_before_anything_else(world, manufacturer):
    stranger = Manufacturer()
    cases = [
        pem(stranger.certificate()),
        pem(manufacturer.certificate(begin=AT - timedelta(days=9), end=AT - timedelta(days=1))),
        pem(manufacturer.certificate(begin=AT + timedelta(days=1), end=AT + timedelta(days=2))),
        "no certificate",
        "",
    ]
    weak = Manufacturer(root_key=manufacturer.root_key, key=rsa.generate_private_key(65537, 1024))  # noqa: S505
    cases.append(pem(weak.certificate()))

    for case in cases:
        request = manufacturer.request(b"")
        request["firmware"]["signingCertificate"] = case
        assert jobs.submit_signed_firmware(request, AT) == "InvalidCertificate"
    assert not FileJob.objects.exists()
    assert set(SecurityEvent.objects.values_list("type", flat=True)) == {"InvalidFirmwareSigningCertificate"}


def test_without_a_root_of_the_manufacturer_no_certificate_is_valid(world):
    assert jobs.submit_signed_firmware(Manufacturer().request(b""), AT) == "InvalidCertificate"


def test_a_certificate_the_manufacturer_has_taken_back_is_refused(world, manufacturer):
    certificate = manufacturer.certificate()
    entry = x509.RevokedCertificateBuilder(certificate.serial_number, AT).build()
    revoked = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name("Root"))
        .last_update(AT)
        .next_update(AT + timedelta(days=9))
        .add_revoked_certificate(entry)
        .sign(manufacturer.root_key, hashes.SHA256())
    )
    (world.data.certificates / "revoked").mkdir()
    (world.data.certificates / "revoked" / "a.crl").write_bytes(revoked.public_bytes(serialization.Encoding.PEM))

    request = manufacturer.request(b"", certificate=certificate)
    assert jobs.submit_signed_firmware(request, AT) == "RevokedCertificate"
    assert jobs.submit_signed_firmware(manufacturer.request(b""), AT) == "Accepted"


def test_dates_of_a_signed_update_are_announced_and_kept(world, manufacturer):
    content = world.image.read_bytes()
    retrieve_at, install_at = AT + timedelta(hours=1), AT + timedelta(hours=2)
    dates = {"retrieveDateTime": to_wire(retrieve_at), "installDateTime": to_wire(install_at)}
    jobs.submit_signed_firmware(manufacturer.request(content, **dates), AT)

    assert world.work() == ["DownloadScheduled"]
    assert jobs.last_status("signed_firmware") == {"status": "DownloadScheduled", "requestId": 5}
    world.at = retrieve_at
    assert world.work() == ["Downloading", "Downloaded", "SignatureVerified", "InstallScheduled"]
    world.at = install_at
    assert world.work() == ["Installing", "InstallRebooting"]


def test_a_new_signed_update_cancels_one_that_waits_for_its_date(world, manufacturer):
    content = world.image.read_bytes()
    later = {"installDateTime": to_wire(AT + timedelta(hours=2))}
    jobs.submit_signed_firmware(manufacturer.request(content, 5, **later), AT)
    world.work()

    assert jobs.submit_signed_firmware(manufacturer.request(content, 6), AT) == "AcceptedCanceled"
    assert world.work() == SIGNED


def test_a_new_signed_update_is_rejected_while_the_last_is_being_installed(world, manufacturer):
    content = world.image.read_bytes()
    jobs.submit_signed_firmware(manufacturer.request(content, 5), AT)
    world.work()

    assert jobs.submit_signed_firmware(manufacturer.request(content, 6), AT) == "Rejected"


def test_an_image_of_the_manufacturer_needs_the_maker_too(world, manufacturer):
    """Signed by the manufacturer's certificate, but not for this product."""
    world.maker.image(world.image, product="toaster")
    jobs.submit_signed_firmware(manufacturer.request(world.image.read_bytes()), AT)

    assert world.work() == ["Downloading", "Downloaded", "InstallVerificationFailed"]


def test_a_root_the_backend_has_installed_replaces_no_signature_of_the_maker(world, manufacturer):
    """The attacker's own root, his own certificate, his own signature – of 5,000 random bytes, or of his own image."""
    for content, reason in (
        (random.Random(4711).randbytes(5_000), "container_unreadable"),
        (Maker().image(world.image).read_bytes(), "signature_wrong"),
        (world.maker.image(world.image, signed=False).read_bytes(), "signature_missing"),
    ):
        world.image.write_bytes(content)
        jobs.submit_signed_firmware(manufacturer.request(content), AT)

        assert world.work() == ["Downloading", "Downloaded", "InvalidSignature"]

        assert FileJob.objects.latest("id").data["reason"] == reason
        assert SecurityEvent.objects.latest("id").type == "InvalidFirmwareSignature"
    assert world.reboots == 0


@pytest.mark.parametrize("code", ["certificate_revoked", "certificate_expired"])
def test_what_the_makers_withdrawn_certificate_has_signed_is_told_as_a_wrong_signature(
    world, manufacturer, monkeypatch, code
):
    def refuses(*_args, **_wishes):
        raise ImageRefused(code)

    monkeypatch.setattr("station.host.images.verify", refuses)
    jobs.submit_signed_firmware(manufacturer.request(world.image.read_bytes()), AT)

    assert world.work() == ["Downloading", "Downloaded", "InvalidSignature"]
    assert only_job().data["reason"] == code
    assert SecurityEvent.objects.latest("id").type == "InvalidFirmwareSignature"


def test_a_real_computer_does_not_obey_the_switch_of_the_simulated_one(world, settings):
    configuration_without_signatures(world)
    settings.SIMULATE = False
    world.maker.image(world.image, signed=False)
    jobs.submit_firmware(FIRMWARE, AT)

    assert world.work()[-1] == "InstallationFailed"
    assert only_job().data["reason"] == "signature_missing"


def test_an_image_that_breaks_its_reader_ends_the_job_all_the_same(world, manufacturer, monkeypatch):
    def breaks(*_args, **_wishes):
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("station.host.images.verify", breaks)
    jobs.submit_signed_firmware(manufacturer.request(world.image.read_bytes()), AT)
    assert world.work() == ["Downloading", "Downloaded", "InstallVerificationFailed"]
    jobs.submit_firmware(FIRMWARE, AT)
    assert world.work()[-1] == "InstallationFailed"


def test_a_name_that_is_not_utf_8_ends_the_job(world):
    content = bytearray(world.image.read_bytes())
    header = tarfile.TarInfo("manifest.json")
    header.size = len(content)
    raw = bytearray(header.tobuf(tarfile.USTAR_FORMAT))
    raw[13:15] = b"\xff\xfe"
    world.image.write_bytes(with_checksum(bytes(raw)) + bytes(content))
    jobs.submit_firmware(FIRMWARE, AT)

    assert world.work() == ["Downloading", "Downloaded", "Installing", "InstallationFailed"]
    assert only_job().finished_at


# Triggers, housekeeping, the security log


def test_a_trigger_answers_idle_without_a_job_and_the_running_status_with_one(world):
    for kind in Kind:
        assert jobs.last_status(kind.value) == {"status": "Idle"}
    world.plan = [ConnectionBroken("x")]
    jobs.submit_log(log_request(9) | {"retries": 1, "retryInterval": 600}, AT)
    world.work("log")

    assert jobs.last_status("log") == {"status": "UploadFailure", "requestId": 9}


def test_files_of_ended_jobs_and_old_archives_are_deleted(world):
    directory = world.data.files / "jobs"
    jobs.submit_firmware(FIRMWARE | {"retrieveDate": to_wire(AT + timedelta(days=1))}, AT)
    (directory / str(only_job().pk)).mkdir(parents=True)
    (directory / "999999").mkdir()

    runner.tidy(world.environment())

    assert [path.name for path in directory.iterdir()] == [str(only_job().pk)]


def test_only_some_rows_of_ended_jobs_are_kept(world, monkeypatch):
    monkeypatch.setattr(jobs, "_ROWS_KEPT", 3)
    for _ in range(5):
        jobs.submit_diagnostics(DIAGNOSTICS, AT)
        world.work("diagnostics")

    assert FileJob.objects.count() == 3


def test_what_happens_to_a_job_is_in_the_event_log(world):
    world.plan = [ConnectionBroken("files.example: no connection")] * 2
    jobs.submit_diagnostics(DIAGNOSTICS, AT)
    world.work("diagnostics")

    entries = list(LogEntry.objects.order_by("id").values_list("code", flat=True))
    assert entries == ["files.began", "files.failed"]
    assert LogEntry.objects.last().data["reason"] == "files.example: no connection"


def test_the_security_log_is_a_ring_that_keeps_what_is_owed(world, monkeypatch):
    monkeypatch.setattr(security_log, "KEPT", 20)
    monkeypatch.setattr(security_log, "_SLACK", 5)
    first = security_log.record("FirmwareUpdated", at=AT)
    for number in range(60):
        security_log.record("InvalidMessages", at=AT + timedelta(hours=number))

    assert 20 <= SecurityEvent.objects.count() <= 27
    assert SecurityEvent.objects.filter(id=first.pk, critical=True).exists()


def test_a_flood_of_one_type_does_not_drown_the_others(world):
    for number in range(100):
        security_log.record("InvalidMessages", at=AT + timedelta(seconds=number), tech_info=str(number))
    security_log.record("FirmwareUpdated", at=AT + timedelta(seconds=101))

    assert SecurityEvent.objects.filter(type="InvalidMessages").count() == security_log.MOST_OF_A_TYPE
    assert "left out" in SecurityEvent.objects.filter(type="InvalidMessages").last().tech_info
    assert SecurityEvent.objects.filter(type="FirmwareUpdated").exists()
    assert security_log.record("InvalidMessages", at=AT + timedelta(hours=1)) is not None


def test_submitting_costs_the_same_whatever_was_submitted_before(world):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            jobs.submit_diagnostics(DIAGNOSTICS, AT)
        return len(captured)

    queries()
    second = queries()
    for _ in range(20):
        jobs.submit_diagnostics(DIAGNOSTICS, AT)

    assert queries() == second
    assert second < MOST_QUERIES


def test_the_environment_of_the_product_can_be_made(world, settings):
    settings.SIMULATE = False

    environment = tasks.job_environment()

    assert not environment.exchange.allow_loopback
    assert replace(environment, directory=world.data.files).locks == world.data.run


def test_a_clock_that_is_set_after_the_reboot_does_not_give_new_software_up(world):
    jobs.submit_firmware(FIRMWARE, AT)
    world.work()
    world.restart()
    world.outcome = rejected(Refusal.HARDWARE_ABSENT)

    def set_clock() -> None:
        world.at += timedelta(days=200)
        world.outcome = Outcome(status=Status.ACCEPTED)

    world.on_wait = [lambda: None, set_clock]

    assert world.work() == ["Installed"]


def test_new_software_that_does_not_control_the_points_makes_way_for_the_old(world):
    jobs.submit_firmware(FIRMWARE, AT)
    world.work()
    world.restart()
    # Each time nobody answers; the time limit of the computer itself is twenty minutes and must not be first.
    world.outcome, world.command_s = rejected(Refusal.HARDWARE_ABSENT), 5.0
    began_at = world.at

    with suppress(PowerOff):
        world.work()
    took = world.at - began_at
    world.restart()
    world.outcome, world.command_s = Outcome(status=Status.ACCEPTED), 0.0

    assert world.work() == ["InstallationFailed"]
    assert only_job().data["reason"] == "not_healthy"
    assert timedelta(minutes=8) < took < timedelta(minutes=12)
    assert world.environment().updates.version() == release.RELEASE
    assert world.reboots == 2


@pytest.mark.parametrize(
    ("sick", "reason"),
    [
        ({"is_ready": False}, "not_ready"),
        ({"page_answers": False}, "page_silent"),
        ({"backend_accepts": False}, "backend_not_accepted"),
    ],
)
def test_new_software_that_lacks_what_the_old_one_did_makes_way_for_it(world, sick, reason):
    jobs.submit_firmware(FIRMWARE, AT)
    world.work()
    world.restart()
    world.health = replace(WELL, **sick)
    began_at = world.at

    with suppress(PowerOff):
        world.work()
    took = world.at - began_at
    world.restart()
    world.health = WELL

    assert world.work() == ["InstallationFailed"]
    assert only_job().data["reason"] == reason
    assert world.environment().updates.version() == release.RELEASE
    assert timedelta(minutes=8) < took < timedelta(minutes=12)
    # The points were given back when the new software was asked first, and by the old one again.
    assert world.commands == [True, False, False]


def test_software_that_was_given_up_does_not_stay_because_a_restart_was_refused(world, monkeypatch):
    jobs.submit_firmware(FIRMWARE, AT)
    world.work()
    world.restart()
    boots, world.health, world.reboot_refused = world.boots, replace(WELL, is_ready=False), True
    undo, undone = SlotUpdates.undo, []

    def result(_self, _ticket) -> InstallationResult:
        # As on a real computer: what runs goes on running until the computer restarts.
        return InstallationResult.RUNNING if world.boots == boots else InstallationResult.NOT_RUNNING

    def note_undo(self) -> None:
        undone.append(world.at)
        undo(self)

    monkeypatch.setattr(SlotUpdates, "result", result)
    monkeypatch.setattr(SlotUpdates, "undo", note_undo)
    # A package is being installed, for instance; the worker looks at its jobs now and then.
    for _ in range(20):
        assert world.work() == []
        world.at += timedelta(minutes=2)
    assert len(undone) >= 20
    world.reboot_refused = False
    assert world.work() == []
    assert world.reboots == 2
    world.restart()
    world.health = WELL

    assert world.work() == ["InstallationFailed"]
    assert only_job().data["reason"] == "not_ready"


def test_a_backend_that_was_away_before_the_update_is_not_waited_for(world):
    world.health = replace(WELL, backend_accepts=False, is_ready=False)
    jobs.submit_firmware(FIRMWARE, AT)
    world.work()
    world.restart()

    assert world.work() == ["Installed"]


def test_software_that_cannot_be_marked_good_goes_back_and_says_so(world, monkeypatch):
    jobs.submit_firmware(FIRMWARE, AT)
    world.work()
    world.restart()

    def refuse(_self) -> None:
        raise ImageRefused("service_absent")

    monkeypatch.setattr(SlotUpdates, "confirm", refuse)
    with suppress(PowerOff):
        world.work()
    world.restart()

    assert world.work() == ["InstallationFailed"]
    assert only_job().data["reason"] == "not_marked"


def test_why_the_computer_went_back_by_itself_is_kept(world, monkeypatch):
    jobs.submit_firmware(FIRMWARE, AT)
    world.work()
    world.restart()
    monkeypatch.setattr(SlotUpdates, "result", lambda _self, _ticket: InstallationResult.NOT_RUNNING)
    monkeypatch.setattr(SlotUpdates, "gave_up", lambda _self: "deadline")

    assert world.work() == ["InstallationFailed"]
    assert only_job().data["reason"] == "deadline"
    assert LogEntry.objects.get(code="files.failed").data["reason"] == "deadline"


def test_the_backend_cannot_order_the_way_back_to_an_older_version(world):
    world.maker.image(world.image, version="0.0.1")
    jobs.submit_firmware(FIRMWARE, AT)

    assert world.work() == ["Downloading", "Downloaded", "Installing", "InstallationFailed"]
    assert only_job().data["reason"] == "older_than_running"
    assert world.reboots == 0
