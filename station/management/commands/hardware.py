"""`manage.py hardware find | write | check`: finds what is connected and describes it in hardware.json."""

import asyncio
import json
import re
import sys
from argparse import ArgumentTypeError
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from typing_extensions import override

from hardware.drivers.config import load
from hardware.drivers.config_data import HardwareConfigInvalid, Role
from hardware.drivers.search import LISTENS_S, Extent, Found, Searched, ports_here, search
from hardware.links.port import PortTrouble
from station.management import troubles
from station.management.arguments import add_language
from station.management.exit_codes import REFUSED
from station.processes import hardware_description
from station.processes.hardware_description import Point, Reader

_POINT = re.compile(r"(?P<controller>\d+),(?P<meter>\d+)(?:,(?P<phases>[13]))?")
_LONGEST_LISTENING_S = 600
_READER = re.compile(r"(?P<reader>\d+)(?:=(?P<point>\d+))?")


class Command(BaseCommand):
    """`find` asks at a terminal what belongs where and writes the file; `write` takes the answers as options."""

    help = (
        "Find controllers, meters and readers and write hardware.json. Nothing is switched, every device is only read. "
        "find: search, and ask at a terminal. write: search and write without questions (--point CONTROLLER,METER …). "
        "check: judge the present file. Ends with 0: done; 65: the description is wrong; 1: it could not be done."
    )
    requires_system_checks = ()

    @override
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=("find", "write", "check"))
        parser.add_argument("--data-dir", metavar="DIR", help="data directory (default: ./data)")
        add_language(parser)
        parser.add_argument("--port", action="append", metavar="PORT", help="only this serial port (several: repeat)")
        parser.add_argument(
            "--listen", type=_seconds, default=LISTENS_S, metavar="SECONDS", help="for devices that speak by themselves"
        )
        parser.add_argument("--json", action="store_true", help="find: print what was found as JSON, ask nothing")
        parser.add_argument(
            "--point",
            action="append",
            default=[],
            metavar="CONTROLLER,METER[,PHASES]",
            help="a charging point by the numbers of the list; without any, in the order of the list",
        )
        parser.add_argument(
            "--reader",
            action="append",
            default=[],
            metavar="NUMBER[=POINT]",
            help="a reader by its number in the list, of one point or the whole station; without any, the first",
        )

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        with translation.override(options["lang"]):
            try:
                if options["action"] == "check":
                    self._check()
                else:
                    self._find(options)
            except KeyboardInterrupt as interrupt:
                raise CommandError(_("Nothing was written.")) from interrupt
            except OSError as error:
                text = troubles.refused_path(error)
                raise CommandError(text if options["action"] == "check" else _not_written(text)) from error

    def _find(self, options: dict[str, Any]) -> None:
        results = self._search(options)
        found = [device for result in results for device in result.found]
        if options["json"]:
            listed = [{"name": each.name, "serial": each.serial, "entry": each.entry} for each in found]
            self.stdout.write(json.dumps(listed, indent=2, ensure_ascii=False))
        else:
            self._show(results, found)
        troubled = [result for result in results if result.trouble is not None]
        # A port that nobody has named may be of no use for other reasons, as long as there is something at another one.
        if troubled and (options["port"] or not found):
            raise CommandError(_unsearched(troubled))
        if options["json"]:
            return
        if options["action"] == "write":
            self._write(*_from_options(found, options["point"], options["reader"]), found=found)
        elif sys.stdin.isatty():
            self._ask(found)
        else:
            self.stdout.write(_("Nobody is at a terminal to be asked: hardware write writes the file."))

    def _check(self) -> None:
        try:
            settings.DATA.hardware.read_bytes()
        except FileNotFoundError as error:
            raise CommandError(
                _("There is no hardware.json in %(folder)s: “hardware find” searches what is connected and writes it.")
                % {"folder": settings.DATA.hardware.parent}
            ) from error
        try:
            config = load(settings.DATA.hardware)
        except HardwareConfigInvalid as invalid:
            raise CommandError(_mistakes(invalid), returncode=REFUSED) from invalid
        count = len(config.connectors)
        self.stdout.write(
            ngettext(
                "hardware.json is right: %(count)d charging point.",
                "hardware.json is right: %(count)d charging points.",
                count,
            )
            % {"count": count}
        )

    def _search(self, options: dict[str, Any]) -> list[Searched]:
        ports: list[str] = options["port"] or ports_here()
        if not ports:
            raise CommandError(
                _("This computer has no serial port. Plug the adapter in, or name one: --port /dev/ttyUSB0")
            )
        self.stderr.write(
            ngettext(
                "Searching %(count)d serial port, about half a minute …",
                "Searching %(count)d serial ports, about half a minute …",
                len(ports),
            )
            % {"count": len(ports)}
        )
        extent = Extent(listens_s=options["listen"], on_listening=self._tell_listening)
        return asyncio.run(search(ports, extent))

    def _tell_listening(self, port: str) -> None:
        self.stderr.write(
            _("%(port)s: nobody answers. If a card reader is connected there, hold a card to it now.") % {"port": port}
        )

    def _show(self, results: Sequence[Searched], found: Sequence[Found]) -> None:
        for result in results:
            self.stdout.write(f"\n{result.port}")
            if result.trouble:
                self.stdout.write("    " + _port_trouble(result.trouble))
            elif not result.found:
                self.stdout.write("    " + _("nothing was found: check supply, A and B of the bus, and the address"))
            for device in result.found:
                self.stdout.write(f"{found.index(device) + 1:4}  {_described(device)}")
                if device.trouble:
                    self.stdout.write("      ! " + device.trouble)
        self.stdout.write("")

    # --- asking

    def _ask(self, found: Sequence[Found]) -> None:
        controllers, meters = (_numbers(found, role) for role in (Role.CONTROLLER, Role.METER))
        if not controllers or not meters:
            raise CommandError(_incomplete(controllers))
        suggested = hardware_description.proposed(found)
        points: list[Point] = []
        count = self._choose(
            _("How many charging points has the station?"),
            str(len(suggested)),
            [str(number) for number in range(1, min(len(controllers), len(meters)) + 1)],
        )
        for number in range(1, int(count) + 1):
            default = suggested[number - 1]
            controller = self._choose(
                _("Charging point %(number)d: which controller?") % {"number": number},
                _number(found, default.controller),
                controllers,
            )
            meter = self._choose(
                _("Charging point %(number)d: which meter?") % {"number": number},
                _number(found, default.meter),
                meters,
            )
            phases = self._choose(_("Charging point %(number)d: phases?") % {"number": number}, "3", ["1", "3"])
            controllers, meters = (
                [each for each in listed if each not in (controller, meter)] for listed in (controllers, meters)
            )
            points.append(Point(controller=found[int(controller) - 1], meter=found[int(meter) - 1], phases=int(phases)))
        readers = [
            Reader(device=found[int(number) - 1], point=self._ask_place(number, len(points)))
            for number in _numbers(found, Role.READER)
        ]
        if self._choose(_("Write hardware.json?"), _("yes"), [_("yes"), _("no")]) != _("yes"):
            self.stdout.write(_("Nothing was written."))
            return
        self._write(points, readers, found=found)

    def _ask_place(self, number: str, points: int) -> int | None:
        place = self._choose(
            _("Reader %(number)s: of which charging point (0: of the whole station)?") % {"number": number},
            "0",
            [str(point) for point in range(points + 1)],
        )
        return int(place) or None

    def _choose(self, question: str, default: str, allowed: Sequence[str]) -> str:
        """Ask until one of the answers comes; an empty line is the default."""
        # What an earlier answer has taken is no default any more.
        default = default if default in allowed else allowed[0]
        while True:
            self.stdout.write(f"{question} [{default}] ", ending="")
            self.stdout.flush()
            line = sys.stdin.readline()
            if not line:
                raise CommandError(_("Nothing was written."))
            answer = line.strip() or default
            if answer in allowed:
                return answer
            self.stdout.write(_("Please one of: %(allowed)s") % {"allowed": ", ".join(allowed)})

    # --- writing

    def _write(self, points: Sequence[Point], readers: Sequence[Reader], *, found: Sequence[Found]) -> None:
        for device in {id(each): each for point in points for each in (point.controller, point.meter)}.values():
            if device.trouble:
                self.stderr.write(f"{_described(device)}: {device.trouble}")
        file = settings.DATA.hardware
        modules = hardware_description.usable(found, Role.IO)
        content = hardware_description.described(
            points, readers, modules[0] if modules else None, before=hardware_description.present(file)
        )
        try:
            settings.DATA.create()
            kept = hardware_description.write(file, content)
        except HardwareConfigInvalid as invalid:
            raise CommandError(_mistakes(invalid), returncode=REFUSED) from invalid
        self.stdout.write(_("Written: %(file)s") % {"file": file})
        if kept is not None:
            self.stdout.write(_("The earlier description is kept: %(file)s") % {"file": kept})
        self.stdout.write(_("It holds after a restart of the station: systemctl restart station.target"))


