"""Writes docs/conformance.md: which cases prove which section of the standard, read from the tests themselves.

Run `python -m tests.process.conformance.document` after a change; `test_document.py` compares.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "conformance.md"
SOURCES = {
    "S": "OCPP 1.6 edition 2",
    "J": "OCPP-J 1.6",
    "E": "Errata sheet of OCPP 1.6",
    "JE": "Errata sheet of OCPP-J 1.6",
    "W": "OCPP 1.6 security whitepaper, edition 3",
}
HEAD = """# Conformance with OCPP 1.6J

Made by `python -m tests.process.conformance.document`; do not edit. Every case below runs against the started product:
all processes, simulated hardware over real serial protocols, a central system over a real WebSocket. For each case
every frame of the station is checked against the schema of the standard, transaction messages must come in order and
once, and never may two calls of the station be under way at a time.

Run them with `pytest tests/process/conformance`.
"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One test: what it says, where it stands, what it proves."""

    sentence: str
    file: str
    sections: tuple[str, ...]


def cases() -> Iterator[Case]:
    """Read all tests of this directory."""
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                sentence = node.name.removeprefix("test_").replace("_", " ")
                yield Case(sentence=sentence, file=path.name, sections=tuple(_sections(node)))


def _sections(node: ast.FunctionDef) -> Iterator[str]:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "section":
            yield from (str(ast.literal_eval(argument)) for argument in decorator.args)


def render() -> str:
    """Write the page."""
    found = list(cases())
    by_section: defaultdict[str, list[Case]] = defaultdict(list)
    for case in found:
        for name in case.sections:
            by_section[name].append(case)
    lines = [HEAD, f"{len(found)} tests, most of them with several sets of values.", ""]
    for letter, title in SOURCES.items():
        lines += [f"## {title}", "", "| section | case | file |", "| --- | --- | --- |"]
        names = [name for name in by_section if name.split()[0] == letter]
        for name in sorted(names, key=_in_order):
            for index, case in enumerate(by_section[name]):
                shown = name.partition(" ")[2] if index == 0 else ""
                lines.append(f"| {shown} | {case.sentence} | `{case.file}` |")
        lines.append("")
    return "\n".join(lines)


def _in_order(name: str) -> list[tuple[int, int, str]]:
    parts = re.findall(r"\d+|[^\d.]+", name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
