"""Finding the other stations in the network of the site: DNS-SD over multicast DNS (RFC 6762, RFC 6763).

What somebody announces is a hint and nothing more, because anybody in the network can announce anything: whether a
station is a master of this cluster, its certificate says.
"""

import asyncio
import fcntl
import itertools
import logging
import os
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from socket import AF_INET, SOCK_DGRAM, inet_ntoa, socket

from django.conf import settings
from zeroconf import Error, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from loadmgmt.cluster.address import Target
from loadmgmt.cluster.registration import MAX_POINTS, is_station_id
from station.concurrency import BackgroundTasks
from station.host.firewall import LAN_INTERFACES, Networks, SettingMakesNoSense

SERVICE = "_ev-cluster._tcp.local."
_VERSION = "1"
MASTER, SLAVE = "master", "slave"
# More than a master leads, so that a full network is shown as such; a stranger can announce any number.
MAX_FOUND = 200
_MOST_QUESTIONS = 20
# Names that wait for a question: a whole site may come back after a power cut, and strangers may invent any number.
_MOST_WAITING = 500
_ANSWER_MS = 3_000
# An address that comes later (DHCP, a cable that is plugged in) is used so soon.
LOOK_S = 15.0
# The library asks the network a few times when it begins and never again. Who was cut off for longer than they are
# remembered, or had no cable at the start, would find nobody any more: it is asked anew every so many looks.
_ASK_ANEW_LOOKS = 2
# Who vanished without a good-bye is forgotten after that.
_FORGOTTEN_S = 120
_MAX_NAME = 64
_MAX_LABEL = 50
_CLUSTER = re.compile(r"[0-9a-f]{16}")
_WEB = re.compile(r"(https?)/([1-9][0-9]{0,4})")
_HIGHEST_PORT = 65_535
# Trials on a desk find one another on this computer and bother nobody else.
_LOOPBACK = ("lo",)
_SIOCGIFADDR = 0x8915
# In struct ifreq: a name of 16 bytes, then a socket address with family and port before the address.
_ADDRESS = slice(20, 24)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """What a station tells its network. `cluster` is the name its pairing code stands for; `port` 0: it leads nobody.

    `web` is how its pages are reached: `https/443`.
    """

    station: str
    name: str
    role: str
    points: int
    cluster: str = ""
    port: int = 0
    web: str = ""

    def properties(self) -> dict[str, str]:
        """Return the text record; each entry holds 255 bytes at most."""
        name = self.name.encode()[: 3 * _MAX_NAME].decode(errors="ignore")
        described = {"id": self.station, "name": name, "role": self.role, "points": str(self.points)}
        return {"v": _VERSION, **described, "cluster": self.cluster, "web": self.web}


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A station that was found; `target` is where it leads, `web` the address of its pages (empty: not told)."""

    station: str
    name: str
    role: str
    points: int
    cluster: str
    target: Target | None
    web: str


def read(properties: Mapping[str, str | None], addresses: Iterable[str], port: int) -> Neighbour | None:
    """Return what somebody announces; None when it makes no sense or is of another version."""
    told = {key: value or "" for key, value in properties.items()}
    reached = next(iter(addresses), "")
    name, role, points = told.get("name", ""), told.get("role", ""), told.get("points", "")
    if told.get("v") != _VERSION or not is_station_id(told.get("id", "")) or not reached:
        return None
    if role not in {MASTER, SLAVE} or points not in {str(number) for number in range(1, MAX_POINTS + 1)}:
        return None
    web = _WEB.fullmatch(told.get("web", ""))
    leads = role == MASTER and 0 < port <= _HIGHEST_PORT
    return Neighbour(
        station=told["id"],
        name=name if len(name) <= _MAX_NAME and name.isprintable() else "",
        role=role,
        points=int(points),
        cluster=told["cluster"] if _CLUSTER.fullmatch(told.get("cluster", "")) else "",
        target=Target(reached, port) if leads else None,
        # Only the port is taken from what was announced: nobody puts a link to elsewhere on our pages.
        web=f"{web[1]}://{Target(reached, int(web[2]))}/" if web and int(web[2]) <= _HIGHEST_PORT else "",
    )


def own_pages() -> str:
    """Return how this station's pages are reached, for an announcement."""
    ports = [entry.rpartition(":")[2] for entry in os.environ.get("STATION_HTTP_ORIGINS", "").split(",") if entry]
    if settings.SERVES_HTTPS:
        return f"https/{ports[-1]}" if ports else "https/443"
    return f"http/{ports[0]}" if ports else "http/80"


