"""`manage.py runprocess NAME`: one process of the station in the foreground, for systemd."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import translation
from django.utils.translation import gettext as _
from typing_extensions import override

from station import clock
from station.management.arguments import add_language
from station.processes import child, lock
from station.processes.plan import Plan, add_arguments, plan_from, publish_origins
from station.services import identity

_PREPARE = "prepare"
# For the init system, when a preparation was killed: that could not do it itself.
_WITHDRAW = "withdraw"


class Command(BaseCommand):
    """Runs one process; `prepare` brings the data directory up to date and ends, `withdraw` withdraws energy."""

    help = "Run one process of a station in the foreground, or prepare its data directory."
    requires_system_checks = ()

    @override
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", choices=[_PREPARE, _WITHDRAW, *child.PROGRAMS])
        add_arguments(parser)
        add_language(parser)

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        # A service listens where its unit says, and nowhere by default.
        options["no_https"] = options["https"] is None
        plan = plan_from(options, settings.DATA.root)
        publish_origins(plan)
        if options["name"] not in child.IS_SURROUNDINGS:
            try:
                lock.share(settings.DATA, survives_exec=options["name"] in child.BECOMES_ANOTHER)
            except lock.DirectoryIsUsed as refusal:
                with translation.override(options["lang"]):
                    text = _("runstation or restore works in %(root)s. Stop it first, or wait for its end.")
                raise CommandError(text % {"root": settings.DATA.root}) from refusal
        if options["name"] == _WITHDRAW:
            self._withdraw(plan)
            return
        if options["name"] in child.HAS_ENERGY:
            self._control(plan, options["lang"])
        if options["name"] == _PREPARE:
            from station.processes import full_disk, preparation

            try:
                with translation.override(options["lang"]):
                    prepared = full_disk.once_there_is_room(plan, lambda: preparation.prepare(plan, at=clock.now()))
            except (preparation.RealHardwareIsConfigured, identity.IdentityFileBroken) as refusal:
                with translation.override(options["lang"]):
                    raise CommandError(str(refusal)) from refusal
            if prepared.factory_password:
                self._tell(prepared.factory_password)
            return
        try:
            code = child.run(options["name"], plan)
        except child.CannotBegin as obstacle:
            with translation.override(options["lang"]):
                raise CommandError(str(obstacle)) from obstacle
        sys.exit(code)

    def _control(self, plan: Plan, language: str) -> None:
        """Be the only one that controls; no crash of the control loop, which has not begun."""
        try:
            lock.control(settings.DATA)
        except lock.IsControlled as refusal:
            with translation.override(language):
                text = _("Another process controls the hardware of %(root)s. Stop it first, or wait for its end.")
                raise CommandError(text % {"root": settings.DATA.root}) from refusal
        except OSError:
            # Nobody controls what the run before has left on, and the next try may fail like this one.
            self._withdraw(plan)
            raise

    def _withdraw(self, plan: Plan) -> None:
        from station.processes import energy

        energy.withdraw(plan)

    def _tell(self, password: str) -> None:
        """Show the factory password to a person; a journal that others may read gets the place only."""
        if sys.stdout.isatty():
            self.stdout.write(password)
            identity.forget_untold_password()
        else:
            self.stdout.write(f"The factory password is in {settings.DATA.factory_password} until it is changed.")
