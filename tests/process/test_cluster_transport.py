"""Stations and the real server of a master on this computer: who gets in, and what he may do there."""

import asyncio
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from redis.exceptions import RedisError, ResponseError

from loadmgmt.cluster import access, certificates, keys
from loadmgmt.cluster.address import Target
from loadmgmt.cluster.connection import over_tls
from loadmgmt.cluster.failures import LinkFailed, Reason, ServerProblem
from loadmgmt.cluster.leader_link import LeaderLink
from loadmgmt.cluster.member_link import MemberLink, ask_master
from loadmgmt.cluster.registration import MasterInfo, Station
from loadmgmt.cluster.server import ClusterServer
from station.domain.units import MilliAmpere
from station.host.addresses import own_addresses
from station.host.redis_server import RedisIsMissing, choose
from station.paths import DataDirectory
from tests.station import free_port, wait_until


def missing() -> str:
    try:
        choose(is_trial=False)
    except RedisIsMissing as problem:
        return str(problem)
    return ""


LACKING = missing()
pytestmark = [pytest.mark.process, pytest.mark.skipif(bool(LACKING), reason=f"no cluster without it: {LACKING}")]

CODE = "ABCDE-FGHIJ-KLMNO-PQRST-UVWXY-Z"
MASTER = MasterInfo(station="WB-0001", name="Tiefgarage 1", leading_s=100)
WHO = Station(
    station="WB-0002", name="Tiefgarage 2", points=(1, 2), rating=MilliAmpere(32_000), fallback=MilliAmpere(6_000)
)
PASSWORD = "a" * 64
# Generous for a busy machine.
SOON_S = 20.0


class Master:
    """A server with its leader, who takes everybody in and answers every report with it in capitals."""

    def __init__(self, data: DataDirectory, target: Target) -> None:
        self.target = target
        self.server = ClusterServer(target, CODE, data)
        self.link = LeaderLink(self.server)
        self.refuses: Reason | None = None

    async def lead(self) -> None:
        while True:
            with suppress(LinkFailed):
                await self.turn()
            await asyncio.sleep(0.02)

    async def turn(self) -> None:
        for registration in await self.link.registrations():
            if self.refuses:
                await self.link.refuse(registration, self.refuses)
            else:
                await self.link.admit(registration)
        reports = await self.link.reports()
        grants = {station: report.upper() for station, report in reports.items()}
        await self.link.publish(grants, b"overview", MASTER)
        await self.link.wait_for_report(0.2)

    def member(self, who: Station = WHO, *, code: str = CODE, password: str = PASSWORD) -> MemberLink:
        return MemberLink(self.target, code, who, password)

    def child(self) -> int:
        return self.server._process.pid if self.server._process else 0


@asynccontextmanager
async def leading(data: DataDirectory, host: str = "127.0.0.1") -> AsyncIterator[Master]:
    master = Master(data, Target(host, free_port()))
    await master.server.start()
    assert master.server.problem is None, master.server.problem_detail
    await master.link.publish({}, b"overview", MASTER)
    task = asyncio.create_task(master.lead())
    try:
        yield master
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await master.link.close()
        await master.server.stop()


async def eventually(found: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SOON_S):
        while not await found():
            await asyncio.sleep(0.05)


async def refusal(work: Coroutine[None, None, object]) -> Reason:
    with pytest.raises(LinkFailed) as failed:
        await work
    return failed.value.reason


async def test_a_station_joins_reports_and_is_told_what_it_may_draw(data: DataDirectory) -> None:
    async with leading(data) as master:
        member = master.member()

        async def is_answered() -> bool:
            return await member.exchange(b"report one") == b"REPORT ONE"

        await eventually(is_answered)
        assert await member.overview() == b"overview"
        # A grant that is written is heard without asking.
        waiting = asyncio.create_task(member.wait_for_grant(SOON_S))
        await member.exchange(b"report two")
        async with asyncio.timeout(SOON_S):
            while await waiting != b"REPORT TWO":
                waiting = asyncio.create_task(member.wait_for_grant(SOON_S))
        assert await ask_master(master.target, CODE) == MASTER
        assert master.server.members == {WHO.station: keys.password_hash(PASSWORD)}
        await member.close()


