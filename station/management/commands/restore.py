"""`manage.py restore FILE`: puts a backup into this unit, in place of a broken one."""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import translation
from django.utils.translation import gettext as _
from typing_extensions import override

from station.management import troubles
from station.management.arguments import add_language
from station.management.exit_codes import REFUSED
from station.processes import lock
from station.processes.checkup.computer import is_running
from station.services import backup

_STANDARD_INPUT = Path("-")


class Command(BaseCommand):
    """Restores a stopped station; what was there is kept beside it."""

    help = (
        "Put a backup into this unit. What it held is kept in before_restore-N of the data directory. Ends with 0: "
        "restored; 65: the file is no backup that can be restored; 1: it could not be restored."
    )
    requires_system_checks = ()

    @override
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="what backup has written; - reads standard input")
        parser.add_argument("--data-dir", metavar="DIR", help="data directory (default: ./data)")
        add_language(parser)
        parser.add_argument(
            "--replace", action="store_true", help="also where this unit has sessions or signed records of its own"
        )
        parser.add_argument(
            "--keep-identity", action="store_true", help="this unit keeps its own serial number and factory password"
        )

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        with translation.override(options["lang"]):
            if is_running():
                raise _refusal()
            settings.DATA.create()
            file: Path = options["file"]
            try:
                with lock.alone(settings.DATA), TemporaryDirectory(dir=settings.DATA.files) as scratch:
                    if file == _STANDARD_INPUT:
                        file = Path(scratch) / "backup"
                        with file.open("wb") as copy:
                            shutil.copyfileobj(sys.stdin.buffer, copy)
                    self._restore(
                        file,
                        shown=options["file"],
                        replace=options["replace"],
                        keep_identity=options["keep_identity"],
                    )
            except lock.DirectoryIsUsed as error:
                raise _refusal() from error
            except OSError as error:
                reason = troubles.refused_path(error)
                hint = _("Where only root may read: restore - <FILE")
                raise CommandError(f"{reason} {hint}") from error

    def _restore(self, file: Path, *, shown: Path, replace: bool, keep_identity: bool) -> None:
        before = backup.serial_of(settings.DATA)
        try:
            contents, kept = backup.restore(file, settings.DATA, replace=replace, keep_identity=keep_identity)
        except backup.BackupRefused as refusal:
            text = _("%(file)s cannot be restored: %(reason)s. Nothing was changed.")
            reason = _(refusal.template) % refusal.data
            raise CommandError(text % {"file": shown, "reason": reason}, returncode=REFUSED) from refusal
        except backup.StationHoldsRecords as refusal:
            raise CommandError(
                _(
                    "This unit has sessions or signed records of its own, or a damaged database that may hold some. To "
                    "put the backup in their place (they are kept beside it), add --replace. Nothing was changed."
                )
            ) from refusal
        self.stdout.write(
            _("Restored: station %(serial)s of %(at)s, %(sessions)s sessions, %(signed)s signed records.")
            % {
                "serial": contents.serial,
                "at": contents.at,
                "sessions": contents.sessions,
                "signed": contents.signed_records,
            }
        )
        now = backup.serial_of(settings.DATA)
        if before and now != before:
            self.stdout.write(
                _("This unit was station %(before)s and is station %(now)s now (--keep-identity keeps its own).")
                % {"before": before, "now": now}
            )
        if kept is not None:
            self.stdout.write(_("What this unit held is kept in %(folder)s.") % {"folder": kept})
        self.stdout.write(
            _(
                "Keys are in no backup: after the start enter the authorization key and other secrets again (doctor "
                "names them), order a new certificate, and register the station at its cluster anew."
            )
        )


def _refusal() -> CommandError:
    return CommandError(_("The station is running. Stop it first: systemctl stop station.target"))
