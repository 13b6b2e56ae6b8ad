"""A backend that has not proved who it is cannot take the station over (reviews/security.md, finding 1)."""

import asyncio
import socket
import ssl
from typing import cast

import pytest
from django.contrib.auth.models import User
from websockets.asyncio.client import ClientConnection

from ocpp_client.database import in_database
from station.domain.configuration import Origin
from station.domain.link_security import LinkKind
from station.models import AuditEntry, TrustedCertificate
from station.services import backend_ca, configuration
from tests.backend import Backend
from tests.certificates import CertificateAuthority, server_context
from tests.db.ocpp_client.conftest import MOMENT

PASSWORD = "the attacker's own words 4711"
TAKEOVER = (
    ("/WebUi/password/reset", PASSWORD),
    ("/webui/PASSWORD/reset", PASSWORD),
    ("/Security/enableRemoteVendorAccess", "true"),
    ("/Security/enableLocalVendorAccess", "true"),
    ("/ocpp/url", "ws://127.0.0.1:6379/"),
    ("/ocpp/url", "wss://attacker.example/"),
    ("/ocpp/url", ""),
)
ROOT = "CentralSystemRootCertificate"


@pytest.fixture
def authority(tmp_path):
    (tmp_path / "ca").mkdir()
    return CertificateAuthority.make(tmp_path / "ca")


@pytest.fixture
def other_authority(tmp_path):
    (tmp_path / "other").mkdir()
    return CertificateAuthority.make(tmp_path / "other", "other")


@pytest.fixture
def by_hand(authority):
    """Install the authority as a person does."""

    def install():
        backend_ca.install(authority.pem.encode(), at=MOMENT)

    return lambda: in_database(install)


async def change(station, key, value):
    return (await station.backend.call("ChangeConfiguration", {"key": key, "value": value}))["status"]


def plant(authority):
    """Leave a root in the store as an attacker does over a plain link."""
    TrustedCertificate.objects.create(
        kind="backend_root",
        pem=authority.pem,
        subject="CN=attacker",
        issuer="CN=attacker",
        serial_number="1",
        fingerprint="1",
        not_before=MOMENT,
        not_after=MOMENT,
        added_at=MOMENT,
        from_unproven_link=True,
    )


async def connected_anew(station, **keys):
    before = station.backend.connects
    await station.configure(**keys)
    station.link.control.reconnect()
    await station.backend.wait_connected(at_least=before + 1)
    await station.ready()


@pytest.mark.parametrize("profile", ["0", "1"])
@pytest.mark.parametrize(("key", "value"), TAKEOVER)
async def test_over_a_plain_link_nothing_is_taken_over_whatever_the_profile_says(bench, key, value, profile):
    async with bench(keys={"SecurityProfile": profile, "AuthorizationKey": "0123456789abcdef"}) as station:
        await station.ready()
        url = station.backend.url

        assert await change(station, key, value) == "Rejected"

        assert await in_database(configuration.get, "/ocpp/url") == url
        assert await in_database(configuration.get, "/Security/enableRemoteVendorAccess") == "false"
        assert not await in_database(User.objects.exists)
        refused = await in_database(AuditEntry.objects.get, outcome="rejected")
        assert refused.origin == "backend"
        assert refused.reason == ("empty" if value == "" else "link_not_proven")
        assert PASSWORD not in str(refused.data)


async def test_what_only_makes_the_station_safer_is_taken_over_a_plain_link(bench):
    async with bench(keys={"/Security/enableRemoteVendorAccess": "true"}) as station:
        await station.ready()

        assert await change(station, "/Security/enableRemoteVendorAccess", "false") == "Accepted"
        assert await change(station, "/ocpp/url", station.backend.url) == "Accepted"


async def test_the_backend_cannot_declare_its_own_link_trustworthy(bench):
    async with bench() as station:
        await station.ready()

        assert await change(station, "/ocpp/trustPlainLink", "true") in {"NotSupported", "Rejected"}
        listed = await station.backend.call("GetConfiguration", {"key": ["/ocpp/trustPlainLink"]})
        assert listed["unknownKey"] == ["/ocpp/trustPlainLink"]


async def test_a_person_can_declare_a_plain_link_trustworthy(bench):
    async with bench(keys={"/ocpp/trustPlainLink": "true"}) as station:
        await station.ready()

        assert await change(station, "/Security/enableRemoteVendorAccess", "true") == "Accepted"


