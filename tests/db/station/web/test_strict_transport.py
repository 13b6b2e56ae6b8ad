"""Browsers are bound to HTTPS where they trust the certificate, and nowhere else."""

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from django.test import Client

from station.host.web_certificate import Pair
from station.paths import DataDirectory
from tests.unit.station.processes.test_certificate import make_certificate

pytestmark = pytest.mark.django_db
HEADER = "Strict-Transport-Security"
AUTHORITY = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")])


def test_a_self_made_certificate_binds_nobody(stranger: Client, data: DataDirectory) -> None:
    assert HEADER not in stranger.get("/login", secure=True)

    make_certificate(Pair.own(data), days=90)

    assert HEADER not in stranger.get("/login", secure=True)


def test_one_of_an_authority_binds_browsers_to_its_name(stranger: Client, data: DataDirectory) -> None:
    make_certificate(Pair.own(data), days=90, issuer=AUTHORITY)

    assert stranger.get("/login", secure=True)[HEADER].startswith("max-age=")
    assert HEADER not in stranger.get("/healthz")
    assert HEADER not in stranger.get("/login", secure=True, HTTP_HOST="127.0.0.1")
