"""What calibrated meters have signed, as others check it: for the transparency software, or the whole archive."""

import csv
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from station.domain import ocmf
from station.domain.ocmf import Finding, RecordMalformed
from station.domain.ports import SignatureFormat
from station.models import ChargingSession
from station.services import signed_archive
from station.services.signed_archive import Archived, Kind

# Names of the transparency software for what is carried without being read.
_FORMATS = {SignatureFormat.OCMF: "OCMF", SignatureFormat.EDL: "EDL_40_P"}
_CONTEXTS = {Kind.BEGIN: "Transaction.Begin", Kind.END: "Transaction.End"}


@dataclass(frozen=True, kw_only=True)
class SignedSession:
    """The signed records of a session, in their order, and what is wrong with them; nothing is in place of others."""

    records: tuple[Archived, ...]
    findings: tuple[Finding, ...]


def of(session: ChargingSession) -> SignedSession | None:
    """Read and check what was signed of a session; None: its meter does not sign. Raises ArchiveUnusable."""
    if session.signed_begin is None:
        return None
    records = tuple(each for each in signed_archive.of_session(session.signed_begin) if each.entry.kind in _CONTEXTS)
    return SignedSession(records=records, findings=_check(records, is_over=session.stopped_at is not None))


def _check(records: Sequence[Archived], *, is_over: bool) -> tuple[Finding, ...]:
    if any(each.entry.format is not SignatureFormat.OCMF for each in records):
        return (Finding.SIGNATURE_UNVERIFIABLE,)
    key = records[0].entry.public_key if records else ""
    findings = ocmf.check_session([each.entry.raw for each in records], key)
    return findings if is_over else tuple(each for each in findings if each is not Finding.NO_END)


def transparency_file(session: ChargingSession, records: Sequence[Archived]) -> bytes:
    """Write the records as the transparency software reads them, byte by byte as they were signed.

    Its `transactionId` is a number: the backend's, or where it has given none our own.
    """
    number = session.pk if session.transaction_id is None else session.transaction_id
    values = ET.Element("values")
    for each in records:
        value = ET.SubElement(values, "value", transactionId=str(number), context=_context(each))
        data = ET.SubElement(value, "signedData", format=_FORMATS[each.entry.format], encoding=_encoding(each))
        data.text = _text(each)
        ET.SubElement(value, "publicKey", encoding="hex").text = each.entry.public_key
    body: bytes = ET.tostring(values, encoding="utf-8", xml_declaration=True)
    return body


def _context(row: Archived) -> str:
    """Return what a record is to its transaction; one with both readings in it is complete as an end."""
    try:
        record = ocmf.parse(row.entry.raw)
    except RecordMalformed:
        return _CONTEXTS[row.entry.kind]
    return _CONTEXTS[Kind.END if record.end is not None else Kind.BEGIN]


def _encoding(row: Archived) -> str:
    return "plain" if row.entry.format is SignatureFormat.OCMF else "hex"


def _text(row: Archived) -> str:
    raw = row.entry.raw
    return raw.decode("utf-8") if row.entry.format is SignatureFormat.OCMF else raw.hex().upper()


def write_everything(target: Path) -> int:
    """Write the whole archive into a ZIP file: a list, and each record in a file of its own; return how many rows.

    Raises ArchiveUnusable or OSError.
    """
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(
        ("number", "archived", "kind", "connector", "begin", "meter", "context", "pagination", "public key", "file")
    )
    count = 0
    with zipfile.ZipFile(target, "x", zipfile.ZIP_DEFLATED) as file:
        for row in signed_archive.everything():
            entry, pagination = row.entry, row.pagination
            name = f"records/{row.number:08}.{entry.format.value.lower()}"
            if entry.raw:
                file.writestr(name, entry.raw)
            writer.writerow(
                (
                    row.number,
                    entry.at.isoformat(),
                    entry.kind.value,
                    entry.connector_id,
                    entry.begin_number or "",
                    entry.meter_serial,
                    pagination.context if pagination else "",
                    pagination.number if pagination else "",
                    entry.public_key,
                    name if entry.raw else "",
                )
            )
            count += 1
        file.writestr("index.csv", table.getvalue())
    return count
