"""The records are readable: columns in the reader's language, times of the station's zone."""

from datetime import UTC, datetime

import pytest
from django.test import Client
from django.utils import translation

from station.models import LogEntry
from station.ui import record_words
from station.web.admin import site


def test_every_word_belongs_to_a_column():
    columns = {field.name for model in site._registry for field in model._meta.fields}

    assert set(record_words.FIELDS) <= columns


@pytest.mark.parametrize(
    ("language", "heading", "time"), [("de", "Ladepunkt", "19:30"), ("en", "Charging point", "19:30")]
)
def test_a_list_is_read_in_the_language_and_at_the_time_of_the_place(
    browser: Client, *, language: str, heading: str, time: str
):
    LogEntry.objects.create(
        at=datetime(2026, 7, 1, 17, 30, tzinfo=UTC), code="station.started", connector_id=1, data={}
    )
    browser.cookies["django_language"] = language

    with translation.override(language):
        text = browser.get("/admin/station/logentry/").content.decode()

    assert heading in text
    assert "Europe/Berlin" in text
    assert time in text or "7:30 p.m." in text
