"""Calls for long jobs with files: they are noted and answered at once, and carried out elsewhere."""

from ocpp_client.database import in_database
from ocpp_client.incoming.handlers.base import CallRefused, Handler, Payload, Reply, Request
from ocpp_client.rpc.frames import ErrorCode
from station.services import configuration

# Security whitepaper L01.FR.20: with the security extension in use only signed firmware is taken.
_SIGNED_ONLY_FROM_PROFILE = 2


async def get_diagnostics(request: Request) -> Reply:
    """Begin an upload; the answer names the file, or nothing when there is none."""
    request.moment("startTime")
    request.moment("stopTime")
    jobs = request.link.environment.file_jobs
    name = await in_database(jobs.submit_diagnostics, request.payload, request.at)
    return Reply(payload={"fileName": name} if name else {})


async def update_firmware(request: Request) -> Reply:
    """Note an update without signature of its own message (the image is signed in any case)."""
    request.moment("retrieveDate")
    if await in_database(configuration.get_int, "SecurityProfile") >= _SIGNED_ONLY_FROM_PROFILE:
        raise CallRefused(ErrorCode.NOT_SUPPORTED, "only SignedUpdateFirmware is allowed")
    await in_database(request.link.environment.file_jobs.submit_firmware, request.payload, request.at)
    return Reply()


async def signed_update_firmware(request: Request) -> Reply:
    """Check and note a signed update."""
    request.moment("retrieveDateTime", within="firmware")
    request.moment("installDateTime", within="firmware")
    jobs = request.link.environment.file_jobs
    return Reply(payload={"status": await in_database(jobs.submit_signed_firmware, request.payload, request.at)})


async def get_log(request: Request) -> Reply:
    """Begin the upload of a log."""
    request.moment("oldestTimestamp", within="log")
    request.moment("latestTimestamp", within="log")
    jobs = request.link.environment.file_jobs
    status, name = await in_database(jobs.submit_log, request.payload, request.at)
    payload: Payload = {"status": status}
    if name:
        payload["filename"] = name
    return Reply(payload=payload)


HANDLERS: dict[str, Handler] = {
    "GetDiagnostics": get_diagnostics,
    "UpdateFirmware": update_firmware,
    "SignedUpdateFirmware": signed_update_firmware,
    "GetLog": get_log,
}
