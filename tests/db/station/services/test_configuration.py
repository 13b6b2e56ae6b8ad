"""Stored configuration, the identity file, and what others see of both."""

import json
import logging
import stat
import threading
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, transaction

from station.domain.commands import Origin
from station.domain.configuration import ConfigurationRefused, Effect, InvalidValue, UnknownKey
from station.management.arguments import options_first
from station.models import AuditEntry, ConfigurationValue, TrustedCertificate
from station.paths import DataDirectory
from station.services import backend_ca, configuration, configuration_sources, identity

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
KEY = "canary-0123456789"


def change(items: dict[str, str], origin: Origin = Origin.LOCAL):
    return configuration.change(items, origin=origin, actor="test", at=AT)


def pem() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Backend CA")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(AT)
        .not_valid_after(AT + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data")]


def test_a_new_station_has_the_defaults_and_stores_nothing() -> None:
    assert configuration.get("heartbeatinterval") == "180"
    assert configuration.get_int("MeterValuesSampleInterval") == 60
    assert configuration.get_bool("LocalAuthListEnabled") is True
    assert configuration.get_list("TimeSource") == ("NTP", "HeartBeat")
    assert configuration.get_optional_int("/cluster/limitA") is None
    assert not ConfigurationValue.objects.exists()


def test_only_deviations_are_stored() -> None:
    change({"HeartbeatInterval": "60", "ConnectionTimeOut": "120"})
    assert list(ConfigurationValue.objects.values_list("key", "value")) == [("HeartbeatInterval", "60")]

    change({"HeartbeatInterval": "180"})
    assert not ConfigurationValue.objects.exists()


def test_one_refused_key_leaves_all_others_as_they_were() -> None:
    with pytest.raises(ConfigurationRefused):
        change({"HeartbeatInterval": "60", "/identity/serial": "S1", "SecurityProfile": "4"})

    assert configuration.get("HeartbeatInterval") == "180"
    assert configuration.get("/identity/serial") == ""
    assert not AuditEntry.objects.exists()


def test_a_handler_that_refuses_leaves_database_and_identity_as_they_were(monkeypatch) -> None:
    def refuse(_value: str, _at: datetime) -> None:
        raise InvalidValue("password_policy", reasons="too common")

    monkeypatch.setitem(configuration_sources.WRITE, "/WebUi/password/reset", refuse)

    with pytest.raises(ConfigurationRefused, match="too common"):
        change({"HeartbeatInterval": "60", "/identity/serial": "S1", "/WebUi/password/reset": "password password"})
    assert configuration.get("HeartbeatInterval") == "180"
    assert configuration.get("/identity/serial") == ""


def test_a_database_that_fails_to_commit_gives_the_identity_its_old_content_back(monkeypatch) -> None:
    change({"/identity/serial": "S1"})
    real = identity.save
    saved: list[str] = []

    def save_then_fail(new: identity.Identity) -> None:
        real(new)
        saved.append(new.serial)
        if len(saved) == 1:
            raise OSError("disk full")

    monkeypatch.setattr(identity, "save", save_then_fail)

    with pytest.raises(OSError, match="disk full"):
        change({"/identity/serial": "S2", "HeartbeatInterval": "60"})
    assert saved == ["S2", "S1"]
    assert configuration.get("/identity/serial") == "S1"
    assert configuration.get("HeartbeatInterval") == "180"


def test_a_change_is_written_down_with_its_author_and_without_secrets() -> None:
    change({"HeartbeatInterval": "60", "AuthorizationKey": KEY}, Origin.BACKEND)

    entry = AuditEntry.objects.get()
    assert (entry.origin, entry.actor, entry.command) == ("backend", "test", "ChangeConfiguration")
    assert entry.data == {"HeartbeatInterval": "60", "AuthorizationKey": "***"}


def test_a_change_answers_the_effects_to_apply() -> None:
    changes = change({"/ocpp/url": " wss://backend.example/ ", "HeartbeatInterval": "60", "BlinkRepeat": "3"})

    assert configuration.effects_of(changes) == {Effect.OCPP_CONNECTION, Effect.OCPP_TIMERS}
    assert configuration.get("/ocpp/url") == "wss://backend.example/"


def test_no_secret_is_listed_logged_or_shown(caplog) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = {"AuthorizationKey": KEY, "/cluster/key": KEY, "GiroEStaticToken": KEY, "/identity/factoryPassword": KEY}
    change(secrets)

    for origin in Origin:
        assert KEY not in repr(configuration.listing(origin))
        assert KEY not in repr(configuration.listing(origin, secrets))
    assert KEY not in caplog.text
    assert KEY not in repr(configuration.snapshot())
    assert KEY not in repr(configuration.ConfigurationWatch().changes())
    assert KEY not in configuration.get("/identity/factoryPassword")


def test_the_backend_sees_write_only_keys_without_a_value() -> None:
    change({"AuthorizationKey": KEY})

    (listed,) = configuration.listing(Origin.BACKEND, ["authorizationkey"]).known
    assert (listed.key.name, listed.value, listed.read_only) == ("AuthorizationKey", None, False)


def test_local_keys_do_not_exist_for_the_backend() -> None:
    everything = {entry.key.name for entry in configuration.listing(Origin.BACKEND).known}
    asked = configuration.listing(Origin.BACKEND, ["/identity/serial", "Nonsense", "HEARTBEATINTERVAL"])

    assert not {name for name in everything if name.startswith("/identity/")}
    assert asked.unknown == ("/identity/serial", "Nonsense")
    assert [entry.key.name for entry in asked.known] == ["HeartbeatInterval"]


def test_live_keys_ask_the_one_who_knows(monkeypatch) -> None:
    live = configuration_sources.LIVE
    monkeypatch.setitem(live, "/hw/connectors/<connector-id>/data", lambda key: f'{{"n": {key.connector_id}}}')
    monkeypatch.setitem(live, "/Safety/Ovp/failed", lambda _key: None)
    monkeypatch.setattr(configuration_sources, "features_of", lambda _rows: ("modbus",))

    assert configuration.get("/hw/connectors/2/data") == '{"n": 2}'
    assert configuration.get("/Safety/Ovp/failed") == "false"
    assert configuration.get("CurrentDateTime").endswith("Z")
    assert configuration.get("/Product/Features/modbus") == "true"


def test_a_live_value_too_long_for_ocpp_is_not_cut_but_left_out(monkeypatch) -> None:
    monkeypatch.setitem(configuration_sources.LIVE, "/hw/connectors/<connector-id>/data", lambda _key: "x" * 501)

    assert configuration.listing(Origin.BACKEND, ["/hw/connectors/1/data"]).known[0].value is None
    assert configuration.listing(Origin.WEB, ["/hw/connectors/1/data"]).known[0].value == "x" * 501


@pytest.mark.parametrize("value", ["Sundial\nforged line", "\ud83d", "x" * 500, "\x00", "\u202e"])
def test_what_the_backend_was_refused_is_written_down_whatever_it_was(value: str, caplog) -> None:
    with pytest.raises(ConfigurationRefused):
        change({"timesource": value}, Origin.BACKEND)

    refused = AuditEntry.objects.get()
    assert refused.data == {"TimeSource": value[:100]}
    assert all(record.getMessage().isprintable() for record in caplog.records)


def test_a_flood_of_refused_changes_does_not_push_out_the_audit_trail() -> None:
    for _ in range(80):
        with pytest.raises(ConfigurationRefused):
            change({"SecurityProfile": "0"}, Origin.BACKEND)

    assert AuditEntry.objects.count() == 50


def test_the_backend_is_refused_in_its_own_words_on_a_full_disk_too(monkeypatch) -> None:
    def full(**_columns: object) -> None:
        raise OperationalError("database or disk is full")

    monkeypatch.setattr(AuditEntry.objects, "create", full)

    with pytest.raises(ConfigurationRefused):
        change({"SecurityProfile": "0"}, Origin.BACKEND)


def test_a_key_that_does_not_exist_is_no_entry_in_the_audit_trail() -> None:
    with pytest.raises(ConfigurationRefused):
        change({"NoSuchKey": "1"}, Origin.BACKEND)

    assert not AuditEntry.objects.exists()


def test_what_is_handed_on_is_never_stored(monkeypatch) -> None:
    taken: list[str] = []
    monkeypatch.setitem(configuration_sources.WRITE, "/WebUi/password/reset", lambda value, _at: taken.append(value))

    change({"/webui/password/reset": "a long new password"})

    assert taken == ["a long new password"]
    assert not ConfigurationValue.objects.exists()
    assert AuditEntry.objects.get().data == {"/WebUi/password/reset": "***"}


def test_an_activation_code_nobody_has_signed_is_refused() -> None:
    with pytest.raises(ConfigurationRefused, match="not a valid activation code"):
        change({"/Product/ActivationCode": "code"})


def test_a_ca_file_installs_each_of_its_certificates_once(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(pem() + pem())

    change({"/ocpp/caFile": str(file)})
    changes = change({"/ocpp/caFile": str(file)})

    roots = TrustedCertificate.objects.filter(kind=backend_ca.BACKEND_ROOT)
    assert [row.pem.count("BEGIN CERTIFICATE") for row in roots] == [1, 1]
    assert configuration.effects_of(changes) == {Effect.OCPP_CONNECTION}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read"),
        (b"nothing", "no PEM certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "damaged"),
    ],
)
def test_a_file_that_is_no_ca_is_refused(tmp_path: Path, content: bytes | None, reason: str) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigurationRefused, match=reason):
        change({"/ocpp/caFile": str(file), "HeartbeatInterval": "60"})
    assert configuration.get("HeartbeatInterval") == "180"


