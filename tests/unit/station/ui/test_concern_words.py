"""Every concern has a sentence, and nothing is left to fill in."""

import pytest
from django.utils import translation

from station.domain.concerns import Concern, Severity, Subject
from station.domain.snapshot import DescriptionMistake
from station.ui import concern_words, event_words

DATA: dict[str, str | int] = {
    "count": 2,
    "megabytes": 12,
    "files": "station.sqlite3.broken-1",
    "keys": "AuthorizationKey",
    "port": 502,
    "name": "Yard 1",
    "names": "Yard 1, Yard 2",
    "power_w": 4_200,
}


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("subject", list(Subject))
def test_every_subject_says_what_it_is(subject: Subject, language: str):
    codes = {
        Subject.NOT_READY: "safe_mode",
        Subject.FAULT: "GroundFailure",
        Subject.BACKEND_NOT_REGISTERED: "pending",
        Subject.CLUSTER_UNABLE: "no_key",
    }
    concern = Concern(subject=subject, severity=Severity.NOTICE, code=codes.get(subject, ""), data=DATA)

    with translation.override(language):
        title, advice = concern_words.title(concern), concern_words.advice(concern)

    assert len(title) > 10
    assert "%(" not in title + advice
    assert str(subject) != title


@pytest.mark.parametrize(
    ("severities", "said"),
    [
        ([], "All in order"),
        ([Severity.NOTICE], "1 notice"),
        ([Severity.PROBLEM, Severity.NOTICE, Severity.PROBLEM], "2 problems"),
    ],
)
def test_the_light_counts_the_worst(severities: list[Severity], said: str):
    found = tuple(Concern(subject=Subject.FAULT, severity=each, code="GroundFailure") for each in severities)

    with translation.override("en"):
        assert concern_words.summary(found) == said


@pytest.mark.parametrize(
    ("language", "said"), [("en", "must be one of a, b, not c"), ("de", "muss eines von a, b sein")]
)
def test_a_description_that_is_wrong_is_explained_in_the_readers_language(language: str, said: str):
    mistake = DescriptionMistake(
        where="connectors[0].meter.driver",
        template="must be one of %(choices)s, not %(found)s",
        data={"choices": "a, b", "found": "c"},
    )
    concern = Concern(
        subject=Subject.NOT_READY, severity=Severity.PROBLEM, code="hardware_wrong", mistakes=(mistake, mistake)
    )

    with translation.override(language):
        title = concern_words.title(concern)

    assert title.count(f"connectors[0].meter.driver: {said}") == 2


def test_an_entry_of_an_earlier_version_keeps_its_text():
    assert "io: is missing" in event_words.event(
        "station.undescribed", {"cause": "hardware_wrong", "mistakes": "io: is missing"}
    )
