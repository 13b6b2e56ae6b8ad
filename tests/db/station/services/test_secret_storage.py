"""What the database holds of a secret is of no use to a stranger; a lost key costs the secrets and nothing else."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from ocpp_client.connection.credentials import Credentials
from ocpp_client.connection.endpoint import Endpoint
from station.domain.commands import Origin
from station.domain.configuration import ConfigurationRefused
from station.domain.file_jobs import Kind
from station.models import AuditEntry, ConfigurationValue, FileJob, LogEntry
from station.paths import DataDirectory
from station.processes import preparation
from station.processes.checkup import storage
from station.processes.plan import Address, Plan
from station.services import configuration, diagnostics, event_log, identity, secret_storage
from station.services.file_jobs import jobs, requests
from tests.db.station.web.conftest import AT

pytestmark = pytest.mark.django_db
KEY = "canary-4711-canary"
SIGNED = "https://cpo:pass-canary@files.example.com/up?sv=1&sig=canary%2Fsignature"


def change(**items: str) -> None:
    configuration.change(items, origin=Origin.LOCAL, actor="test", at=AT)


def stored(key: str = "AuthorizationKey") -> str:
    return ConfigurationValue.objects.get(key=key).value


@pytest.fixture(autouse=True)
def directory(data: DataDirectory) -> DataDirectory:
    return data


def test_a_secret_is_encrypted_in_its_row_and_in_force_in_clear() -> None:
    change(AuthorizationKey=KEY, HeartbeatInterval="60")

    assert KEY not in stored()
    assert stored().startswith(secret_storage.PREFIX)
    assert stored("HeartbeatInterval") == "60"
    assert configuration.get("AuthorizationKey") == KEY
    assert not ConfigurationValue.objects.filter(value__contains="canary").exists()


def test_the_same_secret_looks_different_each_time() -> None:
    change(AuthorizationKey=KEY)
    first = stored()
    change(AuthorizationKey=f"{KEY}2")
    change(AuthorizationKey=KEY)

    assert stored() != first


def test_what_an_earlier_version_has_stored_in_clear_is_read_and_counts() -> None:
    ConfigurationValue.objects.create(key="AuthorizationKey", value=KEY, changed_at=AT)

    assert configuration.get("AuthorizationKey") == KEY
    assert not secret_storage.lost()


@pytest.mark.parametrize("damage", ["gone", "other", "empty", "garbage"])
def test_a_lost_key_costs_the_secrets_and_says_so_and_nothing_else(damage: str, directory: DataDirectory) -> None:
    change(AuthorizationKey=KEY, HeartbeatInterval="60")
    match damage:
        case "gone":
            directory.storage_key.unlink()
        case "other":
            directory.storage_key.write_text("Zm9yIGEgc3RhdGlvbiB0aGF0IGlzIG5vdCB0aGlzIG8=\n")
        case "empty":
            directory.storage_key.write_bytes(b"")
        case _:
            directory.storage_key.write_bytes(b"\xff\0garbage\n")
    configuration._cache.entry = None

    assert configuration.get("AuthorizationKey") == ""
    assert configuration.get("HeartbeatInterval") == "60"
    assert secret_storage.lost() == ["AuthorizationKey"]

    change(AuthorizationKey="canary-new-4711-x")

    assert configuration.get("AuthorizationKey") == "canary-new-4711-x"
    assert not secret_storage.lost()


def test_a_key_file_that_cannot_be_made_refuses_the_value_with_the_reason(
    directory: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)

    with pytest.raises(ConfigurationRefused, match="No space left on device"):
        change(AuthorizationKey=KEY)

    assert not ConfigurationValue.objects.exists()
    assert configuration.get("AuthorizationKey") == ""


def test_a_rotation_encrypts_everything_anew_and_forgets_the_old_key(directory: DataDirectory) -> None:
    change(AuthorizationKey=KEY)
    jobs.submit_diagnostics({"location": SIGNED}, AT)
    old_key, old_value = directory.storage_key.read_text(), stored()

    assert secret_storage.rotate() == 2

    assert directory.storage_key.read_text() != old_key
    assert stored() != old_value
    assert configuration.get("AuthorizationKey") == KEY
    assert requests.whole(FileJob.objects.get())["location"] == SIGNED
    assert secret_storage.decrypt(old_value) is None


@pytest.mark.parametrize("number", [1, 2])
def test_a_rotation_that_is_torn_loses_nothing(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    change(AuthorizationKey=KEY)
    write, calls = secret_storage._write_keys, []

    def torn(keys: tuple[bytes, ...]) -> tuple[bytes, ...]:
        calls.append(keys)
        if len(calls) == number:
            raise KeyboardInterrupt
        return write(keys)

    with monkeypatch.context() as cut:
        cut.setattr(secret_storage, "_write_keys", torn)
        with pytest.raises(KeyboardInterrupt):
            secret_storage.rotate()

    assert secret_storage.decrypt(stored()) == KEY
    assert secret_storage.rotate() == 1
    assert secret_storage.decrypt(stored()) == KEY


def test_a_signed_address_works_but_is_readable_in_no_column_of_its_job() -> None:
    jobs.submit_diagnostics({"location": SIGNED, "retries": 1}, AT)

    job = FileJob.objects.get()
    assert requests.whole(job) == {"location": SIGNED, "retries": 1}
    assert job.request == {"location": "https://files.example.com/up", "retries": 1}
    assert "canary" not in json.dumps(FileJob.objects.values().get(), default=str)
    assert "canary%2Fsignature" in "".join(diagnostics.secrets())

    jobs.finish(job, at=AT)

    assert FileJob.objects.get().encrypted_request == ""


def test_no_archive_tells_what_the_secrets_are_encrypted_with(directory: DataDirectory) -> None:
    change(AuthorizationKey=KEY)
    identity.ensure(at=AT)

    known = diagnostics.secrets()

    assert {KEY, directory.storage_key.read_text().strip(), directory.factory_password.read_text().strip()} <= known


def test_the_doctor_names_files_another_user_has_left(
    directory: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.storage_key.write_text("")
    assert [finding.level for finding in storage.directory()] == ["ok"]

    monkeypatch.setattr("os.geteuid", lambda: 4711)

    finding = next(storage.directory())
    assert finding.level == "problem"
    assert "storage.key" in finding.text


def test_a_job_whose_key_is_lost_has_no_address_left(directory: DataDirectory) -> None:
    encrypted, readable = requests.protected({"firmware": {"location": SIGNED}})
    FileJob.objects.create(kind=Kind.SIGNED_FIRMWARE, created_at=AT, encrypted_request=encrypted, request=readable)
    directory.storage_key.unlink()

    assert requests.whole(FileJob.objects.get()) == {"firmware": {"location": ""}}


def test_why_a_transfer_failed_names_the_address_without_what_opens_it() -> None:
    entry = event_log.log("files.failed", at=AT, reason=f"PUT {SIGNED}: 403")

    assert "canary" not in json.dumps(entry.data)


def test_what_has_worked_at_the_backend_is_remembered_encrypted(directory: DataDirectory) -> None:
    used = Endpoint(base_url="wss://b/", identity="x", security_profile=2, authorization_key=KEY)
    known = Credentials()
    known.worked(replace(used, authorization_key=f"{KEY}-before"), used, AT)
    known.worked(used, used, AT)
    file = directory.certificates / "proven_credentials.json"
    assert KEY not in file.read_text()

    later = Credentials()
    later.load()

    assert later._proven == used
    assert later._earlier_key == f"{KEY}-before"


def test_what_an_earlier_version_remembers_in_clear_is_encrypted_when_it_is_read(directory: DataDirectory) -> None:
    file = directory.certificates / "proven_credentials.json"
    content = {"base_url": "wss://b/", "identity": "x", "security_profile": 2, "authorization_key": KEY}
    file.write_text(json.dumps(content))

    known = Credentials()
    known.load()

    assert known._proven is not None
    assert known._proven.authorization_key == KEY
    assert KEY not in file.read_text()


@pytest.fixture
def start(directory: DataDirectory, settings: Any) -> Any:
    settings.STATIC_ROOT = directory.run / "static"
    # The test's database lies elsewhere; without a file here the second start would tell that it is lost.
    with closing(sqlite3.connect(directory.database)) as database:
        database.execute("CREATE TABLE something (id)")
    plan = Plan(data=directory.root, http=Address("127.0.0.1", 1), https=None)
    return lambda: preparation.prepare(plan, at=AT)


def test_a_start_says_once_that_secrets_are_lost_and_when_they_are_back(directory: DataDirectory, start: Any) -> None:
    change(AuthorizationKey=KEY)
    key = directory.storage_key.read_bytes()
    directory.storage_key.unlink()

    start()
    start()

    entry = AuditEntry.objects.get(command="ReadStoredSecrets")
    assert (entry.data, entry.outcome) == ({"keys": ["AuthorizationKey"]}, "rejected")
    assert LogEntry.objects.filter(code="storage.secrets.lost", cleared_at=None).count() == 1

    directory.storage_key.write_bytes(key)
    start()

    assert not LogEntry.objects.filter(code="storage.secrets.lost", cleared_at=None).exists()


def test_a_start_says_once_which_file_was_set_aside(directory: DataDirectory, start: Any) -> None:
    (directory.root / "secret.key.broken-1").write_text("")

    start()
    start()

    assert AuditEntry.objects.get(command="SetBrokenFileAside").data == {"file": "secret.key.broken-1"}
