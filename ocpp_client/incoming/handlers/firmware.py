"""Calls for long jobs with files: they are noted and answered at once, and carried out elsewhere."""

from datetime import datetime
from typing import Any

from ocpp.exceptions import NotSupportedError
from ocpp.v16 import call, call_result
from ocpp.v16.enums import Action, LogStatus, UpdateFirmwareStatus

from ocpp_client.database import in_database
from ocpp_client.incoming.handlers.requests import check_date_time
from ocpp_client.incoming.routing import on
from ocpp_client.ports import FileJobs
from ocpp_client.rpc.messages import payload_of
from station.services import configuration

# Security whitepaper L01.FR.20: with the security extension in use only signed firmware is taken.
_SIGNED_ONLY_FROM_PROFILE = 2


class FirmwareHandlers:
    """Notes uploads and updates."""

    def __init__(self, jobs: FileJobs) -> None:
        self._jobs = jobs

    @on(Action.get_diagnostics)
    async def on_get_diagnostics(
        self, *, at: datetime, start_time: str | None = None, stop_time: str | None = None, **more: Any
    ) -> call_result.GetDiagnostics:
        """Begin an upload; the response names the file, or nothing when there is none."""
        check_date_time("startTime", start_time)
        check_date_time("stopTime", stop_time)
        request = payload_of(call.GetDiagnostics(start_time=start_time, stop_time=stop_time, **more))
        return call_result.GetDiagnostics(await in_database(self._jobs.submit_diagnostics, request, at) or None)

    @on(Action.update_firmware)
    async def on_update_firmware(self, *, at: datetime, retrieve_date: str, **more: Any) -> call_result.UpdateFirmware:
        """Note an update without signature of its own message (the image is signed in any case)."""
        check_date_time("retrieveDate", retrieve_date)
        if await in_database(configuration.get_int, "SecurityProfile") >= _SIGNED_ONLY_FROM_PROFILE:
            raise NotSupportedError("only SignedUpdateFirmware is allowed")
        request = payload_of(call.UpdateFirmware(retrieve_date=retrieve_date, **more))
        await in_database(self._jobs.submit_firmware, request, at)
        return call_result.UpdateFirmware()

    @on(Action.signed_update_firmware)
    async def on_signed_update_firmware(
        self, *, at: datetime, firmware: dict[str, Any], **more: Any
    ) -> call_result.SignedUpdateFirmware:
        """Check and note a signed update."""
        check_date_time("retrieveDateTime", firmware.get("retrieveDateTime"))
        check_date_time("installDateTime", firmware.get("installDateTime"))
        request = payload_of(call.SignedUpdateFirmware(firmware=firmware, **more))
        status = await in_database(self._jobs.submit_signed_firmware, request, at)
        return call_result.SignedUpdateFirmware(UpdateFirmwareStatus(status))

    @on(Action.get_log)
    async def on_get_log(self, *, at: datetime, log: dict[str, Any], **more: Any) -> call_result.GetLog:
        """Begin the upload of a log."""
        check_date_time("oldestTimestamp", log.get("oldestTimestamp"))
        check_date_time("latestTimestamp", log.get("latestTimestamp"))
        request = payload_of(call.GetLog(log=log, **more))
        status, name = await in_database(self._jobs.submit_log, request, at)
        return call_result.GetLog(LogStatus(status), name or None)
