"""A meter that signs, on the bench: its own state lasts whatever becomes of the station."""

import asyncio
from datetime import UTC, datetime

from station.domain.ports import (
    DeviceRefused,
    DeviceSilent,
    Identification,
    MeterIdentity,
    SignatureFormat,
    SignedEnd,
    SignedRecord,
    Synchronisation,
)
from tests.fakes import FakeMeter, Outlet
from tests.ocmf import RecordSigner


class FakeSigningMeter(FakeMeter):
    """A Meter and a SigningMeter. `signs_s`: how long a record takes; `loses_answers`: so many are signed unheard."""

    longest_signing_s = 30.0

    def __init__(self, outlet: Outlet, signer: RecordSigner | None = None) -> None:
        super().__init__(outlet)
        self.signer = signer or RecordSigner(serial=f"M{outlet.number}")
        self.signs_s = 0.5
        self.loses_answers = 0
        self.refuses_to_begin = False
        # What it keeps is not what it has signed, or only the line to the station damages it.
        self.falsifies = False
        self.line_damages = 0
        self.cannot_read_register = False
        self.clock: tuple[datetime, Synchronisation] | None = None
        self.opened: Identification | None = None
        self.records: list[bytes] = []

    async def identify(self) -> MeterIdentity:
        await self._answer()
        key = self.signer.public_key
        return MeterIdentity(vendor="FAKE", model="M1", serial=self.signer.serial, public_key=key)

    async def set_time(self, at: datetime, offset_s: int, synchronisation: Synchronisation) -> None:
        await self._answer()
        self.clock = (at, synchronisation)

    async def open_transaction(self) -> Identification | None:
        await self._answer()
        return self.opened

    async def begin_transaction(self, identification: Identification) -> SignedRecord:
        await self._answer()
        if self.opened is not None or self.refuses_to_begin:
            raise DeviceRefused("a transaction is open")
        self.opened = identification
        return await self._sign("B", identification)

    async def end_transaction(self, end: SignedEnd) -> SignedRecord:
        await self._answer()
        if self.opened is None:
            raise DeviceRefused("no transaction is open")
        identification, self.opened = self.opened, None
        return await self._sign(end.value, identification)

    async def last_record(self) -> SignedRecord | None:
        await self._answer()
        return self._told(self.records[-1]) if self.records else None

    async def _sign(self, transaction: str, who: Identification) -> SignedRecord:
        self.outlet.integrate()
        seconds = asyncio.get_running_loop().time()
        at = datetime.fromtimestamp(seconds, UTC)
        row = {
            "TM": f"{at:%Y-%m-%dT%H:%M:%S},000+0000 {self.clock[1].value if self.clock else 'U'}",
            "TX": transaction,
            "RV": f"@{self.outlet.energy_wh / 1000:.5f}@",
            "RI": "01-00:B2.08.00*FF",
            "RU": "kWh",
            "EF": "",
            "ST": "G",
        }
        if self.cannot_read_register:
            del row["RV"]
            row |= {"EF": "E", "ST": "F"}
        identified = {"IS": who.assigned, "IL": who.level, "IF": list(who.flags), "IT": who.kind, "ID": who.data}
        place = {"CT": who.charge_point_kind, "CI": who.charge_point}
        record = self.signer.record(f"T{len(self.records) + 1}", row, **identified, **place)
        self.records.append(_changed(record) if self.falsifies else record)
        await asyncio.sleep(self.signs_s)
        if self.loses_answers:
            self.loses_answers -= 1
            raise DeviceSilent("no answer")
        if self.line_damages:
            self.line_damages -= 1
            return self._told(_changed(self.records[-1]))
        return self._told(self.records[-1])

    def _told(self, raw: bytes) -> SignedRecord:
        now_s = asyncio.get_running_loop().time()
        return SignedRecord(raw=raw, format=SignatureFormat.OCMF, signed_at_s=now_s)


def _changed(raw: bytes) -> bytes:
    return raw.replace(b'"RV":', b'"RV":9')
