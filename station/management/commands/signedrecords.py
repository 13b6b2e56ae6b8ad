"""The archive of signed meter data on the command line: checked, handed over as a whole, and noted upon."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from station import clock
from station.models import ChargingSession
from station.services import signed_archive, signed_export
from station.services.sessions import newest_signed_begin
from station.services.signed_archive import ArchiveUnusable, Entry, Kind


class Command(BaseCommand):
    """manage.py signedrecords --data-dir DIR check | export FILE | session NUMBER FILE | note …."""

    help = "Check the archive of signed meter data, export it as a whole, or note why records of a meter are missing."

    def add_arguments(self, parser: CommandParser) -> None:
        """Describe the verbs."""
        parser.add_argument("--data-dir", help="the station's data directory (default: ./data)")
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("check", help="read the whole archive and say what is missing or changed in it")
        export = verbs.add_parser("export", help="write every record and a list of them into a ZIP file")
        export.add_argument("file", type=Path)
        session = verbs.add_parser("session", help="write what was signed of one session for the transparency software")
        session.add_argument("number", type=int)
        session.add_argument("file", type=Path)
        note = verbs.add_parser("note", help="note that a gap was looked into; sessions may start again")
        note.add_argument("--meter", required=True, help="serial number of the meter")
        note.add_argument("--by", required=True, help="who has looked into it")
        note.add_argument("--reason", required=True, help="why records are missing")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Carry the verb out."""
        try:
            if options["verb"] == "check":
                self._check()
            elif options["verb"] == "export":
                self._export(options["file"])
            elif options["verb"] == "session":
                self._session(options["number"], options["file"])
            else:
                self._note(options["meter"], by=options["by"], reason=options["reason"])
        except ArchiveUnusable as error:
            raise CommandError(f"The archive of signed meter data cannot be used: {error}") from error

    def _check(self) -> None:
        verdict = signed_archive.check(at_least=newest_signed_begin())
        if verdict.problems:
            raise CommandError("; ".join(verdict.details))
        self.stdout.write(f"{verdict.rows} records, nothing is missing or changed.")

    def _export(self, target: Path) -> None:
        try:
            count = signed_export.write_everything(target)
        except FileExistsError as error:
            raise CommandError(f"{target} exists already; name another file.") from error
        except OSError as error:
            raise CommandError(f"{target} cannot be written: {error.strerror}") from error
        self.stdout.write(f"{count} records written to {target}.")

    def _session(self, number: int, target: Path) -> None:
        session = ChargingSession.objects.filter(pk=number).first()
        signed = signed_export.of(session) if session is not None else None
        if session is None or signed is None:
            raise CommandError(f"There is no session {number} with signed meter data.")
        try:
            target.write_bytes(signed_export.transparency_file(session, signed.records))
        except OSError as error:
            raise CommandError(f"{target} cannot be written: {error.strerror}") from error
        findings = ", ".join(signed.findings)
        self.stdout.write(f"{len(signed.records)} records written to {target}; {findings or 'nothing is wrong'}.")

    def _note(self, meter: str, *, by: str, reason: str) -> None:
        facts = {"by": by, "reason": reason}
        entry = Entry(
            at=clock.now(), kind=Kind.NOTE, connector_id=0, meter_serial=meter, public_key="", raw=b"", facts=facts
        )
        # Of an archive that was lost, the numbers that sessions still name are not given to other records.
        signed_archive.append(entry, above=newest_signed_begin())
        self.stdout.write("Noted. Sessions may begin again within seconds, if nothing else is wrong.")
