"""What a running station loads has no docstrings and does the same as before."""

import subprocess
import sys
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from station.processes import without_docstrings
from station.processes.without_docstrings import stripped

on_a_stations_python = pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="knows the bytecode of Python 3.11")

MODULE = '''\
"""Of the module."""
from dataclasses import dataclass
from enum import Enum

def plain(value):
    """Of a function."""
    assert value, "asserted"
    return [inner() for inner in (lambda: "a", lambda: "b")]

def speaks():
    """Its own words."""
    return "Its own words."

def names():
    return ["name" for _ in range(2)]

@dataclass
class Fields:
    """Of a dataclass."""

    field: int = 1

class Colour(Enum):
    """Of an enumeration."""

    RED = "Of an enumeration."

class Bare:
    first = "no docstring"

    async def method(self):
        """Of a method."""
        class Inner:
            """Of an inner class."""
        return Inner
'''


def run(code: CodeType) -> dict[str, Any]:
    """Run a module's code and return its names."""
    names: dict[str, Any] = {"__name__": __name__}
    exec(code, names)  # noqa: S102 - the code stands above
    return names


@on_a_stations_python
def test_modules_and_functions_lose_their_docstrings_and_classes_keep_a_placeholder() -> None:
    made = run(stripped(compile(MODULE, "made.py", "exec")))

    assert made["__doc__"] is None
    assert made["plain"].__doc__ is made["Bare"].method.__doc__ is None
    assert made["Fields"].__doc__ == "Left out, see the source."
    assert made["Bare"].__doc__ is None


@on_a_stations_python
def test_what_the_code_does_stays_the_same() -> None:
    made = run(stripped(compile(MODULE, "made.py", "exec")))

    assert made["plain"](1) == ["a", "b"]
    assert made["speaks"]() == "Its own words."
    assert made["names"]() == ["name", "name"]
    assert made["Fields"]() == made["Fields"](field=1)
    assert made["Colour"]("Of an enumeration.") is made["Colour"].RED
    assert made["Bare"].first == "no docstring"


@on_a_stations_python
def test_assertions_stay() -> None:
    made = run(stripped(compile(MODULE, "made.py", "exec")))

    with pytest.raises(AssertionError, match="asserted"):
        made["plain"](0)


@on_a_stations_python
def test_code_without_docstrings_is_the_very_same() -> None:
    code = compile("x = 1\ndef f(): return x\n", "made.py", "exec")

    assert stripped(code) is code


@on_a_stations_python
def test_once_installed_every_import_is_stripped_and_its_source_is_still_found(tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text(MODULE)
    program = (
        "import sys; from station.processes import without_docstrings; without_docstrings.install();"
        f"sys.path.insert(0, {str(tmp_path)!r}); import inspect, made;"
        "assert made.plain.__doc__ is None and made.__doc__ is None;"
        "assert 'Of a function.' in inspect.getsource(made.plain)"
    )

    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])


def test_bytecode_of_another_python_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(without_docstrings, "_KNOWN_BYTECODE", (3, 10))
    before = list(sys.path_hooks)

    without_docstrings.install()

    assert sys.path_hooks == before
