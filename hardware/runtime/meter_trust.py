"""Whether what a calibrated meter signs can be relied on; where it cannot, its own charging point waits, no other."""

import logging
from collections.abc import Sequence
from typing import Protocol

from hardware.runtime.archive import Archive
from hardware.runtime.signed_values import is_signed
from station import clock
from station.domain import ocmf
from station.domain.faults import FaultCode
from station.domain.ocmf import Finding
from station.domain.ports import MeterIdentity, SignedRecord

logger = logging.getLogger(__name__)

SIGNING_FAULT = "signing"
# A meter whose last record is not what it has signed is asked so often whether it is by now.
ASK_AGAIN_S = 60.0
_READ = b"OCMF|"
# The clock of the meter, and the order of what it has signed, are not what makes energy wrong.
_HARMLESS = frozenset(
    {Finding.TIME_UNKNOWN, Finding.TIME_SOURCES_DIFFER, Finding.TIME_GOES_BACK, Finding.SIGNATURE_UNVERIFIABLE}
)
# What a meter says of itself, truthfully signed. It concerns its own point, and the next begin asks it again.
_SAID_BY_THE_METER = frozenset(
    {Finding.REGISTER_UNREADABLE, Finding.NOT_IMPORTED_ENERGY, Finding.METER_NOT_GOOD, Finding.METER_ERROR}
)


class NotReliable(Exception):
    """Signed records have findings; the message names them."""


class MeteredPoint(Protocol):
    """A charging point as its calibrated meter sees it."""

    number: int

    @property
    def meter_identity(self) -> MeterIdentity | None:
        """What the meter has said about itself; None: nothing yet."""

    def set_faults(self, source: str, codes: frozenset[FaultCode], *, info: str = "") -> bool:
        """Take what one source reports to be wrong; return whether that is news."""

    def tell_changed(self) -> None:
        """Tell that faults have changed."""


class MeterTrust:
    """What is believed of the meter of one charging point.

    What it has signed wrongly blocks its point until its last record is in order again, it is replaced, or somebody has
    noted why.
    """

    def __init__(self, point: MeteredPoint, archive: Archive) -> None:
        self._point = point
        self._archive = archive
        # Whose records are not believed, and the newest row when that was found.
        self._distrusted: tuple[MeterIdentity, int] | None = None
        self._looked_at_s = 0.0

    @property
    def is_to_be_asked(self) -> bool:
        """Whether it is time to look again at a meter that is distrusted."""
        return self._distrusted is not None and clock.monotonic_s() - self._looked_at_s >= ASK_AGAIN_S

    async def judge(
        self, raws: Sequence[bytes], public_key: str, *, identity: MeterIdentity, allowed: frozenset[Finding]
    ) -> None:
        """Check what was signed; raises NotReliable. One that is not what the meter signed blocks its point."""
        if not raws[0].startswith(_READ):
            return
        findings = [each for each in ocmf.check_session(raws, public_key) if each not in allowed | _HARMLESS]
        if not findings:
            self._trust()
            return
        logger.error("point %d: signed meter data that cannot be relied on: %s", self._point.number, findings)
        if not _SAID_BY_THE_METER.issuperset(findings):
            self._distrust(identity, await self._archive.newest())
        raise NotReliable(", ".join(findings))

    async def look(self, record: SignedRecord | None, identity: MeterIdentity) -> None:
        """Judge the meter by the record it has signed last; raises ArchiveUnusable."""
        self._looked_at_s = clock.monotonic_s()
        if self._distrusted is None:
            # It may be of another station, or of a test in the factory: that it is this meter's is enough.
            if record is not None and not is_signed(record, identity):
                self._distrust(identity, await self._archive.newest())
            return
        whose, row = self._distrusted
        if (
            whose != identity
            or _is_in_order(record, identity)
            or await self._archive.was_noted(identity.serial, since=row)
        ):
            self._trust()

    def _trust(self) -> None:
        self._distrusted = None
        if self._point.set_faults(SIGNING_FAULT, frozenset()):
            logger.warning("point %d: its calibrated meter signs as it should again", self._point.number)
            self._point.tell_changed()

    def _distrust(self, identity: MeterIdentity, row: int) -> None:
        self._distrusted, self._looked_at_s = (identity, row), clock.monotonic_s()
        # OCPP's info has 50 characters (CiString50Type).
        info = f"Meter of point {self._point.number} signs wrongly: check it"
        fault = frozenset({FaultCode.REGULATORY_COMPLIANCE_FAILURE})
        if self._point.set_faults(SIGNING_FAULT, fault, info=info):
            self._point.tell_changed()


def _is_in_order(record: SignedRecord | None, identity: MeterIdentity) -> bool:
    if record is None or not record.raw.startswith(_READ):
        return True
    return (_HARMLESS | _SAID_BY_THE_METER).issuperset(ocmf.check(record.raw, identity.public_key))
