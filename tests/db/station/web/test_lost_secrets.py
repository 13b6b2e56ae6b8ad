"""Pages and healthz say that secrets are lost, and which."""

import pytest
from django.test import Client

from station.domain.commands import Origin
from station.paths import DataDirectory
from station.services import configuration
from tests.db.station.web.conftest import AT

pytestmark = pytest.mark.django_db


def test_pages_and_healthz_name_the_lost_secrets(browser: Client, parts: object, data: DataDirectory) -> None:
    configuration.change({"AuthorizationKey": "canary-4711-canary"}, origin=Origin.LOCAL, actor="test", at=AT)
    assert "details" not in browser.get("/healthz").json()
    data.storage_key.unlink()

    details = browser.get("/healthz").json()["details"]

    assert (details[0]["code"], details[0]["keys"]) == ("secrets_lost", ["AuthorizationKey"])
    assert "AuthorizationKey" in browser.get("/").content.decode()
