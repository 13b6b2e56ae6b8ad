"""Prints what a station on Debian 12 needs, with hashes: `python -m scripts.debian_requirements ARCHITECTURE`.

pip judges markers by the Python it runs on, also when it downloads for another one. So they are judged here, for
Debian's Python, and what is printed has none.
"""

import sys

from scripts.pinned import DEBIAN_12, ROOT, read

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def lines(architecture: str) -> list[str]:
    """Return one requirement per line, for pip with --require-hashes. KeyError: no such architecture."""
    environment = DEBIAN_12 | {"platform_machine": MACHINES[architecture]}
    return [
        f"{package.name}=={package.version} {' '.join(f'--hash=sha256:{value}' for value in package.hashes)}"
        for package in read(ROOT / "requirements-station.txt", [environment])
    ]


if __name__ == "__main__":
    print("\n".join(lines(sys.argv[1])))
