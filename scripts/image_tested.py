"""What the image was made of when its tests passed last: `python -m scripts.image_tested --is-current | --note`.

The tests of the image take minutes, so the build server repeats them only when something they are about has changed.
The record stands in the repository: whoever changes the image runs `scripts/test-image` and commits what it noted.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORD = Path("deploy/image/tested.json")
# A build server's checkout may belong to another user than the one who runs the tests.
_GIT = ("git", "-c", "safe.directory=*")
# A document beside them is in no image and read by no test of one.
WATCHED = ("deploy", "scripts", "requirements*.txt", "tests/image", ":!deploy/README.md")


def tracked(patterns: Iterable[str], root: Path = ROOT) -> list[Path]:
    """List the files under version control that match, relative to the root, new ones that nobody ignores included."""
    listed = subprocess.run(  # noqa: S603
        [*_GIT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate", "--", *patterns],
        cwd=root,
        capture_output=True,
        check=True,
    ).stdout.decode()
    names = [Path(name) for name in listed.split("\0") if name]
    return sorted(name for name in names if name != RECORD and (root / name).is_file())


def digest(names: Iterable[Path], root: Path = ROOT) -> str:
    """Return one hash over names, contents and the right to be executed."""
    whole = hashlib.sha256()
    for name in names:
        path = root / name
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{name}\0{path.stat().st_mode & 0o100:o}\0{content}\n".encode())
    return whole.hexdigest()


def is_current(root: Path = ROOT) -> bool:
    """Say whether the tests passed with exactly these files, and print the answer."""
    try:
        noted = json.loads((root / RECORD).read_text())
    except FileNotFoundError:
        print(f"The tests of the image run: {RECORD} is missing.")
        return False
    if noted["hash"] != digest(tracked(WATCHED, root), root):
        watched = ", ".join(each for each in WATCHED if not each.startswith(":"))
        print(f"The tests of the image run: {watched} changed since they passed on {noted['date']}.")
        return False
    print(f"The image's tests passed with these files on {noted['date']} ({noted['commit']}): not repeated.")
    return True


def note(*, seconds: int, now: datetime, root: Path = ROOT) -> None:
    """Write down that the tests passed with the files as they are."""
    commit = subprocess.run(  # noqa: S603
        [*_GIT, "rev-parse", "--short", "HEAD"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    record = {
        "hash": digest(tracked(WATCHED, root), root),
        "date": now.date().isoformat(),
        "commit": commit,
        "seconds": seconds,
    }
    (root / RECORD).parent.mkdir(exist_ok=True)
    (root / RECORD).write_text(json.dumps(record, indent=2) + "\n")
    print(f"Noted in {RECORD}. Commit it, and the build server does not repeat these tests.")


def main() -> int:
    """Answer a question or note a success."""
    parser = argparse.ArgumentParser(description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--is-current", action="store_true")
    what.add_argument("--note", action="store_true")
    parser.add_argument("--seconds", type=int, default=0)
    given = parser.parse_args()
    if given.is_current:
        return 0 if is_current() else 1
    note(seconds=given.seconds, now=datetime.now(UTC))
    return 0


if __name__ == "__main__":
    sys.exit(main())
