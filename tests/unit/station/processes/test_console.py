from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from station.processes.console import Excerpt

LOG = (
    "2026-11-20T10:00:00.000Z INFO    web: all is well\n"
    "2026-11-20T10:00:01.000Z ERROR   web: it broke\n"
    "Traceback (most recent call last):\n"
    "  a line of it\n"
    "2026-11-20T10:00:02.000Z INFO    web: all is well again\n"
    "4711:M 20 Nov 2026 10:00:00.000 # Server initialized\n"
)
SHOWN = [
    "2026-11-20T10:00:01.000Z ERROR   web: it broke",
    "Traceback (most recent call last):",
    "  a line of it",
]


@given(st.lists(st.integers(0, len(LOG)), max_size=8))
def test_an_excerpt_shows_warnings_and_tracebacks_however_the_output_is_cut(cuts: list[int]) -> None:
    excerpt = Excerpt("web")
    places = sorted({0, *cuts, len(LOG)})

    shown = [line for begin, end in pairwise(places) for line in excerpt.lines(LOG[begin:end])]

    assert shown == SHOWN


def test_what_dies_before_logging_begins_is_shown() -> None:
    assert list(Excerpt("web").lines("ImportError: nothing there\n")) == ["ImportError: nothing there"]
