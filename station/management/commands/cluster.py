"""`manage.py cluster`: pairing code and members of the cluster this station leads, and where it stands."""

import logging
from collections.abc import Iterator
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from loadmgmt.cluster import members, pairing
from station import clock
from station.domain.cluster.timing import LOST_AFTER_S
from station.domain.commands import Origin
from station.domain.configuration import ConfigurationRefused
from station.domain.snapshot import ClusterSnapshot, ClusterStationSnapshot
from station.domain.units import MilliAmpere
from station.management.arguments import options_first
from station.services import configuration, live

ACTOR = "manage.py cluster"


class Command(BaseCommand):
    """What the page Load management shows and does, for whoever has a shell only."""

    help = (
        "Load management among stations: cluster code (the master's pairing code; made where there is none; --new "
        "replaces it), cluster status, cluster forget SERIAL (lets a station go that was replaced or taken away)."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=("code", "status", "forget"))
        parser.add_argument("station", nargs="?", metavar="SERIAL")
        parser.add_argument("--new", action="store_true", help="code: replace it; every slave needs the new one")
        parser.add_argument("--data-dir", help="the station's data directory (default: ./data)")

    def run_from_argv(self, argv: list[str]) -> None:
        super().run_from_argv([*argv[:2], *options_first(argv[2:])])

    def handle(self, *_args: Any, **options: Any) -> None:
        logging.getLogger(configuration.__name__).setLevel(logging.WARNING)
        call_command("migrate", verbosity=0, interactive=False)
        action, station = str(options["action"]), options["station"]
        if (station is None) == (action == "forget"):
            raise CommandError("Write: cluster forget SERIAL. The serial numbers stand in: cluster status.")
        match action:
            case "code":
                self.stdout.write(_code(is_new=bool(options["new"])))
            case "forget":
                self._forget(str(station))
            case _:
                for line in _status():
                    self.stdout.write(line)

    def _forget(self, station: str) -> None:
        try:
            members.forget(station, actor=ACTOR, origin=Origin.LOCAL, at=clock.now())
        except members.MemberUnknown as unknown:
            known = ", ".join(row.station for row in members.listing()) or "none"
            raise CommandError(f"{station} is not a station of this cluster (stations: {known}).") from unknown
        self.stdout.write(f"{station} is forgotten. It is taken in again when it registers the next time.")


def _code(*, is_new: bool) -> str:
    if configuration.get("/cluster/role") != "master":
        raise CommandError(
            "Only a master has a pairing code to show: config set /cluster/role=master. At a slave it is entered: "
            f"config set {pairing.KEY} -"
        )
    try:
        return pairing.new_code(ACTOR, Origin.LOCAL) if is_new else pairing.ensure(clock.now())
    except ConfigurationRefused as refusal:
        raise CommandError("\n".join(map(str, refusal.problems))) from refusal


def _status() -> Iterator[str]:
    hardware = live.hardware()
    if hardware is None or hardware.cluster is None:
        is_on, role = configuration.get_bool("/cluster/enabled"), configuration.get("/cluster/role")
        yield f"enabled: {'yes' if is_on else 'no'}, role: {role}; the station is not running"
    else:
        yield from _present(hardware.cluster)
    for row in members.listing():
        yield (
            f"registered: {row.station} {row.name!r}, {row.points} charging point(s), "
            f"since {row.registered_at:%Y-%m-%d %H:%M} UTC"
        )


def _present(cluster: ClusterSnapshot) -> Iterator[str]:
    yield f"enabled: {'yes' if cluster.enabled else 'no'}, role: {cluster.role}, state: {cluster.state}"
    if cluster.problem:
        yield f"problem: {cluster.problem} {cluster.problem_detail}".rstrip()
    if cluster.master_id:
        yield f"master: {cluster.master_id} {cluster.master_address}".rstrip()
    if cluster.is_told:
        # What a master said last is not what holds while it is not heard.
        if cluster.limit_ma is not None:
            yield f"limit: {_ampere(cluster.limit_ma)} per phase"
        for station in cluster.stations:
            yield _station(station)
    elif cluster.link_age_s is not None:
        yield f"master last heard {cluster.link_age_s} s ago"
    for found in cluster.found:
        yield f"found: {found.id} {found.name!r} {found.role} {found.address}".rstrip()


def _station(station: ClusterStationSnapshot) -> str:
    age = "never heard" if station.link_age_s is None else f"heard {station.link_age_s} s ago"
    state = _link(station)
    shares = ", ".join(
        f"{point.number}: {'-' if point.granted_ma is None else _ampere(point.granted_ma)}" for point in station.points
    )
    return f"station: {station.id} {station.name!r} {station.role}, {state}, {age}, granted {shares or '-'}"


def _link(station: ClusterStationSnapshot) -> str:
    if not station.lost:
        return "connected"
    return "LOST" if station.link_age_s is None or station.link_age_s >= LOST_AFTER_S else "connected, no grant yet"


def _ampere(current: MilliAmpere) -> str:
    return f"{current / 1000:g} A"