def test_security_profile_2_over_ocpp_waits_for_a_ca() -> None:
    change({"AuthorizationKey": KEY})
    with pytest.raises(ConfigurationRefused, match="CA certificate"):
        change({"SecurityProfile": "2"}, Origin.BACKEND)

    backend_ca.install(pem(), at=AT)

    assert change({"SecurityProfile": "2"}, Origin.BACKEND)


def test_time_zones_are_those_of_the_computer() -> None:
    assert change({"TimeZone": "America/New_York"})
    for nonsense in ("Europe/Passau", "../../etc/passwd", "Europe"):
        with pytest.raises(ConfigurationRefused, match="time zone"):
            change({"TimeZone": nonsense})


def test_a_factory_reset_forgets_everything_but_the_identity() -> None:
    change({"HeartbeatInterval": "60", "/identity/serial": "S1", "AuthorizationKey": KEY})

    changes = configuration.reset_to_factory(origin=Origin.WEB, actor="admin", at=AT)

    assert {changed.key for changed in changes} == {"HeartbeatInterval", "AuthorizationKey"}
    assert configuration.get("AuthorizationKey") == ""
    assert configuration.get("/identity/serial") == "S1"


def test_rows_of_keys_that_no_longer_exist_are_passed_over() -> None:
    ConfigurationValue.objects.create(key="Gone", value="1", changed_at=AT)

    with pytest.raises(UnknownKey):
        configuration.get("Gone")