async def test_a_server_that_is_killed_or_hangs_is_replaced_and_its_stations_come_back(data: DataDirectory) -> None:
    async with leading(data) as master:
        member = master.member()
        await member.exchange(b"before")
        for number in (signal.SIGKILL, signal.SIGSTOP):
            stopped = master.child()
            os.kill(stopped, number)
            await eventually(lambda stopped=stopped: is_answered_by_another(master, member, stopped))
        await member.close()


async def is_answered_by_another(master: Master, member: MemberLink, stopped: int) -> bool:
    with suppress(LinkFailed):
        return await member.exchange(b"after") == b"AFTER" and master.child() != stopped
    return False


async def test_whoever_stops_a_loop_of_exchanges_never_waits_for_ever(data: DataDirectory) -> None:
    async with leading(data) as master:
        member = master.member()

        async def exchange_for_ever() -> None:
            while True:
                await member.exchange(b"report")
                await member.wait_for_grant(0)

        for number in range(100):
            loop = asyncio.create_task(exchange_for_ever())
            for _ in range(number):
                await asyncio.sleep(0)
            loop.cancel()
            await asyncio.wait({loop}, timeout=SOON_S)
            assert loop.cancelled()
        await member.close()


async def test_a_server_that_is_stopped_keeps_nobody_waiting_for_ever(data: DataDirectory) -> None:
    async with leading(data) as master:
        member = master.member()
        await member.exchange(b"before")
        os.kill(master.child(), signal.SIGSTOP)

        async with asyncio.timeout(SOON_S):
            assert await refusal(member.exchange(b"during")) in {Reason.SILENT, Reason.UNREACHABLE}
        await member.close()


async def test_who_has_another_code_or_another_password_or_finds_something_else_is_told_so(
    data: DataDirectory,
) -> None:
    async with leading(data) as master:
        assert await refusal(master.member(code="another code").exchange(b"")) is Reason.WRONG_KEY
        assert await refusal(ask_master(master.target, "another code")) is Reason.WRONG_KEY
        assert await refusal(ask_master(Target("127.0.0.1", free_port()), CODE)) is Reason.UNREACHABLE

        master.refuses = Reason.ID_TAKEN
        assert await refusal(master.member(password="b" * 64).exchange(b"")) is Reason.ID_TAKEN

    for answer in (
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"-ERR max number of clients reached\r\n",
        b"",
        os.urandom(5000),
    ):
        async with somebody_else(answer) as target:
            assert await refusal(ask_master(target, CODE)) in {Reason.NOT_A_MASTER, Reason.UNREACHABLE}


async def test_a_connection_that_is_never_answered_ends(data: DataDirectory) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        async with asyncio.timeout(SOON_S):
            target = Target("127.0.0.1", silent.getsockname()[1])
            assert await refusal(ask_master(target, CODE)) in {Reason.SILENT, Reason.UNREACHABLE}


async def test_a_server_without_a_leader_says_so(data: DataDirectory) -> None:
    server = ClusterServer(Target("127.0.0.1", free_port()), CODE, data)
    await server.start()
    try:
        member = MemberLink(server._target, CODE, WHO, PASSWORD)
        assert await refusal(member.exchange(b"")) is Reason.NO_LEADER
    finally:
        await server.stop()


async def test_without_the_code_nobody_gets_past_tls(data: DataDirectory) -> None:
    async with leading(data) as master:
        naked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        naked.check_hostname, naked.verify_mode = False, ssl.CERT_NONE
        stranger = certificates.member_context(keys.derive("another code"))
        stranger.verify_mode = ssl.CERT_NONE
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode, old.maximum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2

        for tls in (naked, stranger, old):
            client = over_tls(master.target, tls, user="default", password="")
            with pytest.raises((OSError, RedisError)):
                await client.ping()
            await client.aclose()
        # Without TLS there is nobody at all.
        reader, writer = await asyncio.open_connection(master.target.host, master.target.port)
        writer.write(b"PING\r\n")
        with suppress(ConnectionError):
            assert b"PONG" not in await reader.read()
        writer.close()


