"""Options of the reliability tests; `benchmarks/reliability.py` runs the same tests with larger doses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from station.paths import DataDirectory

Note = Callable[..., None]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("reliability")
    group.addoption("--seed", type=int, default=1, help="begin with this seed (replays a failure)")
    group.addoption("--seeds", type=int, default=0, help="simulate so many stations (0: the small dose)")
    group.addoption("--deadly", action="store_true", help="in the lives of simulated stations mostly processes die")
    group.addoption(
        "--soak", type=float, default=0, help="let a simulated station charge for so many hours of its time"
    )
    group.addoption("--frames", type=int, default=0, help="fuzz with so many frames of each kind (0: the small dose)")
    group.addoption("--acts", type=int, default=0, help="so many acts of fate on real processes (0: the small dose)")
    group.addoption("--figures", default="", help="append what was measured to this file, one JSON object a line")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--seed"))


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Write a figure down, where somebody asks for them."""
    place = request.config.getoption("--figures")

    def write(subject: str, **figures: Any) -> None:
        if place:
            with Path(place).open("a") as file:
                file.write(json.dumps({"subject": subject, **figures}) + "\n")

    return write


@pytest.fixture
def station_directory(tmp_path: Path, settings: Any) -> DataDirectory:
    directory = DataDirectory(tmp_path / "station")
    directory.create()
    settings.DATA = directory
    return directory
