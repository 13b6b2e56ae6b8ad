"""Running the programs that make an image, with an environment of their own."""

import os
import subprocess
from pathlib import Path

# What the desk sets (PIP_*, LANG, PYTHON*) must not reach into the image.
ENVIRONMENT = {
    # First what the desk lends to a tree of another architecture (scripts.image.emulation); elsewhere it is not there.
    "PATH": "/station-build:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
    # The package of the kernel makes no initrd: that of the image is made later, with what the image puts in.
    "INITRD": "No",
}


class StepFailed(Exception):
    """A program ended with an error; the message holds what it said."""


def run(*command: str | Path, stdin: str | None = None) -> str:
    """Run a program and return its output. Raises StepFailed."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            env=ENVIRONMENT,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as missing:
        raise StepFailed(f"{words[0]} is not installed.") from missing
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise StepFailed(f"{' '.join(words)} ended with {done.returncode}:\n{said}")
    return done.stdout


def place(text: str) -> Path:
    """Return a path as the person meant it: scripts/setup.sh leaves the directory where the command was called."""
    return Path(os.environ.get("CALLED_FROM", ""), text).absolute()


def in_tree(tree: Path, *command: str | Path) -> str:
    """Run a program of the tree inside it."""
    return run("chroot", tree, *command)