async def test_a_member_touches_nothing_but_its_own_and_whoever_knows_the_code_only_asks_to_join(
    data: DataDirectory,
) -> None:
    async with leading(data) as master:
        await master.member().exchange(b"report")
        await master.member(replace(WHO, station="WB-0003")).exchange(b"report")
        derived = keys.derive(CODE)
        tls = certificates.member_context(derived)
        member = over_tls(master.target, tls, user=access.user_name(WHO.station), password=PASSWORD)
        join = over_tls(master.target, tls, user=access.JOIN, password=derived.join_password)
        nobody = over_tls(master.target, tls, user="default", password="x")
        try:
            common = [
                ("CONFIG", "GET", "*"),
                ("CONFIG", "SET", "dir", "/"),
                ("FLUSHALL",),
                ("SHUTDOWN",),
                ("KEYS", "*"),
                ("SCAN", "0"),
                ("MODULE", "LOAD", "/x.so"),
                ("REPLICAOF", "192.0.2.1", "6379"),
                ("MONITOR",),
                ("ACL", "SETUSER", "join", "+@all"),
                ("ACL", "LIST"),
                ("CLIENT", "LIST"),
                ("CLIENT", "KILL", "TYPE", "normal"),
                ("EVAL", "return 1", "0"),
                ("DEBUG", "SLEEP", "10"),
                ("SAVE",),
                ("SET", "anything", "1"),
                ("SET", access.report_key("WB-0003"), "1"),
                ("SET", access.grant_key(WHO.station), "1"),
                ("SET", access.MASTER_KEY, "1"),
                ("SET", access.OVERVIEW_KEY, "1"),
                ("GET", access.report_key("WB-0003")),
                ("GET", access.grant_key("WB-0003")),
                ("PUBLISH", access.grant_key("WB-0003"), "1"),
                ("SUBSCRIBE", access.grant_key("WB-0003")),
                ("PSUBSCRIBE", "*"),
            ]
            only_join = [
                ("SET", access.report_key(WHO.station), "1"),
                ("SUBSCRIBE", access.JOIN_CHANNEL),
                ("GET", access.grant_key(WHO.station)),
            ]
            only_member = [("PUBLISH", access.JOIN_CHANNEL, "{}"), ("APPEND", access.report_key(WHO.station), "1")]
            for client, commands in ((member, common + only_member), (join, common + only_join)):
                for command in commands:
                    with pytest.raises(ResponseError):
                        await client.execute_command(*command)
            with pytest.raises(RedisError):
                await nobody.ping()
            # What it may do: the report as long as it likes, and no longer than the server takes.
            await member.set(access.report_key(WHO.station), b"x" * 900_000)
            for junk in (b"", b"\xff" * 100_000, b"{}", b'{"v":1}', b"[" * 5000):
                await join.publish(access.JOIN_CHANNEL, junk)

            async def are_counted() -> bool:
                return master.link.malformed == 5

            await eventually(are_counted)
            found = (await master.link.reports())[WHO.station]
            assert len(found) == access.MAX_REPORT_BYTES + 1
            # A station that is forgotten is out at once.
            await master.link.forget(WHO.station)
            with pytest.raises(RedisError):
                await member.get(access.OVERVIEW_KEY)
        finally:
            for client in (member, join, nobody):
                await client.aclose()


async def test_a_flood_of_registrations_fills_neither_the_server_nor_the_leader(data: DataDirectory) -> None:
    async with leading(data) as master:
        derived = keys.derive(CODE)
        join = over_tls(
            master.target, certificates.member_context(derived), user=access.JOIN, password=derived.join_password
        )
        for _ in range(30):
            pipeline = join.pipeline(transaction=False)
            for _number in range(100):
                pipeline.publish(access.JOIN_CHANNEL, b"x" * 1_000)
            await pipeline.execute(raise_on_error=False)
        member = master.member()

        async def is_served() -> bool:
            with suppress(LinkFailed):
                return await member.exchange(b"report") == b"REPORT"
            return False

        await eventually(is_served)
        await member.close()
        await join.aclose()


