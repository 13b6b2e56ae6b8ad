"""Writes the documents that are made from the code (`python -m scripts.documents`), or checks them (`--check`)."""

import sys
from collections.abc import Callable
from pathlib import Path

from scripts.documents import (
    authorization,
    cluster_run,
    configuration_keys,
    connector_machine,
    modbus,
    registration_machine,
)

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENTS: dict[str, Callable[[], str]] = {
    "authorization.md": authorization.render,
    "configuration_keys.md": configuration_keys.render,
    "images/cluster_run.svg": cluster_run.render,
    "images/connector_machine.svg": connector_machine.render_machine,
    "modbus.md": modbus.render,
    "images/registration_machine.svg": registration_machine.render_machine,
}


def outdated() -> list[str]:
    """List the documents that are not what the code says."""
    return [
        name
        for name, render in DOCUMENTS.items()
        if not (DOCS / name).exists() or (DOCS / name).read_text(encoding="utf-8") != render()
    ]


def main(arguments: list[str]) -> int:
    """Write what is outdated, or only say so."""
    found = outdated()
    if "--check" in arguments:
        for name in found:
            print(f"docs/{name} is outdated: run python -m scripts.documents", file=sys.stderr)
        return 1 if found else 0
    for name in found:
        (DOCS / name).write_text(DOCUMENTS[name](), encoding="utf-8")
        print(f"docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