async def test_over_a_checked_tls_link_the_backend_may(bench, authority, by_hand):
    async with bench(tls=server_context(authority.server())) as station:
        await by_hand()
        station.link.control.reconnect()
        await station.ready()

        assert station.link.state.link.kind is LinkKind.VERIFIED
        assert await change(station, "/Security/enableRemoteVendorAccess", "true") == "Accepted"
        assert await change(station, "/ocpp/url", f"{station.backend.url}/elsewhere") == "Accepted"


async def test_even_a_proven_backend_cannot_move_the_station_to_a_link_that_is_not_encrypted(bench, authority, by_hand):
    async with bench(tls=server_context(authority.server())) as station:
        await by_hand()
        station.link.control.reconnect()
        await station.ready()

        assert await change(station, "/ocpp/url", station.backend.url.replace("wss:", "ws:")) == "Rejected"
        assert (await in_database(AuditEntry.objects.get, outcome="rejected")).reason == "url_not_encrypted"


async def test_a_certificate_for_another_name_proves_nothing_where_names_are_not_checked(bench, authority, by_hand):
    tls = server_context(authority.wrong_name_server())
    async with bench(tls=tls, keys={"/ocpp/verifyHostname": "false"}) as station:
        await by_hand()
        station.link.control.reconnect()
        await station.ready()

        assert await change(station, "/WebUi/password/reset", PASSWORD) == "Rejected"


async def test_a_root_sent_over_a_plain_link_proves_nothing_when_it_is_used(bench, authority):
    """The attacker installs his own root, raises the profile, and is then connected over TLS."""
    keys = {"AuthorizationKey": "0123456789abcdef"}
    async with bench(keys=keys) as station:
        await station.ready()
        install = {"certificateType": ROOT, "certificate": authority.pem}
        assert await station.backend.call("InstallCertificate", install) == {"status": "Accepted"}
        before = station.backend.connects
        assert await change(station, "SecurityProfile", "2") == "Accepted"
        await station.backend.stop_listening()
        station.backend.tls = server_context(authority.server())
        await station.backend.listen()
        await station.backend.wait_connected(at_least=before + 1)
        await station.until(lambda: station.link.state.link.encrypted)
        await station.ready()

        assert station.link.state.link.kind is not LinkKind.VERIFIED
        for key, value in TAKEOVER:
            assert await change(station, key, value) == "Rejected", key
        # Nor does it become better by being sent once more over the link that it has made.
        assert await station.backend.call("InstallCertificate", install) == {"status": "Accepted"}
        await connected_anew(station)
        assert await change(station, "/Security/enableRemoteVendorAccess", "true") == "Rejected"


async def test_a_root_a_person_brings_as_well_proves_something_from_then_on(bench, authority, by_hand):
    async with bench() as station:
        await station.ready()
        install = {"certificateType": ROOT, "certificate": authority.pem}
        assert await station.backend.call("InstallCertificate", install) == {"status": "Accepted"}
        assert await in_database(TrustedCertificate.objects.filter(from_unproven_link=True).exists)

        await by_hand()
        assert await station.backend.call("InstallCertificate", install) == {"status": "Accepted"}

        assert not await in_database(TrustedCertificate.objects.filter(from_unproven_link=True).exists)


async def test_over_a_plain_link_no_root_that_is_trusted_can_be_taken_away(bench, authority, by_hand):
    async with bench() as station:
        await station.ready()
        await by_hand()
        listed = await station.backend.call("GetInstalledCertificateIds", {"certificateType": ROOT})

        answer = await station.backend.call(
            "DeleteCertificate", {"certificateHashData": listed["certificateHashData"][0]}
        )

        assert answer == {"status": "Failed"}


async def test_a_root_of_the_attacker_does_not_displace_the_one_of_the_backend(
    bench, authority, other_authority, by_hand
):
    async with bench(tls=server_context(authority.server())) as station:
        await by_hand()
        station.link.control.reconnect()
        await station.ready()
        await in_database(plant, other_authority)

        await connected_anew(station)

        assert station.link.state.link.kind is LinkKind.VERIFIED
        # And it is gone, because the backend has proved itself without it.
        await station.until_in_database(lambda: not TrustedCertificate.objects.filter(from_unproven_link=True).exists())


async def test_a_root_planted_over_a_plain_link_is_of_no_use_where_a_person_has_said_whom_to_trust(
    bench, authority, other_authority, by_hand
):
    async with bench(tls=server_context(other_authority.server()), check_schemas=False) as station:
        await by_hand()
        await in_database(plant, other_authority)
        station.link.control.reconnect()

        await station.until(lambda: station.link.state.last_error == "certificate_invalid")

        assert station.backend.connects == 0


