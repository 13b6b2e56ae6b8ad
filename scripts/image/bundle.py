"""`python -m scripts.image.bundle`: makes the file of an update; scripts/build-bundle is how it is called."""

import argparse
import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.image.maker import MakerKeys, maker_keys
from scripts.image.run import StepFailed, run

_VERSION_ID = re.compile(r'^VERSION_ID="?([^"\n]+)"?$', re.MULTILINE)
_MANIFEST = """\
[update]
compatible=station-{board}
version={version}

[bundle]
format=verity

[image.rootfs]
filename=rootfs.ext4
"""


def main(arguments: Sequence[str]) -> int:
    """Make a bundle; return the exit code."""
    cache = Path(os.environ.get("STATION_IMAGE_CACHE") or "/var/tmp/station-image")
    options = _parse(arguments, cache)
    began = time.monotonic()
    try:
        root = options.root or cache / f"root-{options.arch}.ext4"
        version = options.version or version_of(root)
        board = options.board or options.arch
        options.output.mkdir(parents=True, exist_ok=True)
        bundle = options.output / f"station-{version}-{board}.raucb"
        make_bundle(root, bundle, version=version, board=board, keys=maker_keys(cache, options.keys))
    except StepFailed as refusal:
        print(f"\n{refusal}", file=sys.stderr)
        return 1
    size = bundle.stat().st_size // 1_000_000
    print(f"{bundle} is made: version {version} for station-{board}, {size} MB ({time.monotonic() - began:.0f} s).")
    return 0


def _parse(arguments: Sequence[str], cache: Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/build-bundle", description="Make the file of an update.")
    parser.add_argument("--arch", choices=("amd64", "arm64"), default="amd64", help="default: amd64")
    parser.add_argument("--board", help="which stations may take it; default: the architecture")
    parser.add_argument("--keys", type=Path, metavar="DIR", help="what scripts/maker-key has made")
    parser.add_argument("--root", type=Path, metavar="FILE", help="a root file system; default: that built last")
    parser.add_argument("--version", help="default: what the root file system calls itself")
    parser.add_argument("--output", type=Path, default=cache / "out", metavar="DIR", help=f"default: {cache}/out")
    return parser.parse_args(arguments)


def version_of(root: Path) -> str:
    """Return what a root file system calls itself. Raises StepFailed."""
    if not root.is_file():
        raise StepFailed(f"There is no {root}: make it with scripts/build-image.")
    found = _VERSION_ID.search(run("debugfs", "-R", "cat /usr/lib/os-release", root))
    if found is None:
        raise StepFailed(f"{root} does not say which version it is.")
    return found[1]


def make_bundle(root: Path, bundle: Path, *, version: str, board: str, keys: MakerKeys) -> None:
    """Pack and sign a root file system. Raises StepFailed."""
    work = bundle.with_suffix(".work")
    shutil.rmtree(work, ignore_errors=True)
    content = work / "content"
    content.mkdir(parents=True)
    try:
        image = content / "rootfs.ext4"
        run("cp", "--sparse=always", "--reflink=auto", root, image)
        # What is empty is neither sent nor written.
        run("e2fsck", "-fy", image)
        run("resize2fs", "-M", image)
        (content / "manifest.raucm").write_text(_MANIFEST.format(board=board, version=version))
        unfinished = work / "bundle"
        run(
            *("rauc", "--cert", keys.certificate, "--key", keys.key, "--keyring", keys.trusted),
            *("--mksquashfs-args=-comp zstd -Xcompression-level 9", "bundle", content, unfinished),
        )
        unfinished.rename(bundle)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
