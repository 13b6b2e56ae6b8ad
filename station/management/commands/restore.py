"""`manage.py restore FILE`: puts a backup into this unit, in place of a broken one."""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from typing_extensions import override

from station.processes.checkup.computer import is_running
from station.services import backup

_STANDARD_INPUT = Path("-")


class Command(BaseCommand):
    """Restores a stopped station; what was there is kept beside it."""

    help = "Put a backup into this unit. What it held is kept in before_restore-N of the data directory."
    requires_system_checks = ()

    @override
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="what backup has written; - reads standard input")
        parser.add_argument("--data-dir", metavar="DIR", help="data directory (default: ./data)")
        parser.add_argument(
            "--replace", action="store_true", help="also where this unit has sessions or signed records of its own"
        )
        parser.add_argument(
            "--keep-identity", action="store_true", help="this unit keeps its own serial number and factory password"
        )

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        if is_running():
            raise CommandError("The station is running. Stop it first: systemctl stop station.target")
        settings.DATA.create()
        with TemporaryDirectory(dir=settings.DATA.files) as scratch:
            file: Path = options["file"]
            if file == _STANDARD_INPUT:
                file = Path(scratch) / "backup"
                with file.open("wb") as copy:
                    shutil.copyfileobj(sys.stdin.buffer, copy)
            self._restore(file, replace=options["replace"], keep_identity=options["keep_identity"])

    def _restore(self, file: Path, *, replace: bool, keep_identity: bool) -> None:
        try:
            contents, kept = backup.restore(file, settings.DATA, replace=replace, keep_identity=keep_identity)
        except backup.BackupRefused as refusal:
            raise CommandError(f"{file} cannot be restored: {refusal}. Nothing was changed.") from refusal
        except backup.StationHoldsRecords as refusal:
            raise CommandError(
                "This unit has sessions or signed records of its own, or a damaged database that may hold some. To put "
                "the backup in their place (they are kept beside it), add --replace. Nothing was changed."
            ) from refusal
        except OSError as error:
            raise CommandError(f"{error.filename or file}: {error.strerror}.") from error
        self.stdout.write(
            f"Restored: station {contents.serial} of {contents.at}, {contents.sessions} sessions, "
            f"{contents.signed_records} signed records."
        )
        if kept is not None:
            self.stdout.write(f"What this unit held is kept in {kept}.")
        self.stdout.write(
            "Keys are in no backup: after the start enter the authorization key and other secrets again (doctor names "
            "them), order a new certificate, and register the station at its cluster anew."
        )
