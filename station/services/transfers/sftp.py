"""SFTP with a password. A server's key is stored on first use; a different one later is refused."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from station.services.transfers.errors import (
    ConnectionBroken,
    IdentityRefused,
    LoginRefused,
    ServerRefused,
    TransferFailed,
)
from station.services.transfers.exchange import BLOCK_BYTES, Exchange, Intake
from station.services.transfers.location import Location

if TYPE_CHECKING:
    import asyncssh


class KnownHosts:
    """The file of remembered keys: one line per server, `[host]:port key`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, where: str) -> str | None:
        """Return the remembered key of a server."""
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return None
        known = dict(line.split(" ", 1) for line in lines if " " in line)
        return known.get(where)

    def remember(self, where: str, key: str) -> None:
        """Append a server, for good."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{where} {key}\n")
            file.flush()
            os.fsync(file.fileno())


class _HostKeyPolicy:
    """Accepts or refuses the key a server shows."""

    def __init__(self, location: Location, exchange: Exchange) -> None:
        self._where = f"[{location.host}]:{location.port}"
        self._exchange = exchange
        self._hosts = KnownHosts(exchange.known_hosts)
        self.changed = False

    def accepts(self, key: "asyncssh.SSHKey") -> bool:
        shown = key.export_public_key("openssh").decode().split(" ")
        text = " ".join(shown[:2]).strip()
        known = self._hosts.find(self._where)
        if known is None:
            self._hosts.remember(self._where, text)
            self._exchange.on_new_host(self._where, key.get_fingerprint())
            return True
        self.changed = known != text
        return not self.changed


@asynccontextmanager
async def _connected(location: Location, exchange: Exchange) -> AsyncIterator[Any]:
    # Loaded only when it is needed: it costs every process that has it some 20 MB.
    import asyncssh

    policy = _HostKeyPolicy(location, exchange)

    class Client(asyncssh.SSHClient):
        def validate_host_public_key(self, _host: str, _addr: str, _port: int, key: asyncssh.SSHKey) -> bool:
            return policy.accepts(key)

    try:
        async with (
            asyncssh.connect(
                sock=await asyncio.to_thread(exchange.dial, location.host, location.port),
                host=location.host,
                username=location.user or "anonymous",
                password=location.password,
                client_factory=Client,
                # Empty lists: every key is put before the client above.
                known_hosts=([], [], []),
                config=None,
                client_keys=None,
                agent_path=None,
                preferred_auth="password,keyboard-interactive",
                connect_timeout=exchange.timeout_s,
                login_timeout=exchange.timeout_s,
                keepalive_interval=exchange.timeout_s / 2,
                keepalive_count_max=2,
            ) as connection,
            connection.start_sftp_client() as sftp,
        ):
            yield sftp
    except TransferFailed:
        raise
    except asyncssh.HostKeyNotVerifiable as error:
        reason = "the server's key has changed" if policy.changed else "the server's key is not accepted"
        raise IdentityRefused(f"{location}: {reason}") from error
    except (asyncssh.PermissionDenied, asyncssh.SFTPPermissionDenied) as error:
        raise LoginRefused(f"{location}: {error.reason[:120]}") from error
    except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.DisconnectError) as error:
        raise ConnectionBroken(f"{location}: {error.reason[:120]}") from error
    except asyncssh.SFTPError as error:
        raise ServerRefused(f"{location}: {error.reason[:120]}") from error
    except (asyncssh.Error, OSError, EOFError) as error:
        raise ConnectionBroken(f"{location}: {str(error)[:120]}") from error


def download(location: Location, target: BinaryIO, exchange: Exchange) -> None:
    """Download a file."""
    asyncio.run(_download(location, target, exchange))


async def _download(location: Location, target: BinaryIO, exchange: Exchange) -> None:
    intake = Intake(target, exchange)
    async with _connected(location, exchange) as sftp:
        path = "/" + "/".join(location.segments)
        size = (await _in_time(sftp.stat(path), exchange)).size
        intake.announce(size)
        async with sftp.open(path, "rb") as file:
            while block := await _in_time(file.read(BLOCK_BYTES), exchange):
                intake.write(block)
        if size is not None and intake.size != size:
            raise ConnectionBroken(f"{location}: {intake.size} of {size} bytes arrived")


def upload(location: Location, source: BinaryIO, name: str, exchange: Exchange) -> None:
    """Upload a file into the directory the location names, which is created if missing."""
    asyncio.run(_upload(location, source, name, exchange))


async def _upload(location: Location, source: BinaryIO, name: str, exchange: Exchange) -> None:
    async with _connected(location, exchange) as sftp:
        directory = "/" + "/".join(location.segments)
        if not await _in_time(sftp.isdir(directory), exchange):
            await _in_time(sftp.makedirs(directory, exist_ok=True), exchange)
        async with sftp.open(f"{directory.rstrip('/')}/{name}", "wb") as file:
            for block in exchange.blocks(source):
                await _in_time(file.write(block), exchange)


async def _in_time(answer: Any, exchange: Exchange) -> Any:
    try:
        return await asyncio.wait_for(answer, exchange.timeout_s)
    except TimeoutError as error:
        raise ConnectionBroken("no answer in time") from error
