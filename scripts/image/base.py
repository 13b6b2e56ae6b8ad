"""The Debian part of an image, cached by the list of its packages."""

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.image import emulation, packages
from scripts.image.run import ENVIRONMENT, run

_ROOT = Path(__file__).resolve().parents[2]
_SUITE = "bookworm"
# The licences stay, manuals and translations of programs do not.
_LEFT_OUT = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/lintian/*",
)
# The initrd of the packages' own installation would hold every driver and take a minute; the real one is made later.
_HOOKS = ('mkdir -p "$1/etc/initramfs-tools/conf.d"', 'echo MODULES=list >"$1/etc/initramfs-tools/conf.d/station"')


def base_tree(cache: Path, names: Sequence[str], architecture: str) -> Path:
    """Return the directory of a Debian with these packages; it is made once and must not be changed."""
    tree = cache / f"base-{architecture}-{packages.fingerprint(names, _SUITE, *_LEFT_OUT, *_HOOKS)}"
    if tree.is_dir():
        return tree
    print(f"Fetching Debian 12 for {architecture} ({len(names)} packages and what they need) …", flush=True)
    unfinished = tree.with_suffix(".unfinished")
    faster = _faster_when_emulated() if emulation.is_foreign(architecture) else ()
    shutil.rmtree(unfinished, ignore_errors=True)
    run(
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        f"--architectures={architecture}",
        f"--include={','.join(names)}",
        *(f"--dpkgopt={option}" for option in _LEFT_OUT),
        *(f"--essential-hook={hook}" for hook in _HOOKS),
        *faster,
        _SUITE,
        unfinished,
    )
    unfinished.rename(tree)
    return tree


def _faster_when_emulated() -> tuple[str, ...]:
    """Return options without which a tree of another architecture takes an hour."""
    python = f"cd {shlex.quote(str(_ROOT))} && {shlex.quote(sys.executable)} -m scripts.image.emulation"
    return (
        # The tree is thrown away when it does not become complete.
        "--dpkgopt=force-unsafe-io",
        # apt has a path of its own for dpkg.
        f'--aptopt=DPkg::Path "{ENVIRONMENT["PATH"]}"',
        f'--extract-hook={python} lend "$1"',
        f'--essential-hook={python} silence-python "$1"',
        f'--customize-hook={python} compile "$1"',
        f'--customize-hook={python} take-back "$1"',
    )
