"""Unpacks a directory of wheels: `python -m scripts.unpack_wheels WHEELS SITE_PACKAGES`.

pip cannot install for another architecture without leaving its own paths in the programs it makes; a station starts
none of them. Whoever calls this has checked the wheels' hashes (`scripts/wheels`).
"""

import sys
from pathlib import Path
from zipfile import ZipFile

_LIBRARIES = ("purelib/", "platlib/")


def unpack(wheel: Path, target: Path) -> None:
    """Unpack what is imported; scripts, headers and data files of the prefix stay out (PEP 427)."""
    with ZipFile(wheel) as archive:
        for info in archive.infolist():
            path = info.filename
            first, _, rest = path.partition("/")
            if first.endswith(".data"):
                prefix = next((prefix for prefix in _LIBRARIES if rest.startswith(prefix)), None)
                if prefix is None:
                    continue
                path = rest.removeprefix(prefix)
            if info.is_dir():
                continue
            place = target / path
            if not place.resolve().is_relative_to(target.resolve()):
                raise ValueError(f"{wheel.name} wants to write outside of its place: {path}")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(archive.read(info))


if __name__ == "__main__":
    for found in sorted(Path(sys.argv[1]).glob("*.whl")):
        unpack(found, Path(sys.argv[2]))
