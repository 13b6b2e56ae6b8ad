"""Every concern has a sentence, and nothing is left to fill in."""

import pytest
from django.utils import translation

from station.domain.concerns import Concern, Severity, Subject
from station.ui import concern_words

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