def _from_options(
    found: Sequence[Found], points: Sequence[str], readers: Sequence[str]
) -> tuple[list[Point], list[Reader]]:
    made = [_point(found, text) for text in points] or hardware_description.proposed(found)
    if not made:
        raise CommandError(_incomplete(_numbers(found, Role.CONTROLLER)))
    used = [_number(found, device) for point in made for device in (point.controller, point.meter)]
    for number in used:
        if used.count(number) > 1:
            raise CommandError(_("Number %(number)s belongs to one charging point only.") % {"number": number})
    if readers:
        return made, [_reader(found, text, len(made)) for text in readers]
    return made, [Reader(device=device) for device in hardware_description.usable(found, Role.READER)[:1]]


def _point(found: Sequence[Found], text: str) -> Point:
    match = _POINT.fullmatch(text)
    if match is None:
        raise CommandError(
            _("--point %(text)s: write the numbers of controller and meter in the list, for instance 1,2")
            % {"text": text}
        )
    return Point(
        controller=_device(found, match["controller"], Role.CONTROLLER),
        meter=_device(found, match["meter"], Role.METER),
        phases=int(match["phases"] or 3),
    )


def _reader(found: Sequence[Found], text: str, points: int) -> Reader:
    match = _READER.fullmatch(text)
    if match is None or int(match["point"] or 0) > points:
        raise CommandError(
            _("--reader %(text)s: write its number in the list, and =POINT for one charging point, for instance 3=1")
            % {"text": text}
        )
    return Reader(device=_device(found, match["reader"], Role.READER), point=int(match["point"] or 0) or None)


