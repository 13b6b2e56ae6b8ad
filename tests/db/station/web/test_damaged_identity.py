"""Pages and healthz of a running station say that its identity file is damaged, and what to do."""

import pytest
from django.test import Client

from station.paths import DataDirectory
from station.services import identity
from tests.db.station.web.conftest import AT

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("language", "words"), [("en", "goes on with the identity it had"), ("de", "die sie hatte")])
def test_pages_and_healthz_name_the_damage_and_go_on(
    browser: Client, parts: object, data: DataDirectory, language: str, words: str
) -> None:
    identity.ensure(at=AT)
    serial = identity.load().serial
    browser.get("/")
    assert "details" not in browser.get("/healthz").json()
    right = data.identity.read_bytes()
    data.identity.write_bytes(right[: len(right) // 2])

    [detail] = browser.get("/healthz").json()["details"]
    page = browser.get("/", headers={"accept-language": language}).content.decode()

    assert detail["code"] == "identity_damaged"
    assert "Restore it from the production record" in detail["text"]
    assert words in page
    assert serial in browser.get("/software/versions").content.decode()
    data.identity.write_bytes(right)
    assert "details" not in browser.get("/healthz").json()
    assert words not in browser.get("/", headers={"accept-language": language}).content.decode()