async def test_a_stranger_who_takes_every_connection_cuts_nobody_off_who_is_there(data: DataDirectory) -> None:
    """He keeps newcomers out for ten seconds at a time, and never gets the server replaced."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4_096), hard))
    async with leading(data) as master:
        member = master.member()
        await member.exchange(b"before")
        first = master.child()
        with ExitStack() as held:
            for _ in range(700):
                half_open = held.enter_context(socket.socket())
                half_open.setblocking(False)
                half_open.connect_ex((master.target.host, master.target.port))
            # As long as the server is watched, and longer than three of its probes take.
            for _ in range(8):
                await member.exchange(b"report")
                await asyncio.sleep(1)
        assert master.child() == first
        await member.close()


async def test_a_port_that_is_taken_an_address_of_somebody_else_and_a_missing_program_are_told_apart(
    data: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def problem_at(target: Target) -> ServerProblem | None:
        server = ClusterServer(target, CODE, data)
        await server.start()
        await server.stop()
        return server.problem

    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        server = ClusterServer(Target("127.0.0.1", taken.getsockname()[1]), CODE, data)
        await server.start()
        assert server.problem is ServerProblem.PORT_TAKEN
    # It is tried again.
    async with asyncio.timeout(SOON_S):
        while not server.is_running:
            await asyncio.sleep(0.05)
    await server.stop()
    assert await problem_at(Target("192.0.2.1", free_port())) is ServerProblem.NOT_OUR_ADDRESS
    monkeypatch.setenv("PATH", "/nonexistent")
    assert await problem_at(Target("127.0.0.1", free_port())) is ServerProblem.MISSING


@pytest.mark.parametrize("host", ["::1", "*", "localhost"])
async def test_a_master_listens_where_it_is_told(host: str, data: DataDirectory) -> None:
    reachable = {"::1": ["::1"], "*": ["127.0.0.1", "::1"], "localhost": ["127.0.0.1"]}[host]
    if "::1" not in own_addresses():
        reachable = [address for address in reachable if address != "::1"] or pytest.skip("no IPv6 here")
    async with leading(data, host) as master:
        for reached in reachable:
            assert await ask_when_leading(Target(reached, master.target.port)) == MASTER


async def ask_when_leading(target: Target) -> MasterInfo:
    async with asyncio.timeout(SOON_S):
        while True:
            with suppress(LinkFailed):
                return await ask_master(target, CODE)
            await asyncio.sleep(0.05)


def test_the_server_ends_with_the_process_that_leads(data: DataDirectory) -> None:
    port = free_port()
    program = f"""
import asyncio, sys
from pathlib import Path
from loadmgmt.cluster.address import Target
from loadmgmt.cluster.server import ClusterServer
from station.paths import DataDirectory
async def main():
    server = ClusterServer(Target("127.0.0.1", {port}), "{CODE}", DataDirectory(Path({str(data.root)!r})))
    await server.start()
    print(server._process.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
    root = Path(__file__).resolve().parents[2]
    leader = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=root)
    child = int(leader.stdout.readline())
    # Neither the code nor a password nor a key is visible from outside, or on a disk.
    assert b"ABCDE" not in Path(f"/proc/{child}/cmdline").read_bytes()
    assert [path.name for path in data.run.iterdir()] == ["cluster.sock"]
    assert (data.run / "cluster.sock").stat().st_mode & 0o077 == 0

    leader.kill()
    leader.wait()

    wait_until(lambda: state_of(child) == "Z", timeout_s=SOON_S)


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "Z"


@asynccontextmanager
async def somebody_else(answer: bytes) -> AsyncIterator[Target]:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Target("127.0.0.1", server.sockets[0].getsockname()[1])
