"""Where to report a weakness, for everybody who asks."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from station import settings as station_settings
from station.domain.commands import Origin
from station.services import configuration
from station.web.pages import security_txt
from tests.db.station.web.conftest import AT

PATH = "/.well-known/security.txt"


@pytest.mark.django_db
def test_everybody_reads_whom_to_tell(stranger: Client, settings: Any) -> None:
    settings.SECURITY_CONTACT = "mailto:security@example.org"

    answer = stranger.get(PATH)

    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    fields = dict(line.split(": ", 1) for line in answer.content.decode().splitlines())
    assert fields["Contact"] == "mailto:security@example.org"
    assert fields["Preferred-Languages"] == "en, de"
    expires = datetime.strptime(fields["Expires"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert timedelta(days=90) < expires - datetime.now(UTC) < timedelta(days=366)


@pytest.mark.django_db
def test_without_a_contact_of_its_own_the_operators_hotline_is_named_and_without_one_nobody(stranger: Client) -> None:
    assert stranger.get(PATH).status_code == 404

    configuration.change({"/Gui/Operator/Contact/phone": "+49 (30) 123-456"}, origin=Origin.LOCAL, actor="t", at=AT)

    assert re.search(r"^Contact: tel:\+4930123456$", stranger.get(PATH).content.decode(), re.MULTILINE)


def test_it_has_not_expired_when_the_clock_was_lost() -> None:
    lost = datetime(1970, 1, 1, 3, tzinfo=UTC)

    assert security_txt.expiry(lost) > datetime(2026, 1, 1, tzinfo=UTC)
    assert security_txt.expiry(AT) == datetime(2027, 5, 19, tzinfo=UTC)


@pytest.mark.parametrize("contact", ["security@example.org", "mailto:a b", "https:\nContact: evil", "http://x"])
def test_a_contact_that_is_no_address_stops_the_start(monkeypatch: pytest.MonkeyPatch, contact: str) -> None:
    monkeypatch.setenv("STATION_SECURITY_CONTACT", contact)

    with pytest.raises(ImproperlyConfigured):
        station_settings._contact("STATION_SECURITY_CONTACT")