def _device(found: Sequence[Found], number: str, role: Role) -> Found:
    if number not in _numbers(found, role):
        known = ", ".join(_numbers(found, role)) or "–"
        raise CommandError(
            _("Number %(number)s is no %(kind)s of the list; there is %(known)s.")
            % {"number": number, "kind": _kind(role), "known": known}
        )
    return found[int(number) - 1]


def _numbers(found: Sequence[Found], role: Role) -> list[str]:
    return [str(number) for number, device in enumerate(found, start=1) if device.role is role]


def _number(found: Sequence[Found], device: Found) -> str:
    return str(found.index(device) + 1)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    # A comparison with “nan” is never true.
    if not 0 <= seconds <= _LONGEST_LISTENING_S:
        raise ArgumentTypeError(f"{text!r} is no number of seconds from 0 to {_LONGEST_LISTENING_S}")
    return seconds


def _port_trouble(trouble: PortTrouble) -> str:
    match trouble:
        case PortTrouble.MISSING:
            return _("There is no such port: check its name and the plug of the adapter, and search again.")
        case PortTrouble.FORBIDDEN:
            return _(
                "The user %(user)s may not use the port: call this as root (sudo stationctl hardware find), or add the "
                "user to the group dialout (sudo usermod -aG dialout %(user)s) and sign in again."
            ) % {"user": troubles.user()}
        case PortTrouble.BUSY:
            return _("Another program uses it. If it is the station: systemctl stop station.target, and search again.")
        case PortTrouble.UNUSABLE:
            return _("This is no serial port, or there is nothing behind it: choose another one with --port.")
        case PortTrouble.LOST:
            return _(
                "The port has gone during the search: check the adapter, its plug and its supply, and search again."
            )


def _unsearched(troubled: Sequence[Searched]) -> str:
    ports = [f"{result.port}: {_port_trouble(result.trouble)}" for result in troubled if result.trouble is not None]
    return "\n".join([_("Not every port could be searched. Nothing was written."), *ports])


def _mistakes(invalid: HardwareConfigInvalid) -> str:
    return "\n".join(f"{each.where}: {_(each.template) % each.data}" for each in invalid.problems)


def _not_written(reason: str) -> str:
    return _("hardware.json was not written. %(reason)s") % {"reason": reason}


def _incomplete(controllers: Sequence[str]) -> str:
    if controllers:
        return _("There is no meter, and a station never charges without one: nothing was written.")
    return _("There is no controller: nothing was written. Check supply, wiring and addresses, and search again.")


def _kind(role: Role | None) -> str:
    match role:
        case Role.CONTROLLER:
            return _("charge controller")
        case Role.METER:
            return _("meter")
        case Role.READER:
            return _("card reader")
        case Role.IO:
            return _("input/output module")
        case None:
            return _("unknown device")


def _described(device: Found) -> str:
    address = device.options.get("address")
    parts = [
        " ".join(part for part in (_kind(device.role), device.name) if part),
        _("serial number %(serial)s") % {"serial": device.serial} if device.serial else "",
        _("firmware %(firmware)s") % {"firmware": device.firmware} if device.firmware else "",
        _("address %(address)d") % {"address": address} if address is not None else "",
        device.line,
    ]
    return ", ".join(part for part in parts if part)
