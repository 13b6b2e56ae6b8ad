"""`manage.py backup FILE`: everything of a station that cannot be made again, in one file."""

import shutil
import sqlite3
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from typing_extensions import override

from station import clock
from station.services import backup

_STANDARD_OUTPUT = Path("-")


class Command(BaseCommand):
    """Writes a backup; the station may be running."""

    help = "Write books, settings, cards, signed meter data, identity and hardware.json into one file; no private keys."
    requires_system_checks = ()

    @override
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="a new file; - writes to standard output")
        parser.add_argument("--data-dir", metavar="DIR", help="data directory (default: ./data)")

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DATA.database.exists():
            raise CommandError(f"{settings.DATA.root} holds no station.")
        settings.DATA.create()
        if options["file"] == _STANDARD_OUTPUT:
            with TemporaryDirectory(dir=settings.DATA.files) as scratch:
                self._write(Path(scratch) / "backup")
                with (Path(scratch) / "backup").open("rb") as written:
                    shutil.copyfileobj(written, sys.stdout.buffer)
        else:
            self._write(options["file"])

    def _write(self, file: Path) -> None:
        try:
            contents = backup.write(settings.DATA, file, at=clock.now())
        except FileExistsError as error:
            raise CommandError(f"{file} exists already; name another file.") from error
        except OSError as error:
            raise CommandError(f"{file} cannot be written: {error.strerror}.") from error
        except sqlite3.DatabaseError as error:
            raise CommandError(
                f"A database of the station cannot be read: {error}. Nothing was written. A damaged one is set aside "
                "by the next start of the station, which begins a new one."
            ) from error
        # Standard output may be the backup itself.
        self.stderr.write(
            f"Station {contents.serial}: {contents.sessions} sessions, {contents.signed_records} signed records. "
            "The file holds card numbers: keep it where nobody else can read it."
        )
