"""Every code the station knows has words, in both languages."""

import csv
from enum import StrEnum
from pathlib import Path

import pytest
from django.utils import translation

from ocpp_client.connection.failures import Failure
from ocpp_client.connection.registration import Phase
from station.domain.commands import Origin, Refusal, Status
from station.domain.configuration.problems import TEMPLATES
from station.domain.faults import FaultCode
from station.domain.limits import LimitSource
from station.domain.ports import Pilot
from station.ui import fault_words, problems, words

ERRORS_CSV = Path("/work/shared/spec/errors.csv")


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        (FaultCode, words.FAULTS),
        (Refusal, words.REFUSALS),
        (Status, words.OUTCOMES),
        (LimitSource, words.LIMIT_SOURCES),
        (Origin, words.SESSION_ORIGINS),
        (Pilot, words.PILOTS),
        (Failure, words.BACKEND_ERRORS),
        (Phase, words.REGISTRATIONS),
    ],
)
def test_every_code_has_words_in_both_languages(codes: type[StrEnum], said: words.Words):
    assert {code.value for code in codes} <= {str(code) for code in said}
    for language in ("de", "en"):
        with translation.override(language):
            assert all(words.word(said, code) for code in codes)


# What the manual leaves abbreviated, and how the pages say it.
PLAINER = {"GSWML": "Eichrechtliches Logbuch (GSWML)", "RCD hat": "Der FI-Schutzschalter hat"}


@pytest.mark.skipif(not ERRORS_CSV.exists(), reason="the manuals' table is not part of a clean checkout")
def test_the_manuals_faults_are_said_in_the_manuals_words():
    with ERRORS_CSV.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    for language, column in (("de", "info_de"), ("en", "info_en")):
        with translation.override(language):
            said = [words.word(words.FAULTS, row["error"]) for row in rows]
        for manual, ours in PLAINER.items():
            said = [each.replace(ours, manual) for each in said]
        assert said == [row[column] for row in rows]


@pytest.mark.parametrize("code", FaultCode)
def test_every_fault_comes_with_cause_check_and_measure_in_both_languages(code: FaultCode):
    said = [set[str](), set[str]()]
    for texts, language in zip(said, ("de", "en"), strict=True):
        with translation.override(language):
            texts.update(str(each[code]) for each in (fault_words.CAUSES, fault_words.CHECKS, words.FAULT_ADVICE))

    assert [len(each) for each in said] == [3, 3]
    assert not said[0] & said[1]


def test_refused_values_are_said_in_the_registrys_own_words():
    with translation.override("en"):
        assert {code: str(text) for code, text in problems.PROBLEMS.items()} == dict(TEMPLATES)
    with translation.override("de"):
        assert problems.say("range", {"low": 1, "high": 9}) == "Die Zahl muss zwischen 1 und 9 liegen."


def test_a_code_from_a_newer_part_is_shown_as_it_is():
    assert words.word(words.LIMIT_SOURCES, "moon_phase") == "moon_phase"
