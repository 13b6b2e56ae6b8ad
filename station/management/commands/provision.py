"""`manage.py provision`: gives a new station its identity, from a file on standard input or from a person.

A station that has its identity takes another description of its hardware from the file.
"""

import getpass
import json
import sys
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import translation
from django.utils.translation import gettext as _
from typing_extensions import override

from hardware.drivers.config import HardwareConfigInvalid, parse
from station.management.arguments import add_language
from station.management.exit_codes import REFUSED
from station.services import identity, provisioning
from station.services.provisioning import Mistake, Provision, ProvisioningRefused
from station.ui import provisioning_words

# The image's console speaks English, whoever sits there.
_YES, _NO = frozenset({"y", "yes", "j", "ja"}), frozenset({"n", "no", "nein"})


class Command(BaseCommand):
    """Nothing it prints holds a password: what runs as a service ends up in the journal."""

    help = (
        "Give a station that has none its identity: a JSON object on standard input, or --console to be asked. With "
        "the serial number and factory password that the station has, an entry “hardware” replaces hardware.json. "
        "deploy/README.md has the entries. Ends with 0: taken; 65: what was given is refused; 1: it could not be taken."
    )
    requires_system_checks = ()

    @override
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--data-dir", metavar="DIR", help="data directory (default: ./data)")
        add_language(parser)
        parser.add_argument("--console", action="store_true", help="ask the person at this terminal")
        parser.add_argument(
            "--at-start", action="store_true", help="nobody reads the answer: keep a refusal for the page and /healthz"
        )
        parser.add_argument("--folder", action="store_true", help="what was given is a folder, not a file: refuse it")

    @override
    def handle(self, *_args: Any, **options: Any) -> None:
        with translation.override(options["lang"]):
            try:
                if options["console"]:
                    self._ask_a_person()
                else:
                    self._take(_read(is_folder=options["folder"]))
            except ProvisioningRefused as refusal:
                if options["at_start"]:
                    self._note(refusal)
                raise CommandError(
                    _("The station was not provisioned. %(reasons)s") % {"reasons": _said(refusal)}, returncode=REFUSED
                ) from refusal
            except identity.IdentityFileBroken as broken:
                raise CommandError(_("The station was not provisioned. %(reasons)s") % {"reasons": broken}) from broken

    def _note(self, refusal: ProvisioningRefused) -> None:
        try:
            provisioning.note_refusal(refusal.mistakes)
        except OSError as error:
            # The reason still stands where this is printed.
            self.stderr.write(f"{settings.DATA.provisioning_refused}: {error.strerror}")

    def _take(self, given: Provision) -> None:
        try:
            taken = provisioning.take(given, check_hardware=parse)
        except HardwareConfigInvalid as invalid:
            raise ProvisioningRefused(
                *(
                    Mistake(code="hardware", data={"where": each.where, "text": each.template, **each.data})
                    for each in invalid.problems
                )
            ) from invalid
        if taken.identity:
            self.stdout.write(_("This is station %(serial)s now.") % {"serial": given.serial})
        elif taken.hardware:
            self.stdout.write(
                _("This is station %(serial)s already; the description of its hardware was taken.")
                % {"serial": given.serial}
            )
        else:
            self.stdout.write(_("This is station %(serial)s already; nothing was changed.") % {"serial": given.serial})
        if taken.former_hardware is not None:
            self.stdout.write(_("The earlier description is kept: %(file)s") % {"file": taken.former_hardware})

    def _ask_a_person(self) -> None:
        if not _is_at_a_terminal():
            # Without one the password would be shown while it is typed.
            text = _("Nobody is at a terminal to be asked: sign in at one, or give the file: provision < FILE.")
            raise CommandError(text)
        try:
            self._ask()
        except (EOFError, KeyboardInterrupt) as end:
            text = _("The station was not provisioned: the answers have ended. Begin again.")
            raise CommandError(f"\n{text}") from end

    def _ask(self) -> None:
        """Ask until the answers can be taken; a mistake costs one more round and nothing else."""
        self.stdout.write("\n" + _("This station has no identity yet. Both stand on its sticker."))
        while True:
            serial = input(_("Serial number: ")).strip()
            password = getpass.getpass(_("Factory password (not shown): ")).strip()
            if password != getpass.getpass(_("Factory password once more: ")).strip():
                self.stdout.write(_("The passwords are not the same. Once more, please.") + "\n")
                continue
            try:
                self._take(provisioning.parse(json.dumps({"serial": serial, "factoryPassword": password})))
            except ProvisioningRefused as refusal:
                self.stdout.write(f"{_said(refusal)}\n")
                continue
            if not settings.DATA.hardware.exists():
                # The station has its identity: whoever ends the questions here starts it without a description.
                with suppress(EOFError, KeyboardInterrupt):
                    self._describe_hardware()
            if not settings.DATA.hardware.exists():
                text = _("The station starts without hardware.json and cannot charge (docs/installation.md).")
                self.stdout.write(f"\n{text}")
            return

    def _describe_hardware(self) -> None:
        """Search what is connected, as long as the person wants it; a station without a description starts, too."""
        while self._wants_a_search():
            try:
                call_command(
                    "hardware", "find", lang=translation.get_language(), stdout=self.stdout, stderr=self.stderr
                )
            except CommandError as refusal:
                self.stdout.write(f"{refusal}\n")
            if settings.DATA.hardware.exists():
                return

    def _wants_a_search(self) -> bool:
        """Ask until the answer is a yes or a no; an empty line is yes."""
        yes, no = _("yes"), _("no")
        question = _("Search which boards, meters and readers are connected (%(yes)s, %(no)s)? [%(yes)s] ")
        while True:
            answer = input(question % {"yes": yes, "no": no}).strip().casefold()
            if answer in {"", yes, *_YES}:
                return True
            if answer in {no, *_NO}:
                return False
            self.stdout.write(_("Please one of: %(allowed)s") % {"allowed": f"{yes}, {no}"})


def _is_at_a_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _read(*, is_folder: bool) -> Provision:
    if is_folder:
        raise ProvisioningRefused(Mistake(code="folder"))
    if sys.stdin is None:
        raise CommandError(_("Standard input is closed. Give the file there (provision < FILE), or use --console."))
    try:
        return provisioning.parse(sys.stdin.read())
    except UnicodeDecodeError as error:
        raise ProvisioningRefused(Mistake(code="not_utf8")) from error


def _said(refusal: ProvisioningRefused) -> str:
    return provisioning_words.say_all((each.code, each.data) for each in refusal.mistakes)
