"""Making a tree of another architecture bearable: the desk lends it tools that need no emulation.

Most of the time of such an installation goes into unpacking archives and into the small commands of the packages'
scripts. They do the same whatever processor they were compiled for, so that the desk's own do it, found first in PATH.
dpkg, shells and Perl stay those of the tree: they know the architecture they install for. Python is silent meanwhile,
because all that packages want of it is bytecode, for which an emulated one takes an hour; it is compiled at the end, by
the desk's Python where that makes the same.
"""

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.image.run import in_tree, run

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_LOADERS = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "aarch64": "/lib/ld-linux-aarch64.so.1"}
# Where they lie in the tree while it is made; in the environment of scripts.image.run this is looked at first.
DIRECTORY = "/station-build"
_TOOLS = (
    *(
        "dpkg-deb",
        "tar",
        "gzip",
        "zstd",
        "cpio",
        "sed",
        "grep",
        "egrep",
        "fgrep",
        "find",
        "xargs",
        "diff",
        "cmp",
        "mawk",
        "depmod",
    ),
    *("awk", "basename", "cat", "chgrp", "chmod", "chown", "comm", "cp", "cut", "dirname", "expr", "head", "id"),
    *("install", "ln", "ls", "md5sum", "mkdir", "mktemp", "mv", "paste", "readlink", "realpath", "rm", "rmdir", "seq"),
    *("sha1sum", "sha256sum", "sort", "stat", "tail", "touch", "tr", "uniq", "wc"),
)
_FOREIGN = "lib64"
# Debian's Python of the tree; of the desk the bytecode is the same when the first two numbers are.
DEBIANS_PYTHON = (3, 11)
_PYTHON = "/usr/bin/python3.11"
_NEEDED = re.compile(r"(?:=> )?(/\S+) \(0x")


def is_foreign(architecture: str) -> bool:
    """Return whether programs of this architecture have to be emulated on this computer."""
    return _MACHINES[architecture] != platform.machine()


def lend(tree: Path) -> None:
    """Put the desk's tools and their libraries into the tree."""
    directory = tree / DIRECTORY[1:]
    directory.mkdir()
    libraries: set[str] = set()
    for name in _TOOLS:
        program = shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin")
        # A script would run in a shell of the tree, and is no faster than its own.
        if program is None or not Path(program).read_bytes().startswith(b"\x7fELF"):
            continue
        shutil.copyfile(program, directory / name)
        (directory / name).chmod(0o755)
        said = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
        libraries.update(_NEEDED.findall(said))
    place, loader = _libraries(tree)
    loader.parent.mkdir(exist_ok=True)
    place.mkdir()
    for library in libraries:
        if Path(library).name == loader.name:
            shutil.copyfile(library, loader)
            loader.chmod(0o755)
        else:
            shutil.copyfile(library, place / Path(library).name)


def silence_python(tree: Path) -> None:
    """Have Python do nothing in the tree while packages are installed."""
    # The first packages have merged /lib64 into /usr, and with it what the lent tools are started by.
    if (tree / "usr" / _FOREIGN).is_dir() and not (tree / _FOREIGN).exists():
        (tree / _FOREIGN).symlink_to(f"usr/{_FOREIGN}")
    in_tree(tree, "dpkg-divert", "--local", "--rename", "--divert", f"{_PYTHON}.real", "--add", _PYTHON)
    stand_in = tree / _PYTHON[1:]
    stand_in.write_text("#!/bin/sh\nexit 0\n")
    stand_in.chmod(0o755)


def compile_packages(tree: Path) -> None:
    """Give the tree its Python back, and the bytecode that its packages would have made."""
    (tree / _PYTHON[1:]).unlink()
    in_tree(tree, "dpkg-divert", "--local", "--rename", "--remove", _PYTHON)
    compile_python(tree, "/usr/lib/python3.11", "/usr/lib/python3/dist-packages", "/usr/share/python3")


def compile_python(tree: Path, *directories: str, options: Sequence[str] = ()) -> None:
    """Compile the Python below directories of the tree, with the desk's own Python where it is as Debian's."""
    words = ["-m", "compileall", "-q", "-j", "0", *options]
    if sys.version_info[:2] == DEBIANS_PYTHON:
        run(sys.executable, *words, "-s", tree, "-p", "/", *(tree / each[1:] for each in directories))
    else:
        in_tree(tree, "python3", *words, *directories)


@contextmanager
def lent(tree: Path, architecture: str) -> Iterator[None]:
    """Lend the desk's tools for a while, to a tree whose own have to be emulated."""
    if not is_foreign(architecture):
        yield
        return
    lend(tree)
    try:
        yield
    finally:
        take_back(tree)


def take_back(tree: Path) -> None:
    """Remove what `lend` has put in."""
    place, loader = _libraries(tree)
    shutil.rmtree(tree / DIRECTORY[1:], ignore_errors=True)
    shutil.rmtree(place, ignore_errors=True)
    loader.unlink(missing_ok=True)
    # The directory of an architecture that is not the tree's.
    for directory in (tree / _FOREIGN, tree / "usr" / _FOREIGN):
        if directory.is_symlink():
            directory.unlink()
        elif directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()


def _libraries(tree: Path) -> tuple[Path, Path]:
    machine = platform.machine()
    return tree / f"usr/lib/{machine}-linux-gnu", tree / _LOADERS[machine][1:]


if __name__ == "__main__":
    # Called by mmdebstrap, which knows when the tree is far enough.
    steps = {"lend": lend, "silence-python": silence_python, "compile": compile_packages, "take-back": take_back}
    steps[sys.argv[1]](Path(sys.argv[2]))
