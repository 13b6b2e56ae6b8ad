"""Security profiles and certificates (OCPP 1.6 security whitepaper, edition 3)."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from ocpp_client.certificates import certificates, own_certificate
from ocpp_client.database import in_database
from station import clock
from station.domain.configuration import Origin
from station.domain.link_security import LinkSecurity
from station.models import SecurityEvent, TrustedCertificate
from station.services import configuration
from tests.certificates import CertificateAuthority, server_context
from tests.db.ocpp_client.conftest import MOMENT

PROVEN = LinkSecurity(encrypted=True, certificate_checked=True, name_checked=True, root_trusted=True)
ROOT = "CentralSystemRootCertificate"


@pytest.fixture
def authority(tmp_path):
    (tmp_path / "ca").mkdir()
    return CertificateAuthority.make(tmp_path / "ca")


async def trust(authority):
    return await in_database(certificates.install, certificates.BACKEND_ROOT, authority.pem, clock.now(), PROVEN)


async def test_profile_2_the_backend_is_known_by_its_certificate(bench, authority):
    tls = server_context(authority.server())
    async with bench(
        run=False,
        tls=tls,
        basic_auth=("TE100002440", b"0123456789abcdef"),
        keys={"AuthorizationKey": "0123456789abcdef", "SecurityProfile": "2"},
    ) as station:
        assert await trust(authority) == "Accepted"
        import asyncio

        running = asyncio.create_task(station.link.run())
        await station.ready()
        await station.link.stop()
        await running


@pytest.mark.parametrize("kind", ["expired_server", "wrong_name_server", "unknown"])
async def test_profile_2_a_wrong_certificate_is_refused_and_noted(bench, authority, tmp_path, kind):
    if kind == "unknown":
        (tmp_path / "other").mkdir()
        server = CertificateAuthority.make(tmp_path / "other", "other").server()
    else:
        server = getattr(authority, kind)()
    async with bench(tls=server_context(server), check_schemas=False) as station:
        await trust(authority)
        station.link.control.reconnect()
        await station.until(lambda: station.link.state.last_error == "certificate_invalid")
        await station.until_in_database(
            lambda: SecurityEvent.objects.filter(type="InvalidCentralSystemCertificate").exists()
        )
        assert station.backend.connects == 0


async def test_a_wrong_name_is_taken_where_the_installer_says_so(bench, authority):
    tls = server_context(authority.wrong_name_server())
    async with bench(tls=tls, keys={"/ocpp/verifyHostname": "false"}) as station:
        await trust(authority)
        station.link.control.reconnect()
        await station.ready()


async def test_profile_3_the_station_is_known_by_a_certificate_signed_on_request(bench, authority):
    tls = server_context(authority.server(), client_authority=authority)
    async with bench(run=False, tls=tls, keys={"CpoName": "Operator"}) as station:
        import asyncio

        await trust(authority)
        csr = await in_database(own_certificate.signing_request)
        subject = x509.load_pem_x509_csr(csr.encode()).subject
        assert subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "100002440"
        assert subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "Operator"
        await in_database(own_certificate.take_signed, authority.sign_request(csr), clock.now())
        assert await in_database(own_certificate.exists)
        await in_database(configuration.change, {"SecurityProfile": "3"}, origin=Origin.LOCAL, actor="test", at=MOMENT)
        running = asyncio.create_task(station.link.run())
        await station.ready()
        assert station.backend.connection().client_certificate
        await station.link.stop()
        await running


async def test_a05_a_profile_that_does_not_work_falls_back_to_the_one_that_did(bench):
    async with bench(
        basic_auth=("TE100002440", b"0123456789abcdef"), keys={"AuthorizationKey": "0123456789abcdef"}
    ) as station:
        await station.ready()
        await in_database(certificates.store, certificates.BACKEND_ROOT, *await root())
        assert await station.backend.call("ChangeConfiguration", {"key": "SecurityProfile", "value": "2"}) == {
            "status": "Accepted"
        }
        await station.backend.wait_connected(at_least=2)
        await station.until_in_database(lambda: configuration.get("SecurityProfile") == "1")
        await station.ready()
        assert await station.backend.call("ChangeConfiguration", {"key": "SecurityProfile", "value": "0"}) == {
            "status": "Rejected"
        }


async def root():
    import tempfile
    from pathlib import Path

    made = CertificateAuthority.make(Path(tempfile.mkdtemp()))
    return certificates.read_chain(made.pem)[0], MOMENT


async def test_5_root_certificates_are_installed_listed_and_deleted(bench, authority):
    async with bench() as station:
        await station.ready()
        call = station.backend.call
        assert await call("GetInstalledCertificateIds", {"certificateType": ROOT}) == {"status": "NotFound"}
        install = {"certificateType": ROOT, "certificate": authority.pem}
        assert await call("InstallCertificate", install) == {"status": "Accepted"}
        assert await call("InstallCertificate", install | {"certificate": "nonsense"}) == {"status": "Rejected"}
        server = authority.expired_server().pem
        assert await call("InstallCertificate", install | {"certificate": server}) == {"status": "Rejected"}
        listed = await call("GetInstalledCertificateIds", {"certificateType": ROOT})
        assert listed["status"] == "Accepted"
        identifier = listed["certificateHashData"][0]
        other = identifier | {"serialNumber": "1234"}
        assert await call("DeleteCertificate", {"certificateHashData": other}) == {"status": "NotFound"}
        assert await call("DeleteCertificate", {"certificateHashData": identifier}) == {"status": "Accepted"}
        assert await in_database(TrustedCertificate.objects.count) == 0


async def test_a02_a_certificate_is_asked_for_signed_and_taken(bench, authority):
    async with bench() as station:
        await station.ready()
        trigger = {"requestedMessage": "SignChargePointCertificate"}
        assert await station.backend.call("ExtendedTriggerMessage", trigger) == {"status": "Accepted"}
        frame = await station.backend.wait_for("SignCertificate")
        signed = authority.sign_request(frame.payload["csr"])
        foreign = authority.client("somebody").pem
        assert await station.backend.call("CertificateSigned", {"certificateChain": foreign}) == {"status": "Rejected"}
        assert await station.backend.call("CertificateSigned", {"certificateChain": signed}) == {"status": "Accepted"}
        assert await in_database(own_certificate.exists)
        events = await in_database(lambda: list(SecurityEvent.objects.values_list("type", flat=True)))
        assert events == ["InvalidChargePointCertificate"]


async def test_a02_a_new_certificate_is_asked_for_a_month_before_the_end(bench, authority):
    async with bench() as station:
        await station.ready()
        csr = await in_database(own_certificate.signing_request)
        chain = authority.sign_request(csr, valid_for=timedelta(days=20))
        await in_database(own_certificate.take_signed, chain, clock.now())

        station.backend.answers["SignCertificate"] = {"status": "Accepted"}

        assert await station.link.renewal.step()

        signed = authority.sign_request(
            station.backend.received("SignCertificate")[0].payload["csr"], valid_for=timedelta(days=90)
        )
        assert await station.backend.call("CertificateSigned", {"certificateChain": signed}) == {"status": "Accepted"}
        assert not await station.link.renewal.step()
