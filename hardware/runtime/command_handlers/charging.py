"""Beginning and ending sessions by command."""

from collections.abc import Mapping

from hardware.runtime.admission import Admission, StartRequest
from hardware.runtime.command_handlers.handler import ACCEPTED, Handler
from hardware.runtime.point import ChargingPoint
from hardware.runtime.records import RecordStore
from station.domain import connector as machine
from station.domain.charging_profiles import ProfileMalformed, check_remote_start, parse_profile
from station.domain.commands import (
    Command,
    Origin,
    Outcome,
    PresentTag,
    Refusal,
    StartSession,
    StopSession,
    rejected,
)
from station.domain.id_tags import MAX_ID_TAG_LENGTH
from station.services import charging_profiles, sessions

# Shorter than `commands.DEFAULT_WAIT_S`, so that the answer still finds its asker.
PERSON_WAITS_S = 3.5


class ChargingHandlers:
    """Cards, remote starts and stops."""

    def __init__(self, points: Mapping[int, ChargingPoint], records: RecordStore, admission: Admission) -> None:
        self._points = points
        self._records = records
        self._admission = admission
        self.handlers: dict[type[Command], Handler] = {
            PresentTag: self._present_tag,
            StartSession: self._start,
            StopSession: self._stop,
        }

    async def _present_tag(self, command: PresentTag, origin: str) -> Outcome:
        if not 0 < len(command.id_tag) <= MAX_ID_TAG_LENGTH:
            return rejected(Refusal.TAG_INVALID)
        return await self._admission.present_tag(command.id_tag, command.connector_id, origin=origin)

    async def _start(self, command: StartSession, origin: str) -> Outcome:
        if not 0 < len(command.id_tag) <= MAX_ID_TAG_LENGTH:
            return rejected(Refusal.TAG_INVALID)
        point = None
        if command.connector_id is not None:
            point = self._points.get(command.connector_id)
            if point is None:
                return rejected(Refusal.CONNECTOR_UNKNOWN)
        if command.charging_profile is not None and not await self._profile_fits(command, point):
            return rejected(Refusal.PROFILE_INVALID)
        request = StartRequest(
            id_tag=command.id_tag,
            origin=origin,
            point=point,
            profile=command.charging_profile,
            authorize=command.authorize,
        )
        # A person at the page waits for the decision about the card; a backend only wants to know that it is tried.
        patience_s = PERSON_WAITS_S if origin == Origin.WEB else 0.0
        return await self._admission.start_remotely(request, patience_s=patience_s)

    async def _profile_fits(self, command: StartSession, point: ChargingPoint | None) -> bool:
        try:
            profile = parse_profile(command.charging_profile or {})
        except ProfileMalformed:
            return False
        context = await self._records.execute(charging_profiles.context)
        return check_remote_start(profile, point.number if point else 1, context) is None

    async def _stop(self, command: StopSession, _origin: str) -> Outcome:
        if command.transaction_id is not None:
            point = await self._by_transaction(command.transaction_id)
            if point is None:
                return rejected(Refusal.TRANSACTION_UNKNOWN)
        else:
            point = self._points.get(command.connector_id or 0)
            if point is None:
                return rejected(Refusal.CONNECTOR_UNKNOWN)
        if not point.busy:
            return rejected(Refusal.NO_SESSION)
        session = point.session
        await point.handle(machine.StopRequested(reason=command.reason))
        if session is not None and not session.stop_is_recorded:
            # Energy is withdrawn, but a restart would not know why; nobody is told what is not written down.
            return rejected(Refusal.RECORDS_UNWRITABLE)
        return ACCEPTED

    async def _by_transaction(self, transaction_id: int) -> ChargingPoint | None:
        for point in self._points.values():
            if point.session and point.session.transaction_id == transaction_id:
                return point
        # The message that brings the number may still be on its way; the table has it.
        row = await self._records.execute(sessions.by_transaction, transaction_id)
        return self._points.get(row.connector_id) if row else None
