"""`manage.py runstation`: a whole station in the foreground."""

import gc
import sys
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import translation
from django.utils.translation import gettext as _
from typing_extensions import override

from station import clock
from station.management.arguments import add_language
from station.processes.console import say
from station.processes.lock import AlreadyRunning, DirectoryIsUsed, OrphanSurvives, StationLock, end_orphans
from station.processes.plan import Plan, add_arguments, plan_from, publish_origins
from station.services import identity

if TYPE_CHECKING:
    from station.processes.preparation import Prepared


class Command(BaseCommand):
    """Starts all processes as one group; SIGTERM ends them in order."""

    help = "Run all processes of a station in the foreground."
    requires_system_checks = ()

    @override
    def add_arguments(self, parser: CommandParser) -> None:
        add_arguments(parser)
        add_language(parser)

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        # Until the processes are forked, see supervision.supervise.
        gc.disable()
        from station.processes import preload, supervision

        lock = StationLock(settings.DATA)
        # Only what refuses the start: processes that are forked later would inherit the language.
        with translation.override(options["lang"]):
            ended, plan, prepared = self._prepare(lock, options)
        if ended:
            say(_("ended what an earlier run left behind: %(names)s") % {"names": ", ".join(ended)})
        self._greet(plan, prepared)
        preload.preload()
        sys.exit(supervision.supervise(plan, lock, lambda: say(_("station ready"))))

    def _prepare(self, lock: StationLock, options: dict[str, Any]) -> tuple[list[str], Plan, "Prepared"]:
        from station.processes import full_disk, preparation

        try:
            lock.acquire()
            ended = end_orphans(settings.DATA)
            plan = plan_from(options, settings.DATA.root)
            preparation.check_addresses(plan)
            publish_origins(plan)
            prepared = full_disk.once_there_is_room(plan, lambda: preparation.prepare(plan, at=clock.now()))
            preparation.choose_modbus_port(at=clock.now())
        except AlreadyRunning as refusal:
            raise CommandError(_already_running(refusal.pid)) from refusal
        except DirectoryIsUsed as refusal:
            text = _(
                "Processes of the station work in %(root)s already. Stop them first: systemctl stop station.target"
            )
            raise CommandError(text % {"root": settings.DATA.root}) from refusal
        except OrphanSurvives as refusal:
            text = _(
                "What an earlier run has left behind does not end, not even when it is killed: %(names)s. Reboot the "
                "computer."
            )
            raise CommandError(text % {"names": refusal}) from refusal
        except (
            preparation.AddressIsTaken,
            preparation.RealHardwareIsConfigured,
            identity.IdentityFileBroken,
        ) as refusal:
            raise CommandError(str(refusal)) from refusal
        return ended, plan, prepared

    def _greet(self, plan: Plan, prepared: Any) -> None:
        # Whoever tries the station out reads it here; the journal of a real one is for other eyes, too.
        password = prepared.factory_password if plan.simulate or sys.stdout.isatty() else None
        lines = [
            (_("data directory"), str(plan.data)),
            (_("web interface"), plan.login_url),
            (_("plain HTTP"), f"http://{plan.http.reachable}/" if plan.https else ""),
            (_("simulator"), f"http://{plan.sim_control}/state" if plan.sim_control else ""),
            (_("demo backend"), f"http://{plan.demo_backend}/" if plan.demo_backend else ""),
            (_("driver's display"), f"http://{plan.display}/" if plan.display else ""),
            (_("serial number"), prepared.serial),
            (_("login"), "admin"),
            (_("factory password"), password or ""),
        ]
        for name, value in lines:
            if value:
                say(f"{name + ':':<20} {value}")
        if password:
            say(_("Note the factory password: it is shown only this once."))
            identity.forget_untold_password()
        elif prepared.factory_password:
            say(
                _("The factory password is in %(path)s until it is changed.")
                % {"path": plan.data / "factory_password.txt"}
            )
        if not prepared.has_hardware:
            say(_("There is no hardware.json yet: the station cannot charge. Use --simulate to try it out."))


def _already_running(pid: int) -> str:
    if not pid:
        return _("The station is already running in %(root)s. End it first.") % {"root": settings.DATA.root}
    return _("The station is already running in %(root)s (process %(pid)s). End it first: kill %(pid)s") % {
        "root": settings.DATA.root,
        "pid": pid,
    }
