"""`manage.py provision`: gives a new station its identity, from a file on standard input or from a person."""

import getpass
import json
import sys
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from typing_extensions import override

from hardware.drivers.config import HardwareConfigInvalid, parse
from station.services import identity, provisioning
from station.services.provisioning import Provision, ProvisioningRefused


class Command(BaseCommand):
    """Nothing it prints holds a password: what runs as a service ends up in the journal."""

    help = (
        "Give a station that has none its identity: a JSON object on standard input, or --console to be asked. "
        "deploy/README.md has the entries."
    )
    requires_system_checks = ()

    @override
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--data-dir", metavar="DIR", help="data directory (default: ./data)")
        parser.add_argument("--console", action="store_true", help="ask the person at this terminal")

    @override
    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            if options["console"]:
                self._ask_a_person()
            else:
                self._take(provisioning.parse(sys.stdin.read()))
        except (ProvisioningRefused, HardwareConfigInvalid, identity.IdentityFileBroken) as refusal:
            raise CommandError(f"The station was not provisioned. {refusal}") from refusal
        except UnicodeDecodeError as error:
            raise CommandError("The station was not provisioned. The file is not written in UTF-8.") from error

    def _take(self, given: Provision) -> None:
        if provisioning.take(given, check_hardware=parse):
            self.stdout.write(f"This is station {given.serial} now.")
        else:
            self.stdout.write(f"This is station {given.serial} already; nothing was changed.")

    def _ask_a_person(self) -> None:
        try:
            self._ask()
        except (EOFError, KeyboardInterrupt) as end:
            raise CommandError("\nThe station was not provisioned: the answers have ended. Begin again.") from end

    def _ask(self) -> None:
        """Ask until the answers can be taken; a mistake costs one more round and nothing else."""
        self.stdout.write("\nThis station has no identity yet. Both stand on its sticker.")
        while True:
            serial = input("Serial number: ").strip()
            password = getpass.getpass("Factory password (not shown): ").strip()
            if password != getpass.getpass("Factory password once more: ").strip():
                self.stdout.write("The passwords are not the same. Once more, please.\n")
                continue
            try:
                self._take(provisioning.parse(json.dumps({"serial": serial, "factoryPassword": password})))
            except ProvisioningRefused as refusal:
                self.stdout.write(f"{refusal}\n")
                continue
            if not settings.DATA.hardware.exists():
                # The station has its identity: whoever ends the questions here starts it without a description.
                with suppress(EOFError, KeyboardInterrupt):
                    self._describe_hardware()
            if not settings.DATA.hardware.exists():
                self.stdout.write(
                    "\nThe station starts without hardware.json and cannot charge (docs/installation.md)."
                )
            return

    def _describe_hardware(self) -> None:
        """Search what is connected, as long as the person wants it; a station without a description starts, too."""
        while input("Search which boards, meters and readers are connected (yes, no)? [yes] ").strip() in {"", "yes"}:
            try:
                call_command("hardware", "find", stdout=self.stdout, stderr=self.stderr)
            except CommandError as refusal:
                self.stdout.write(f"{refusal}\n")
            if settings.DATA.hardware.exists():
                return
