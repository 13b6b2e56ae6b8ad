"""`manage.py backup FILE`: everything of a station that cannot be made again, in one file."""

import shutil
import sqlite3
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import translation
from django.utils.translation import gettext as _
from typing_extensions import override

from station import clock
from station.management import troubles
from station.management.arguments import add_language
from station.services import backup

_STANDARD_OUTPUT = Path("-")


class Command(BaseCommand):
    """Writes a backup; the station may be running."""

    help = (
        "Write books, settings, cards, signed meter data, identity and hardware.json into one file; no private keys. "
        "Ends with 0: written; 1: not written."
    )
    requires_system_checks = ()

    @override
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="a new file; - writes to standard output")
        parser.add_argument("--data-dir", metavar="DIR", help="data directory (default: ./data)")
        add_language(parser)

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        with translation.override(options["lang"]):
            if not settings.DATA.database.exists():
                raise CommandError(
                    _("%(folder)s holds no station. Name its data directory with --data-dir.")
                    % {"folder": settings.DATA.root}
                )
            settings.DATA.create()
            try:
                if options["file"] == _STANDARD_OUTPUT:
                    self._write_to_standard_output()
                else:
                    self._write(options["file"])
            except OSError as error:
                reason = troubles.refused_path(error)
                hint = _("Nothing was written. Where only root may write: backup - >FILE")
                raise CommandError(f"{reason} {hint}") from error
            except sqlite3.DatabaseError as error:
                raise CommandError(
                    _(
                        "A database of the station cannot be read: %(reason)s. Nothing was written. A damaged one is "
                        "set aside by the next start of the station, which begins a new one."
                    )
                    % {"reason": error}
                ) from error

    def _write_to_standard_output(self) -> None:
        if sys.stdout.isatty():
            raise CommandError(_("A backup is no text: write it to a file, for instance backup - >station.backup"))
        with TemporaryDirectory(dir=settings.DATA.files) as scratch:
            self._write(Path(scratch) / "backup")
            with (Path(scratch) / "backup").open("rb") as written:
                shutil.copyfileobj(written, sys.stdout.buffer)
            sys.stdout.buffer.flush()

    def _write(self, file: Path) -> None:
        contents = backup.write(settings.DATA, file, at=clock.now())
        # Standard output may be the backup itself.
        self.stderr.write(
            _(
                "Station %(serial)s: %(sessions)s sessions, %(signed)s signed records. The file holds card numbers: "
                "keep it where nobody else can read it."
            )
            % {"serial": contents.serial, "sessions": contents.sessions, "signed": contents.signed_records}
        )
