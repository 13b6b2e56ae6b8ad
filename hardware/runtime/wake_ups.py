"""Wake-ups for the OCPP process. A lost one costs time only: the rows are written, and it looks again by itself."""

import logging

from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from station.concurrency import BackgroundTasks
from station.domain.moments import to_wire
from station.services.connectors import StatusRecord

log = logging.getLogger(__name__)

OCPP_CHANNEL = "ocpp"


class WakeUps:
    """Tells the OCPP process that a table has something for it."""

    def __init__(self) -> None:
        self._tasks = BackgroundTasks(log)

    def outbox_changed(self) -> None:
        """Tell, without waiting, that there is something to send."""
        self._tasks.spawn(self._send({"type": "outbox.changed"}))

    async def status_changed(self, record: StatusRecord, revision: int) -> None:
        """Tell a new status."""
        await self._send(
            {
                "type": "status.changed",
                "connector": record.number,
                "status": record.status,
                "error_code": record.error_code,
                "info": record.info,
                "vendor_error_code": record.vendor_error_code,
                "at": to_wire(record.at),
                "revision": revision,
            }
        )

    async def _send(self, message: dict[str, object]) -> None:
        try:
            await get_channel_layer().send(OCPP_CHANNEL, message)
        except (RedisError, OSError):
            log.info("could not wake the OCPP process")
