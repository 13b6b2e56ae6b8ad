"""`manage.py config`: reads and sets configuration keys of a station: running, stopped, or never started."""

import getpass
import json
import logging
import sys
from collections.abc import Iterable
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from station import clock
from station.domain.commands import Origin
from station.domain.configuration import ConfigurationRefused, Effect, UnknownKey
from station.domain.configuration.checks import TRUST_PLAIN_LINK
from station.management import troubles
from station.management.arguments import options_first
from station.models import ConfigurationValue
from station.services import configuration
from station.services.configuration import Listed
from station.services.identity import MASK, IdentityFileBroken

# One line of standard input for each of them, in their order.
_STANDARD_INPUT = "-"


class Command(BaseCommand):
    """Configuration from the command line; a refused value changes nothing and ends with exit code 1."""

    help = (
        "Read and set configuration keys: config set|get|list --data-dir DIR KEY[=VALUE] … (KEY -: from standard input)"
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=("set", "get", "list"))
        parser.add_argument("items", nargs="*", metavar="KEY[=VALUE]")
        parser.add_argument("--data-dir", help="the station's data directory (default: ./data)")
        parser.add_argument("--json", action="store_true", help="print a JSON object")

    def run_from_argv(self, argv: list[str]) -> None:
        super().run_from_argv([*argv[:2], *options_first(argv[2:])])

    def handle(self, *_args: Any, **options: Any) -> None:
        # What changed is printed; the service's log lines would repeat it.
        logging.getLogger(configuration.__name__).setLevel(logging.WARNING)
        _make_database()
        try:
            match options["action"]:
                case "set":
                    self._set(options["items"])
                case "get":
                    self._get(options["items"], as_json=options["json"])
                case _:
                    self._print(self._listed(()), as_json=options["json"])
        except (ConfigurationRefused, UnknownKey) as refusal:
            raise CommandError(_explain(refusal)) from refusal
        except IdentityFileBroken as broken:
            raise CommandError(str(broken)) from broken

    def _set(self, items: list[str]) -> None:
        if not items:
            raise CommandError("Name at least one KEY=VALUE.")
        wanted: dict[str, str] = {}
        rest = iter(items)
        for item in rest:
            key, equals, value = item.partition("=")
            if equals:
                self._warn_of_secret(key, value)
            elif next(rest, None) == _STANDARD_INPUT:
                value = _read_value(key)
            else:
                raise CommandError(
                    f"{key}: write KEY=VALUE (KEY= for an empty value), or KEY - to enter the value on standard input."
                )
            if key in wanted:
                raise CommandError(f"{key}: named twice.")
            wanted[key] = value
        try:
            changes = configuration.change(wanted, origin=Origin.LOCAL, actor="manage.py config", at=clock.now())
        except OSError as error:
            raise CommandError(troubles.refused_path(error)) from error
        for change in changes:
            self.stdout.write(f"{change.key}={MASK if change.new is None else change.new}")
        if any(change.key == TRUST_PLAIN_LINK and change.new == "true" for change in changes):
            self.stderr.write(
                "Warning: from now on whoever is at the other end of the link to the backend, or in between, can set "
                "the password, open the vendor's access and move the station elsewhere. Only for closed networks."
            )
        if Effect.RESTART in configuration.effects_of(changes):
            self.stderr.write("A running station takes this up when it is restarted.")

    def _warn_of_secret(self, name: str, value: str) -> None:
        try:
            key = configuration.snapshot().registry.find(name)
        except UnknownKey:
            return
        if value and not key.readable:
            self.stderr.write(
                f"{key.name}: every user of this computer can read a command line while it runs, and the shell keeps "
                f"it. Better: config set {key.name} - (the value comes from standard input)."
            )

    def _get(self, names: list[str], *, as_json: bool) -> None:
        if not names:
            raise CommandError("Name at least one KEY, or use “list”.")
        self._print(self._listed(names), as_json=as_json)

    def _listed(self, names: Iterable[str]) -> tuple[Listed, ...]:
        for name in names:
            configuration.snapshot().registry.find(name)
        return configuration.listing(Origin.LOCAL, names).known

    def _print(self, listed: Iterable[Listed], *, as_json: bool) -> None:
        values = {entry.key.name: entry.value or "" for entry in listed}
        if as_json:
            self.stdout.write(json.dumps(values, indent=2, ensure_ascii=False))
        else:
            for name, value in values.items():
                self.stdout.write(f"{name}={value}")


def _read_value(key: str) -> str:
    """Read one line; typed at a terminal it stays invisible."""
    if sys.stdin.isatty():
        return getpass.getpass(f"{key}: ")
    line = sys.stdin.readline()
    if not line:
        raise CommandError(f"{key}: there is no line for it on standard input.")
    return line.removesuffix("\n").removesuffix("\r")


def _make_database() -> None:
    """Make the tables where there are none yet; a station that was started before has them."""
    if ConfigurationValue._meta.db_table not in connection.introspection.table_names():  # noqa: SLF001
        call_command("migrate", verbosity=0, interactive=False, skip_checks=True)


def _explain(refusal: ConfigurationRefused | UnknownKey) -> str:
    if isinstance(refusal, UnknownKey):
        similar = f" Similar keys: {', '.join(refusal.nearest)}" if refusal.nearest else ""
        return f"{refusal.name}: there is no such key.{similar}"
    return "\n".join(map(str, refusal.problems))
