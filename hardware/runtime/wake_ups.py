"""Wake-ups for the OCPP process. A lost one costs time only: the rows are written, and it looks again by itself."""

import logging

from station.concurrency import BackgroundTasks
from station.services.connectors import StatusRecord
from station.services.messages import DimmingChanged, OutboxChanged, StatusChanged, send_to_ocpp

logger = logging.getLogger(__name__)


class WakeUps:
    """Tells the OCPP process that a table has something for it."""

    def __init__(self) -> None:
        self._tasks = BackgroundTasks(logger)

    def outbox_changed(self) -> None:
        """Tell, without waiting, that there is something to send."""
        self._tasks.spawn(send_to_ocpp(OutboxChanged()))

    def dimming_changed(self) -> None:
        """Tell, without waiting, that the grid operator has begun or ended an intervention."""
        self._tasks.spawn(send_to_ocpp(DimmingChanged()))

    async def status_changed(self, record: StatusRecord, revision: int) -> None:
        """Tell a new status."""
        await send_to_ocpp(
            StatusChanged(
                connector_id=record.number,
                revision=revision,
                status=record.status,
                error_code=record.error_code,
                info=record.info,
                vendor_error_code=record.vendor_error_code,
                at=record.at,
            )
        )