def own_addresses() -> list[str]:
    """Return the IPv4 addresses in the network of the site; in a trial on a desk those of this computer alone.

    Raises SettingMakesNoSense.
    """
    names = _LOOPBACK if settings.SIMULATE and LAN_INTERFACES not in os.environ else Networks.read(os.environ).lan
    with socket(AF_INET, SOCK_DGRAM) as asking:
        found = [_address(asking, name) for name in names]
    return [address for address in found if address]


def _address(asking: socket, interface: str) -> str:
    """Return an interface's IPv4 address; empty where it has none, or does not exist.

    Asked for in the old way (netdevice(7)), because the service's sandbox has no netlink sockets.
    """
    try:
        answer = fcntl.ioctl(asking, _SIOCGIFADDR, struct.pack("16s16x8x", interface.encode()))
    except OSError:
        return ""
    return inet_ntoa(answer[_ADDRESS])


class Neighbourhood:
    """Announces this station and knows the others, from `start` to `stop`; `problem` says why it cannot."""

    def __init__(self, own: Announcement) -> None:
        self.problem = ""
        # Set whenever somebody comes, changes or leaves.
        self.changed = asyncio.Event()
        self._own = own
        self._found: dict[str, Neighbour] = {}
        self._asking: set[str] = set()
        # Of those, who has said good-bye since, or is asked through a connection that is closed: no answer counts.
        self._outdated: set[str] = set()
        # Whose announcement has not been looked at yet, and who has not answered: asked again with the next look.
        self._waiting: dict[str, None] = {}
        self._unanswered: set[str] = set()
        self._addresses: list[str] = []
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._info: AsyncServiceInfo | None = None
        self._is_changing = asyncio.Lock()
        self._tasks = BackgroundTasks(logger)

    async def start(self) -> None:
        """Begin; whatever cannot be done now is tried again later."""
        try:
            await self._follow()
        except asyncio.CancelledError:
            await self._close()
            raise
        self._tasks.spawn(self._keep_following())

    async def stop(self) -> None:
        """Say good-bye, so that the others need not wait until this station is forgotten."""
        await self._tasks.close()
        await self._close()

    def stations(self) -> tuple[Neighbour, ...]:
        """Return the others, in the order of their serial numbers."""
        return tuple(sorted(self._found.values(), key=lambda found: (found.station, str(found.target))))

    def masters(self, cluster: str) -> tuple[Neighbour, ...]:
        """Return those who say that they lead a cluster."""
        return tuple(found for found in self.stations() if found.target is not None and found.cluster == cluster)

    async def announce(self, own: Announcement) -> None:
        """Announce something else from now on."""
        if own == self._own:
            return
        self._own = own
        # A record of another port needs another service; that is rare, and the same for both.
        async with self._is_changing:
            await self._close()
        await self._follow()

    async def _keep_following(self) -> None:
        for look in itertools.count(1):
            await asyncio.sleep(LOOK_S)
            await self._follow()
            if look % _ASK_ANEW_LOOKS == 0:
                await self._ask_anew()
            for name in self._unanswered:
                self._wait_for_question(name)
            self._unanswered.clear()
            self._ask_waiting()

    async def _follow(self) -> None:
        async with self._is_changing:
            await self._use_present_addresses()

    async def _ask_anew(self) -> None:
        """Ask the network who is there."""
        async with self._is_changing:
            before = self._browser
            if self._zeroconf is None or before is None:
                return
            # The new one hears first: nobody's end is missed between the two.
            self._browser = AsyncServiceBrowser(self._zeroconf.zeroconf, SERVICE, handlers=[self._on_change])
            await before.async_cancel()

    async def _use_present_addresses(self) -> None:
        try:
            addresses = await asyncio.to_thread(own_addresses)
        except (OSError, SettingMakesNoSense) as error:
            self._fail(str(error))
            return
        if self._zeroconf is not None and addresses == self._addresses:
            return
        await self._close()
        if not addresses:
            self._fail("no address in the network of the site")
            return
        try:
            await self._open(addresses)
        except (OSError, Error, RuntimeError, TimeoutError) as error:
            self._fail(str(error) or type(error).__name__)
            await self._close()
        else:
            self.problem = ""

    def _fail(self, problem: str) -> None:
        if problem != self.problem:
            logger.warning("Other stations cannot be searched for: %s", problem)
        self.problem = problem

    async def _open(self, addresses: list[str]) -> None:
        self._addresses = addresses
        zeroconf = self._zeroconf = AsyncZeroconf(interfaces=addresses)
        label = re.sub(r"[^A-Za-z0-9-]", "-", self._own.station)[:_MAX_LABEL]
        self._info = AsyncServiceInfo(
            SERVICE,
            f"{label}.{SERVICE}",
            port=self._own.port,
            properties=self._own.properties(),
            server=f"ev-{label.lower()}-{os.getpid()}.local.",
            parsed_addresses=addresses,
            other_ttl=_FORGOTTEN_S,
        )
        # Another station with the same serial number is to be seen, not to keep this one from being found.
        await (await zeroconf.async_register_service(self._info, allow_name_change=True))
        self._browser = AsyncServiceBrowser(zeroconf.zeroconf, SERVICE, handlers=[self._on_change])

    async def _close(self) -> None:
        browser, self._browser = self._browser, None
        zeroconf, self._zeroconf = self._zeroconf, None
        self._info = None
        self._found.clear()
        self._waiting.clear()
        self._unanswered.clear()
        self._outdated |= self._asking
        if browser is not None:
            await browser.async_cancel()
        if zeroconf is not None:
            await zeroconf.async_unregister_all_services()
            await zeroconf.async_close()

    def _on_change(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change is ServiceStateChange.Removed:
            self._found.pop(name, None)
            self._waiting.pop(name, None)
            self._unanswered.discard(name)
            self._outdated |= self._asking & {name}
            self.changed.set()
        elif not self._is_own(name):
            self._wait_for_question(name)
            self._ask_waiting()

    def _wait_for_question(self, name: str) -> None:
        if len(self._waiting) < _MOST_WAITING:
            self._waiting[name] = None

    def _ask_waiting(self) -> None:
        """Ask as many as may be asked at once; who is being asked and has changed meanwhile waits."""
        for name in [name for name in self._waiting if name not in self._asking]:
            if self._zeroconf is None or len(self._asking) >= _MOST_QUESTIONS:
                return
            del self._waiting[name]
            self._asking.add(name)
            self._tasks.spawn(self._ask(self._zeroconf.zeroconf, name))

    def _is_own(self, name: str) -> bool:
        return self._info is not None and name == self._info.name

    async def _ask(self, zeroconf: Zeroconf, name: str) -> None:
        try:
            await self._read(zeroconf, name)
        finally:
            self._asking.discard(name)
            self._outdated.discard(name)
        self._ask_waiting()

    async def _read(self, zeroconf: Zeroconf, name: str) -> None:
        try:
            info = AsyncServiceInfo(SERVICE, name)
            is_answered = await info.async_request(zeroconf, _ANSWER_MS)
            if name in self._outdated:
                return
            if not is_answered:
                if len(self._unanswered) < _MOST_WAITING:
                    self._unanswered.add(name)
                return
            found = read(info.decoded_properties, info.parsed_addresses(), info.port or 0)
        except (OSError, Error, ValueError) as error:
            logger.debug("%s makes no sense: %s", name, error)
            return
        if found is None:
            self._found.pop(name, None)
        elif name in self._found or len(self._found) < MAX_FOUND:
            self._found[name] = found
        self.changed.set()