# --- what one connection sees of another's change


def in_another_connection(items: dict[str, str]) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            change(items)
        except BaseException as error:  # noqa: BLE001  handed to the test's own thread
            failures.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert failures == []


@pytest.mark.django_db(transaction=True)
def test_a_change_on_another_connection_is_seen_at_the_next_reading() -> None:
    watch = configuration.ConfigurationWatch()
    assert configuration.get("HeartbeatInterval") == "180"

    in_another_connection({"HeartbeatInterval": "60"})

    assert configuration.get("HeartbeatInterval") == "60"
    assert [changed.key for changed in watch.changes()] == ["HeartbeatInterval"]
    assert watch.changes() == ()


@pytest.mark.django_db(transaction=True)
def test_an_identity_changed_elsewhere_is_seen_at_the_next_reading() -> None:
    assert configuration.get("/ocpp/chargeBoxIdentity") == "TE"

    identity.save(identity.Identity(serial="S1"))

    assert configuration.get("/ocpp/chargeBoxIdentity") == "TES1"


@pytest.mark.django_db(transaction=True)
def test_without_changes_a_reading_asks_no_table(django_assert_num_queries) -> None:
    first = configuration.snapshot()

    with django_assert_num_queries(0):
        assert configuration.snapshot() is first
        assert configuration.get("HeartbeatInterval") == "180"


