"""Calls of the security extension about certificates (security whitepaper, sections 5.2 to 5.7)."""

from ocpp_client.certificates import certificates, own_certificate
from ocpp_client.certificates.certificates import CertificateInvalid
from ocpp_client.database import in_database
from ocpp_client.incoming.handlers.base import Handler, Reply, Request, status
from station.services import configuration, security_log

_CERTIFICATE_PROFILE = 3


async def install_certificate(request: Request) -> Reply:
    """Add a root certificate."""
    kind = certificates.KINDS[request.payload["certificateType"]]
    return status(await in_database(certificates.install, kind, request.payload["certificate"], request.at))


async def get_installed_certificate_ids(request: Request) -> Reply:
    """Name the root certificates of a kind."""
    found = await in_database(certificates.identifiers, certificates.KINDS[request.payload["certificateType"]])
    if not found:
        return status("NotFound")
    return Reply(payload={"status": "Accepted", "certificateHashData": found})


async def delete_certificate(request: Request) -> Reply:
    """Remove a root certificate; the station's own certificate is not one."""
    endpoint = request.link.state.endpoint
    over_tls = endpoint is not None and endpoint.uses_tls
    wanted = request.payload["certificateHashData"]
    return status(await in_database(certificates.delete, wanted, connected_over_tls=over_tls))


async def certificate_signed(request: Request) -> Reply:
    """Take the station's new certificate into use."""
    try:
        await in_database(own_certificate.take_signed, request.payload["certificateChain"], request.at)
    except CertificateInvalid as error:
        await in_database(security_log.record, "InvalidChargePointCertificate", at=request.at, tech_info=str(error))
        return status("Rejected")
    profile = await in_database(configuration.get_int, "SecurityProfile")

    async def reconnect() -> None:
        request.link.reconnect()

    return status("Accepted", after=reconnect if profile == _CERTIFICATE_PROFILE else None)


HANDLERS: dict[str, Handler] = {
    "InstallCertificate": install_certificate,
    "GetInstalledCertificateIds": get_installed_certificate_ids,
    "DeleteCertificate": delete_certificate,
    "CertificateSigned": certificate_signed,
}
