"""Words for what is wrong with the description of the hardware; the sentences stand where it is read."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.translation import gettext

from station.domain.snapshot import DescriptionMistake


def say(mistake: DescriptionMistake) -> str:
    """Return one mistake in the reader's language: the place in hardware.json, and what is wrong there."""
    return f"{mistake.where}: {gettext(mistake.template) % mistake.data}"


def in_one_line(mistakes: Iterable[DescriptionMistake]) -> str:
    """Return all mistakes in the reader's language."""
    return "; ".join(map(say, mistakes))


def stored(mistakes: Any) -> str:
    """Return what an entry of the event log holds; that of an earlier version is an English text."""
    if not isinstance(mistakes, list):
        return str(mistakes)
    return in_one_line(DescriptionMistake(**each) for each in mistakes if isinstance(each, Mapping))