@pytest.mark.django_db(transaction=True)
def test_a_change_of_another_table_keeps_the_snapshot() -> None:
    first = configuration.snapshot()

    def work() -> None:
        AuditEntry.objects.create(at=AT, origin="web", command="x")
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)

    assert configuration.snapshot() is first


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_leaves_no_trace_in_the_cache() -> None:
    configuration.snapshot()

    with transaction.atomic():
        change({"HeartbeatInterval": "60"})
        assert configuration.get("HeartbeatInterval") == "60"
        transaction.set_rollback(True)

    assert configuration.get("HeartbeatInterval") == "180"


# --- the identity file


def test_the_first_start_makes_a_serial_number_and_a_password_once(data: DataDirectory) -> None:
    identity.ensure(at=AT)

    password = identity.untold_password()
    made = identity.load()
    assert password is not None
    assert len(password) == 12
    assert set(password) <= set(identity.STICKER_ALPHABET)
    assert len(made.serial) == 9
    assert made.serial.isdigit()
    assert made.production_date == "2026-11"
    assert made.accepts_first_password(password)
    assert not made.accepts_first_password(made.serial)
    assert password not in data.identity.read_text()
    assert stat.S_IMODE(data.identity.stat().st_mode) == 0o600
    assert stat.S_IMODE(data.factory_password.stat().st_mode) == 0o600
    identity.ensure(at=AT)
    assert identity.load() == made
    assert identity.untold_password() == password
    identity.forget_untold_password()
    assert identity.untold_password() is None


def test_a_first_start_torn_before_the_identity_is_written_leaves_no_password_that_nobody_knows(
    data: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def power_cut(_identity: identity.Identity) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as torn:
        torn.setattr(identity, "save", power_cut)
        with pytest.raises(KeyboardInterrupt):
            identity.ensure(at=AT)
    assert identity.untold_password() is None

    identity.ensure(at=AT)

    told = identity.untold_password()
    assert told is not None
    assert identity.load().accepts_first_password(told)


def test_the_alphabet_of_the_sticker_has_32_symbols_without_look_alikes() -> None:
    assert len(set(identity.STICKER_ALPHABET)) == 32
    assert not set(identity.STICKER_ALPHABET) & set("0O1I")


@pytest.mark.parametrize("date", ["", "2019-12", "2025-07"])
def test_a_provisioned_station_of_the_old_kind_opens_with_its_serial_number(date: str) -> None:
    change({"/identity/serial": "S1", "/identity/productionDate": date})

    identity.ensure(at=AT)

    assert identity.untold_password() is None
    assert identity.load().serial == "S1"
    assert identity.load().accepts_first_password("S1")


@pytest.mark.parametrize("date", ["2025-08", "2026-01"])
def test_a_provisioned_station_of_the_new_kind_never_opens_with_its_serial_number(date: str) -> None:
    change({"/identity/serial": "S1", "/identity/productionDate": date})
    assert not identity.load().accepts_first_password("S1")

    identity.ensure(at=AT)

    assert identity.untold_password()
    assert identity.load().serial == "S1"
    assert not identity.load().accepts_first_password("S1")


def test_a_common_factory_password_is_refused() -> None:
    with pytest.raises(ConfigurationRefused) as refused:
        change({"/identity/factoryPassword": "Password1"})

    assert [problem.code for problem in refused.value.problems] == ["common_password"]


def test_a_given_factory_password_is_kept_as_a_hash_and_replaces_the_serial_number(data: DataDirectory) -> None:
    change({"/identity/serial": "S1", "/identity/factoryPassword": KEY})

    identity.ensure(at=AT)

    assert identity.untold_password() is None
    assert identity.load().accepts_first_password(KEY)
    assert not identity.load().accepts_first_password("S1")
    assert KEY not in data.identity.read_text()
    assert identity.load().factory_password_hash not in repr(identity.load())


def test_identity_keys_are_in_the_file_and_not_in_the_database(data: DataDirectory) -> None:
    change({"/identity/connectors": "1", "/identity/socketLock": "false", "/identity/ratedCurrentA": "16"})

    content = json.loads(data.identity.read_text())
    assert (content["connectors"], content["socket_lock"], content["rated_current_a"]) == (1, False, 16)
    assert not ConfigurationValue.objects.exists()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"connectors": 3}', '{"colour": "red"}', '{"serial": null}', '{"factory_password_hash": 1}'],
)
def test_a_broken_identity_file_says_what_to_do(data: DataDirectory, content: str) -> None:
    data.identity.write_text(content)

    with pytest.raises(identity.IdentityFileBroken, match="Restore it"):
        identity.load()