async def test_a_call_counts_by_the_link_it_came_over_not_by_the_one_that_stands_when_it_is_done(
    bench, authority, by_hand, monkeypatch
):
    """A call sent over a plain link must not be carried out as if it had come over the TLS link after it."""
    let_go = asyncio.Event()
    async with bench() as station:
        await station.ready()
        await by_hand()
        real = configuration.change
        loop = asyncio.get_running_loop()
        waiting = asyncio.Event()

        def slow(items, **more):
            if more["origin"] is Origin.BACKEND:
                loop.call_soon_threadsafe(waiting.set)
            return real(items, **more)

        monkeypatch.setattr(configuration, "change", slow)
        dispatcher = station.link._router._dispatcher
        carry_out = dispatcher._carry_out

        async def held(call):
            if call.action == "ChangeConfiguration":
                await let_go.wait()
            return await carry_out(call)

        monkeypatch.setattr(dispatcher, "_carry_out", held)
        asking = asyncio.create_task(change(station, "/Security/enableRemoteVendorAccess", "true"))
        await station.until(lambda: dispatcher._under_way)
        await station.backend.stop_listening()
        station.backend.tls = server_context(authority.server())
        await station.backend.listen()
        await station.configure(__ocpp__url=station.backend.url)
        station.link.control.reconnect()
        await station.until(lambda: station.link.state.link.kind is LinkKind.VERIFIED)

        let_go.set()
        await asyncio.wait_for(waiting.wait(), 10)

        refused = await station.until_in_database(lambda: AuditEntry.objects.filter(outcome="rejected").first())
        assert refused.reason == "link_not_proven"
        assert await in_database(configuration.get, "/Security/enableRemoteVendorAccess") == "false"
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost"])
async def test_a_link_to_this_computer_is_told_as_such_and_proves_nothing(bench, host):
    async with bench() as station, _everywhere() as backend:
        if backend is None:
            pytest.skip("this machine has no IPv6")
        await station.configure(__ocpp__url=f"ws://{host}:{backend.port}")
        station.link.control.reconnect()
        await backend.wait_connected()
        await station.until(lambda: station.link.state.connected)

        assert station.link.state.link.kind is LinkKind.INTERNAL
        answer = await backend.call("ChangeConfiguration", {"key": "/WebUi/password/reset", "value": PASSWORD})
        assert answer == {"status": "Rejected"}


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_key_set_over_a_plain_link_does_not_shut_the_backend_out(bench, *, restarted):
    """Whoever sits in between sets another key and takes it; afterwards the real backend is there again."""
    ours, theirs = "the-key-both-know", "the-key-of-a-thief"
    async with bench(keys={"AuthorizationKey": ours}) as station:
        await station.ready()
        for key in (theirs, f"{theirs}-2"):
            before = station.backend.connects
            assert await change(station, "AuthorizationKey", key) == "Accepted"
            await station.backend.wait_connected(at_least=before + 1)
            await station.ready()
        if restarted:
            await in_database(station.link._connection._credentials.load)

        before = station.backend.connects
        station.backend.basic_auth = ("TE100002440", ours.encode())
        await station.backend.drop()

        await station.backend.wait_connected(at_least=before + 1, timeout=20)
        await station.ready()


async def test_a_redirect_to_a_plain_address_is_not_followed(bench, authority, by_hand):
    """What answers the TLS handshake may not send the station elsewhere."""
    asked = []

    async def redirect(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with bench() as station:
        await by_hand()
        server = await asyncio.start_server(redirect, "127.0.0.1", 0, ssl=server_context(authority.server()))
        port = server.sockets[0].getsockname()[1]
        await station.configure(__ocpp__url=f"wss://127.0.0.1:{port}")
        station.link.control.reconnect()

        await station.until(lambda: station.link.state.last_error == "http_status")

        assert asked
        server.close()
        await server.wait_closed()


def _everywhere():
    """Listen on IPv4 and IPv6 at once."""
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def listen():
        async with Backend.start() as backend:
            await backend.stop_listening()
            try:
                with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as free:
                    port = free.getsockname()[1]
            except (OSError, ValueError):
                yield None
                return
            backend.host, backend.port = None, port
            await backend.listen()
            yield backend

    return listen()


def test_no_context_accepts_a_certificate_that_is_not_checked():
    from ocpp_client.connection.socket import security_of

    class Transport:
        def get_extra_info(self, name):
            return {"peername": ("192.0.2.1", 443), "ssl_object": self}[name]

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    class Socket:
        transport = Transport()

    Socket.transport.context.check_hostname = False
    Socket.transport.context.verify_mode = ssl.CERT_NONE

    assert not security_of(cast("ClientConnection", Socket()), root_trusted=True).is_proven
