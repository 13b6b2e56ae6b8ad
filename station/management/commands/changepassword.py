"""`manage.py changepassword`: in the place of Django's, which knows nothing of the station's rules for passwords."""

import getpass
import sys
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from station import clock
from station.domain.commands import Origin
from station.services import accounts
from station.services.account_management import Editor

ACTOR = "manage.py changepassword"


class Command(BaseCommand):
    """Set a password that has to be changed at the next log-in."""

    help = (
        "Set a password: changepassword --data-dir DIR NAME. It is asked for, or read from standard input, ends all "
        "sessions of this user and has to be changed at the next log-in."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", default=accounts.ADMIN)
        parser.add_argument("--data-dir", help="the station's data directory (default: ./data)")

    def handle(self, *_args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        user = User.objects.filter(username=options["name"]).first()
        if user is None:
            raise CommandError(f"there is no user {options['name']}")
        password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
        try:
            Editor(origin=Origin.LOCAL, actor=ACTOR, at=clock.now()).replace_password(user, password)
        except ValidationError as refusal:
            raise CommandError("\n".join(refusal.messages)) from refusal
        self.stdout.write(f"{user.get_username()}: changed")
