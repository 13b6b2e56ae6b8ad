"""`manage.py rotatekey`: encrypt the stored secrets with a new key."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from typing_extensions import override

from station.services import secret_storage


class Command(BaseCommand):
    """For whoever fears that somebody has seen storage.key; the station may run meanwhile."""

    help = "Encrypt the stored secrets with a new key and forget the old one."
    requires_system_checks = ()

    @override
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--data-dir", metavar="DIR", help="data directory (default: ./data)")

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            count = secret_storage.rotate()
        except OSError as problem:
            raise CommandError(f"The key file cannot be replaced: {problem.strerror or problem}") from problem
        self.stdout.write(f"Encrypted with a new key: {count} values")
