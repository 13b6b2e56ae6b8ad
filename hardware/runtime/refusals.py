"""Refused starts: written to the event log, and kept at hand for displays."""

from collections.abc import Iterable, Mapping

from hardware.runtime.records import RecordStore
from hardware.runtime.state import Changes
from station import clock
from station.domain.commands import Outcome
from station.domain.snapshot import RefusalSnapshot
from station.services import event_log

_SHOWN_CHARACTERS = 4


class Refusals:
    """Remembers the newest refusal at each charging point."""

    def __init__(self, records: RecordStore, changes: Changes) -> None:
        self._records = records
        self._changes = changes
        self._newest: dict[int, RefusalSnapshot] = {}

    @property
    def newest(self) -> Mapping[int, RefusalSnapshot]:
        """The newest refusal at each charging point, since the start of this process."""
        return self._newest

    async def note(self, id_tag: str, outcome: Outcome, numbers: Iterable[int]) -> None:
        """Explain a refused start at the points that could have been meant; the page and the reader show it."""
        reason, at = outcome.reason.value if outcome.reason else "", clock.now()
        for number in numbers:
            because = str(outcome.data.get("because", ""))
            self._newest[number] = RefusalSnapshot(at=at, id_tag=id_tag, reason=reason, because=because)
        # Whoever holds the card looks at the display now, not when the snapshot is due.
        self._changes.station_changed()
        await self._records.attempt(
            event_log.log, "start.refused", at=at, id_tag=id_tag[:_SHOWN_CHARACTERS], reason=reason, **outcome.data
        )
