"""What the station offers a backend: the suites of the security whitepaper, section 2.3, none with CBC."""

import ssl

import pytest

from ocpp_client.connection.endpoint import Endpoint, tls_context
from station.paths import DataDirectory

pytestmark = pytest.mark.django_db
WHITEPAPER = {
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
}


@pytest.mark.parametrize("profile", [2, 3])
def test_the_backend_is_offered_authenticated_encryption_only(profile: int, data: DataDirectory) -> None:
    context = tls_context(Endpoint(base_url="wss://b/", identity="x", security_profile=profile))

    assert context is not None
    offered = {suite["name"] for suite in context.get_ciphers()}
    assert offered >= WHITEPAPER
    assert all("GCM" in name or "CHACHA20" in name for name in offered)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    # Forward secrecy is preferred.
    names = [suite["name"] for suite in context.get_ciphers() if suite["protocol"] == "TLSv1.2"]
    assert names.index("AES128-GCM-SHA256") > names.index("ECDHE-ECDSA-AES128-GCM-SHA256")