def test_a_process_goes_on_with_the_identity_it_had_when_the_file_is_damaged(
    data: DataDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    change({"/identity/connectors": "1", "/identity/serial": "123456789"})
    right, watch = data.identity.read_bytes(), configuration.ConfigurationWatch()
    before = identity.load()
    data.identity.write_bytes(right[:7])

    assert identity.load() == before
    assert watch.changes() == ()
    assert configuration.get("/identity/serial") == "123456789"
    assert caplog.text.count("goes on with the identity it had") == 1
    assert "Restore it" in str(identity.broken())

    # A further change of a setting does not end with it, and the file is right again.
    change({"/identity/connectors": "2"})
    assert identity.broken() is None
    assert (identity.load().serial, identity.load().connectors) == ("123456789", 2)


# --- manage.py config


def run(*arguments: str) -> str:
    output = StringIO()
    call_command("config", *arguments, stdout=output, stderr=StringIO())
    return output.getvalue()


def test_the_command_line_sets_and_gets_many_keys() -> None:
    assert (
        run("set", "heartbeatinterval=60", f"AuthorizationKey={KEY}") == "AuthorizationKey=***\nHeartbeatInterval=60\n"
    )
    assert run("get", "HEARTBEATINTERVAL", "AuthorizationKey") == "HeartbeatInterval=60\nAuthorizationKey=***\n"


def test_the_command_line_lists_all_keys_as_json_without_secrets() -> None:
    run("set", f"AuthorizationKey={KEY}", f"/identity/factoryPassword={KEY}")

    listed = json.loads(run("list", "--json"))

    assert listed["AuthorizationKey"] == "***"
    assert listed["/identity/factoryPassword"] == "***"
    assert listed["/hw/connectors/2/evseId"] == ""
    assert len(listed) == len(configuration.snapshot())


def test_the_command_line_refuses_all_and_says_why() -> None:
    with pytest.raises(CommandError, match="SecurityProfile: The number must be from 0 to 3") as refused:
        run("set", "HeartbeatInterval=60", "SecurityProfile=7")

    assert refused.value.returncode == 1
    assert configuration.get("HeartbeatInterval") == "180"


def test_the_command_line_names_similar_keys() -> None:
    for arguments in (("get", "HeartbeatIntervall"), ("set", "HeartbeatIntervall=1")):
        with pytest.raises(CommandError, match=r"Similar keys: HeartbeatInterval"):
            run(*arguments)


def test_the_command_line_says_what_is_wrong_with_itself() -> None:
    for arguments in (("set",), ("get",), ("set", "HeartbeatInterval"), ("set", "BlinkRepeat=1", "BlinkRepeat=2")):
        with pytest.raises(CommandError):
            run(*arguments)


def test_a_value_may_hold_equal_signs() -> None:
    run("set", "/ocpp/url=wss://h/${chargeBoxIdentity}?a=b")

    assert configuration.get("/ocpp/url") == "wss://h/${chargeBoxIdentity}?a=b"


def test_options_may_stand_anywhere() -> None:
    assert options_first(["set", "A=1", "--data-dir", "/x y", "B=2", "--json"]) == [
        "--data-dir", "/x y", "--json", "set", "A=1", "B=2",
    ]  # fmt: skip
