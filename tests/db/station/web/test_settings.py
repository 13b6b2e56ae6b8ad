"""Pages of settings: what is in force is shown, what differs is changed all or nothing, a refusal says what to do."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from station.domain.commands import Origin
from station.domain.configuration import ConfigurationRefused
from station.domain.configuration.standard_keys import CERTIFICATE_STORE_MAX_LENGTH
from station.domain.link_security import LinkSecurity
from station.models import AuditEntry, TrustedCertificate
from station.services import accounts, configuration
from tests.db.station.web.conftest import AT

OCPP = "/communication/ocpp"
POWER = "/station/power"
URL = {"ocpp-url": "wss://backend.example.com/ocpp"}
KEY = "0123456789abcdef"


def page(browser: Client, address: str, language: str = "en") -> str:
    browser.cookies["django_language"] = language
    return re.sub(r"\s+", " ", browser.get(address).content.decode().replace("\N{NO-BREAK SPACE}", " "))


def enter(browser: Client, address: str, language: str = "en", **values: str) -> tuple[int, str]:
    browser.cookies["django_language"] = language
    answer = browser.post(address, values, follow=True)
    return answer.status_code, re.sub(r"\s+", " ", answer.content.decode().replace("\N{NO-BREAK SPACE}", " "))


def certificate(name: str = "Example Root CA", *, issuer: str = "") -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]) if issuer else subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=9000))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def test_settings_are_saved_through_the_same_door_as_ocpp_and_audited(browser: Client):
    status, said = enter(browser, OCPP, **URL, AuthorizationKey=KEY, SecurityProfile="2")

    assert status == 200
    assert "Saved." in said
    assert "The station connects to the server anew." in said
    assert configuration.get("/ocpp/url") == URL["ocpp-url"]
    assert configuration.get("SecurityProfile") == "2"
    entry = AuditEntry.objects.get(command="ChangeConfiguration")
    assert (entry.origin, entry.actor) == ("web", "admin")
    assert KEY not in str(entry.data)


def test_blanks_around_an_address_are_removed_and_that_is_said(browser: Client):
    _status, said = enter(browser, OCPP, **{"ocpp-url": "  wss://backend.example.com/ocpp\t"})

    assert "Blanks before or after a value were removed." in said
    assert configuration.get("/ocpp/url") == URL["ocpp-url"]


def test_a_refused_value_stands_beside_its_field_with_an_example_and_nothing_is_saved(browser: Client):
    status, said = enter(browser, OCPP, "de", **{"ocpp-url": "http://x", "AuthorizationKey": KEY})

    assert status == 422
    assert "Es wurde nichts gespeichert." in said
    assert "Beispiel: wss://backend.example.com/ocpp" in said
    assert 'value="http://x"' in said
    assert configuration.get("/ocpp/url") == ""
    assert not configuration.snapshot()["AuthorizationKey"]


def test_a_secret_is_never_shown_kept_when_left_empty_and_removed_on_purpose(browser: Client):
    enter(browser, OCPP, **URL, AuthorizationKey=KEY)
    assert KEY not in page(browser, OCPP)
    assert "set – leave empty to keep it" in page(browser, OCPP)

    enter(browser, OCPP, **URL, AuthorizationKey="")
    assert configuration.snapshot()["AuthorizationKey"] == KEY

    enter(browser, OCPP, **URL, **{"AuthorizationKey": "", "AuthorizationKey-remove": "true"})
    assert not configuration.snapshot()["AuthorizationKey"]


def test_the_chargebox_id_is_edited_as_a_template_and_shown_as_it_goes_out(browser: Client):
    enter(browser, OCPP, **{"ocpp-chargeBoxIdentity": "DE-${serial}"})

    shown = page(browser, OCPP)
    assert 'value="DE-${serial}"' in shown
    assert 'data-fact="chargebox-id">DE-100002440<' in shown


def test_only_a_person_at_the_station_can_trust_a_plain_link_and_only_in_expert_mode(browser: Client, admin: User):
    assert "ocpp-trustPlainLink" not in page(browser, OCPP)
    enter(browser, OCPP, **{"ocpp-trustPlainLink": "true"})
    assert not configuration.get_bool("/ocpp/trustPlainLink")

    accounts.profile_of(admin).show_expert(True)
    assert "Whoever listens in can take the station over" in page(browser, OCPP)
    assert "Wer mithört, kann die Station übernehmen" in page(browser, OCPP, "de")
    enter(browser, OCPP, **{"ocpp-trustPlainLink": "true", "ocpp-verifyHostname": "true"})

    assert configuration.get_bool("/ocpp/trustPlainLink")
    link = LinkSecurity(encrypted=True, certificate_checked=True, name_checked=True, root_trusted=True)
    with pytest.raises(ConfigurationRefused):
        configuration.change(
            {"/ocpp/trustPlainLink": "false"}, origin=Origin.BACKEND, actor="backend", at=AT, link=link
        )


def test_a_switch_that_was_not_on_the_page_stays_as_it_is(browser: Client, admin: User):
    accounts.profile_of(admin).show_expert(True)

    enter(browser, OCPP, **URL)
    assert configuration.get_bool("/ocpp/verifyHostname")
    browser.post(OCPP, {"ocpp-verifyHostname": "false"})

    assert not configuration.get_bool("/ocpp/verifyHostname")


def test_expert_mode_names_the_keys(browser: Client, admin: User):
    assert "<code>/ocpp/url</code>" not in page(browser, OCPP)
    accounts.profile_of(admin).show_expert(True)

    assert "<code>/ocpp/url</code>" in page(browser, OCPP)


def test_what_is_entered_unchanged_changes_nothing(browser: Client):
    enter(browser, OCPP, **URL, SecurityProfile="1")

    _status, said = enter(browser, OCPP, **URL, SecurityProfile="1")

    assert "Nothing was different." in said
    assert AuditEntry.objects.filter(command="ChangeConfiguration").count() == 1


def test_ca_certificates_are_added_shown_and_removed(browser: Client):
    file = SimpleUploadedFile("ca.pem", certificate(), "application/x-pem-file")
    browser.cookies["django_language"] = "en"
    added = browser.post(f"{OCPP}/certificates", {"pem": file}, follow=True).content.decode()
    assert "Added: Example Root CA" in added
    assert "Issued by Example Root CA" in page(browser, OCPP)

    removed = browser.post(f"{OCPP}/certificates/{TrustedCertificate.objects.get().pk}", follow=True).content.decode()

    assert "Removed: Example Root CA" in removed
    assert not TrustedCertificate.objects.exists()
    commands = AuditEntry.objects.values_list("command", flat=True)
    assert {"AddCaCertificate", "RemoveCaCertificate"} <= set(commands)
    assert browser.post(f"{OCPP}/certificates/4711").status_code == 404


@pytest.mark.parametrize("content", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n", b"x" * 200_000])
def test_a_file_that_is_no_certificate_gets_a_message(browser: Client, content: bytes):
    answer = browser.post(f"{OCPP}/certificates", {"pem": SimpleUploadedFile("ca.pem", content)}, follow=True)

    assert 'data-tone="error"' in answer.content.decode()
    assert not TrustedCertificate.objects.exists()


def test_a_servers_certificate_in_place_of_its_ca_is_recognised(browser: Client):
    server = SimpleUploadedFile("server.pem", certificate("ocpp.example.com", issuer="Example Root CA"))

    answer = browser.post(f"{OCPP}/certificates", {"pem": server}, follow=True)

    assert "CN=ocpp.example.com is the certificate of a server" in answer.content.decode()
    assert not TrustedCertificate.objects.exists()


def test_the_store_of_ca_certificates_is_bounded(browser: Client):
    full = b"".join(certificate(f"Root {number}") for number in range(CERTIFICATE_STORE_MAX_LENGTH))
    browser.post(f"{OCPP}/certificates", {"pem": SimpleUploadedFile("ca.pem", full)})

    answer = browser.post(f"{OCPP}/certificates", {"pem": SimpleUploadedFile("ca.pem", certificate())}, follow=True)

    assert "20 CA certificates at most" in answer.content.decode()
    assert TrustedCertificate.objects.count() == CERTIFICATE_STORE_MAX_LENGTH


def test_a_private_key_in_place_of_a_certificate_is_recognised(browser: Client):
    key = SimpleUploadedFile("server.key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")

    answer = browser.post(f"{OCPP}/certificates", {"pem": key}, follow=True)

    assert "holds a private key" in answer.content.decode()
    assert not TrustedCertificate.objects.exists()


def test_the_installers_limit_is_the_ceiling_and_the_backends_lower_one_is_shown_beside_it(browser: Client):
    enter(browser, POWER, **{"power-station-mainsMaxCurrent": "40000"})
    configuration.change({"/power/station/mainsMaxCurrent": "20000"}, origin=Origin.BACKEND, actor="backend", at=AT)

    shown = page(browser, POWER)

    assert 'value="40000"' in shown
    assert 'data-fact="mains">20 A<' in shown
    assert 'data-fact="mains-backend">20 A<' in shown


@pytest.mark.parametrize("entered", ["5999", "63001", "1e4", "", "-1", "32 A"])
def test_a_mains_current_that_cannot_be_is_refused(browser: Client, entered: str):
    before = configuration.get("/power/station/mainsMaxCurrent")

    status, _said = enter(browser, POWER, **{"power-station-mainsMaxCurrent": entered})

    assert status == 422
    assert configuration.get("/power/station/mainsMaxCurrent") == before


# --- Authentication


def decided(browser: Client) -> dict[str, list[str]]:
    text = page(browser, "/authentication")
    body = text[text.index('id="decisions"') :]
    return {
        row[0]: re.findall(r'class="state" data-tone="(\w+)"', row[1])
        for row in re.findall(r'<td data-label="Card">(.*?)</td>(.*?)</tr>', body)
    }


def test_the_table_says_who_may_charge_as_it_is_set(browser: Client):
    enter(browser, OCPP, **URL)

    whitelisted = decided(browser)
    enter(browser, "/authentication", **{"auth-identification": "any"})
    anybody = decided(browser)
    enter(browser, "/authentication", **{"auth-authenticator": "whitelist", "auth-identification": "whitelisted"})
    alone = decided(browser)

    assert whitelisted["Unknown"] == ["waiting", "fault", "fault"]
    assert whitelisted["In the whitelist, accepted"] == ["waiting", "free", "free"]
    assert anybody["Unknown"] == ["waiting", "free", "fault"]
    assert alone["Unknown"] == ["fault"]
    assert alone["In the whitelist, accepted"] == ["free"]


def test_no_rfid_sets_the_keys_that_belong_to_it_and_shows_what_becomes_of_a_car_without_a_card(browser: Client):
    _status, said = enter(browser, "/authentication", **{"auth-identification": "none"})

    assert "Saved." in said
    assert configuration.get_bool("/hw/auth/device/Dummy/enabled")
    assert decided(browser)["No card (DUMMY)"] == ["free"]


def test_the_dummy_rfid_is_for_experts(browser: Client, admin: User):
    assert "Dummy-id-value" not in page(browser, "/authentication")
    accounts.profile_of(admin).show_expert(True)

    status, said = enter(browser, "/authentication", **{"hw-auth-device-Dummy-id-value": "X" * 21})

    assert status == 422
    assert "At most 20 characters are allowed." in said
