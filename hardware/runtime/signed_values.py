"""What calibrated meters have signed, as the control loop passes it on: read where that is possible, never changed."""

from collections.abc import Sequence
from dataclasses import dataclass

from station import clock
from station.domain import ocmf
from station.domain.meter_values import KeyPolicy, ReadingContext
from station.domain.meter_values import SignedRecord as ToldRecord
from station.domain.ocmf import Finding, RecordMalformed
from station.domain.ports import MeterIdentity, SignatureFormat, SignedRecord, Synchronisation
from station.domain.units import WattHour
from station.services.signed_archive import Archived, Kind

# What one record alone can show: these bytes are not what this meter has signed.
_NOT_SIGNED = frozenset(
    {Finding.MALFORMED, Finding.KEY_MISSING, Finding.KEY_UNREADABLE, Finding.SIGNATURE_WRONG, Finding.SERIAL_MISSING}
)


@dataclass(frozen=True, kw_only=True)
class SignedValue:
    """A signed record that is in the archive, under `number`; `register` None: of a format that is not read.

    `message_id`: what is told of a begin goes to the backend under this id, which the archive knows, too.
    """

    record: SignedRecord
    number: int
    public_key: str
    register: WattHour | None
    message_id: str = ""

    def told(self, context: ReadingContext, policy: KeyPolicy) -> ToldRecord:
        """Return it as the backend is told, with its key or without."""
        with_key = policy is KeyPolicy.ALWAYS or (
            policy is KeyPolicy.ONCE and context is ReadingContext.TRANSACTION_BEGIN
        )
        key = self.public_key if with_key else ""
        return ToldRecord(encoding=self.record.format.value, data=self.record.raw, public_key=key)


def register_of(raw: bytes) -> WattHour | None:
    """Return the whole watt hours of the last reading; None where it cannot be read."""
    try:
        readings = ocmf.parse(raw).readings
    except RecordMalformed:
        return None
    return readings[-1].register_wh if readings else None


def value_of(row: Archived) -> SignedValue:
    """Return an archived record as it was when it was signed."""
    record = SignedRecord(raw=row.entry.raw, format=row.entry.format, signed_at_s=clock.monotonic_s())
    return SignedValue(
        record=record, number=row.number, public_key=row.entry.public_key, register=register_of(row.entry.raw)
    )


def end_in(kept: Sequence[Archived]) -> SignedValue | None:
    """Return the end among the records of a session."""
    end = next((each for each in kept if each.entry.kind is Kind.END), None)
    return None if end is None else value_of(end)


def is_signed(record: SignedRecord, identity: MeterIdentity) -> bool:
    """Return whether these bytes are what this meter has signed; a format that is not read is believed."""
    if record.format is not SignatureFormat.OCMF:
        return True
    return _NOT_SIGNED.isdisjoint(ocmf.check(record.raw, identity.public_key))


def is_end(record: SignedRecord) -> bool:
    """Return whether a transaction ends with a record."""
    try:
        return ocmf.parse(record.raw).end is not None
    except RecordMalformed:
        return False


def is_without_time(begin: bytes) -> bool:
    """Return whether the meter did not know the time at the begin."""
    try:
        readings = ocmf.parse(begin).readings
    except RecordMalformed:
        return False
    return bool(readings) and readings[-1].synchronisation in {None, Synchronisation.UNKNOWN}


def follows(begin: bytes, record: SignedRecord) -> bool:
    """Return whether a record is the end of what this begin began; where it cannot be read the meter is believed."""
    if record.format is not SignatureFormat.OCMF:
        return record.raw != begin
    try:
        first, last = ocmf.parse(begin), ocmf.parse(record.raw)
    except RecordMalformed:
        return False
    return last.end is not None and last.pagination.follows(first.pagination)
