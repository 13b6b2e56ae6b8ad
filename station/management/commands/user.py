"""`manage.py user`: people who sign in at the web interface, and what they may do there."""

import sys
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from station import clock
from station.domain.commands import Origin
from station.domain.roles import NAMES, Role
from station.services import accounts
from station.services.account_management import Editor

ACTOR = "manage.py user"


class Command(BaseCommand):
    """Make a user or change the role of one."""

    help = (
        "Make a user, or give one another role: user --data-dir DIR NAME ROLE. The first password of a new user is "
        "read from standard input and has to be changed at the first sign-in."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("role", choices=sorted(NAMES.values()))
        parser.add_argument("--data-dir", help="the station's data directory (default: ./data)")

    def handle(self, *_args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        name, role = str(options["name"]), _role(options["role"])
        if name == accounts.ADMIN:
            raise CommandError(f"{accounts.ADMIN} is always an installer")
        user = User.objects.filter(username=name).first()
        try:
            editor = Editor(origin=Origin.LOCAL, actor=ACTOR, at=clock.now())
            if user is None:
                editor.add(name, sys.stdin.readline().rstrip("\n"), role)
            else:
                editor.give_role(user, role)
        except ValidationError as refusal:
            raise CommandError("\n".join(refusal.messages)) from refusal
        self.stdout.write(f"{name}: {options['role']}")


def _role(name: str) -> Role:
    return next(role for role, stored in NAMES.items() if stored == name)
