"""Calls of the security extension about certificates (security whitepaper, sections 5.2 to 5.7)."""

from datetime import datetime
from typing import Any

from ocpp.v16 import call_result
from ocpp.v16.enums import (
    Action,
    CertificateSignedStatus,
    CertificateStatus,
    DeleteCertificateStatus,
    GetInstalledCertificateStatus,
)

from ocpp_client.certificates import certificates, own_certificate
from ocpp_client.certificates.certificates import CertificateInvalid
from ocpp_client.database import in_database
from ocpp_client.incoming.handlers.context import BackendConnection
from ocpp_client.incoming.routing import after, on
from station.services import configuration, security_log

_CERTIFICATE_PROFILE = 3


class SecurityHandlers:
    """Maintains certificates."""

    def __init__(self, connection: BackendConnection) -> None:
        self._connection = connection

    @on(Action.install_certificate)
    async def on_install_certificate(
        self, *, certificate_type: str, certificate: str, at: datetime
    ) -> call_result.InstallCertificate:
        """Add a root certificate."""
        outcome = await in_database(
            certificates.install, certificates.KINDS[certificate_type], certificate, at, self._connection.link_of_call
        )
        return call_result.InstallCertificate(CertificateStatus(outcome))

    @on(Action.get_installed_certificate_ids)
    async def on_get_installed_certificate_ids(
        self, *, certificate_type: str, **_: Any
    ) -> call_result.GetInstalledCertificateIds:
        """Name the root certificates of a kind."""
        found = await in_database(certificates.identifiers, certificates.KINDS[certificate_type])
        if not found:
            return call_result.GetInstalledCertificateIds(GetInstalledCertificateStatus.not_found)
        return call_result.GetInstalledCertificateIds(GetInstalledCertificateStatus.accepted, found)

    @on(Action.delete_certificate)
    async def on_delete_certificate(
        self, *, certificate_hash_data: dict[str, Any], **_: Any
    ) -> call_result.DeleteCertificate:
        """Remove a root certificate; the station's own certificate is not one."""
        outcome = await in_database(certificates.delete, certificate_hash_data, self._connection.link_of_call)
        return call_result.DeleteCertificate(DeleteCertificateStatus(outcome))

    @on(Action.certificate_signed)
    async def on_certificate_signed(self, *, certificate_chain: str, at: datetime) -> call_result.CertificateSigned:
        """Take the station's new certificate into use."""
        try:
            await in_database(own_certificate.take_signed, certificate_chain, at)
        except CertificateInvalid as error:
            await in_database(security_log.record, "InvalidChargePointCertificate", at=at, tech_info=str(error))
            return call_result.CertificateSigned(CertificateSignedStatus.rejected)
        return call_result.CertificateSigned(CertificateSignedStatus.accepted)

    @after(Action.certificate_signed)
    async def after_certificate_signed(self, *, response: call_result.CertificateSigned, **_: Any) -> None:
        """Connect anew where the certificate is what the station logs in with."""
        if response.status is not CertificateSignedStatus.accepted:
            return
        if await in_database(configuration.get_int, "SecurityProfile") == _CERTIFICATE_PROFILE:
            self._connection.reconnect()
