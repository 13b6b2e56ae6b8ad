"""Every event and every command has its words, in both languages."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.utils import translation

from station.domain import commands
from station.domain.faults import FaultCode
from station.ui import event_words

ROOT = Path(event_words.__file__).parents[2]
SOURCES = [path for part in ("station", "hardware", "ocpp_client", "whitelist") for path in (ROOT / part).rglob("*.py")]
# Codes are literals, or constants that end in CODE; audit commands likewise.
EVENT = re.compile(r'(?:event_log\.(?:log|begin)[,(]\s*|_CODE = |_LOST = )"([a-z_]+\.[a-z_.]+)"')
COMMAND = re.compile(r'(?:command=|_audit\(\s*|_tell\(\s*"\w+", |_ASIDE = )"([A-Z]\w+)"')
DATA: dict[str, Any] = {"kind": "log", "fact": "session_began", "subjects": ["CN=x"], "reason": "timeout"}


def said(pattern: re.Pattern[str]) -> set[str]:
    return {code for path in SOURCES if "migrations" not in path.parts for code in pattern.findall(path.read_text())}


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_event_that_is_logged_can_be_said(language: str) -> None:
    found = said(EVENT) | {f"fault.{code.value}" for code in FaultCode}
    assert len(found) > len(FaultCode) + 8

    with translation.override(language):
        wordless = [code for code in found if event_words.event(code, DATA) in {str(event_words.UNREADABLE), code, ""}]

    assert wordless == []


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_command_that_is_audited_can_be_said(language: str) -> None:
    found = said(COMMAND) | {each.__name__ for each in commands.Command.__subclasses__()}
    assert len(found) > 15

    with translation.override(language):
        wordless = [name for name in found if event_words.command(name, DATA) == str(event_words.UNREADABLE)]

    assert wordless == []


def test_what_another_version_has_stored_is_said_as_far_as_it_goes() -> None:
    assert event_words.event("nobody.knows", {}) == str(event_words.UNREADABLE)
    assert event_words.event("files.failed", {}) == "Failed: . (unknown)"
    assert event_words.command("Reserve", {}) == "Reserve for card (unknown)"
    assert event_words.command("ChangeConfiguration", {"/ocpp/url": "100%s"}) == "Change settings: /ocpp/url = 100%s"
    assert event_words.outcome("rejected", "nobody_knows") == "refused"


def test_why_a_file_was_refused_is_told_with_its_detail() -> None:
    data = {"kind": "local_update", "reason": "other_hardware", "detail": "other_hardware: station-toaster"}

    assert "for another board (station-toaster)" in event_words.event("files.failed", data)


def test_who_it_was_is_said_once() -> None:
    assert event_words.actor("web", "admin") == "admin (Web interface)"
    assert event_words.actor("backend", "backend") == "Backend"
    assert event_words.actor("local", "manage.py config") == "command line (Station)"


def test_a_refused_card_is_told_with_what_the_rules_say_of_it() -> None:
    refused = {"id_tag": "04A2", "reason": "tag_refused", "because": "whitelist_expired"}

    assert event_words.event("start.refused", refused) == "Charging was refused for card 04A2. The card has expired."
