"""The result of a check."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One checked item: what it is about, what was found, and what to do about it."""

    subject: str
    level: Level = Level.OK
    text: str
    remedy: str = ""


def problem(subject: str, text: str, remedy: str) -> Finding:
    """Report what keeps the station from working."""
    return Finding(subject=subject, level=Level.PROBLEM, text=text, remedy=remedy)


def warning(subject: str, text: str, remedy: str) -> Finding:
    """Report what still works but needs attention."""
    return Finding(subject=subject, level=Level.WARNING, text=text, remedy=remedy)
