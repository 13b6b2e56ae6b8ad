"""`python -m scripts.image`: makes the disk image of a station; scripts/build-image is how it is called."""

import argparse
import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.image import boot, checkout, disk, packages, tree
from scripts.image.base import base_tree
from scripts.image.maker import maker_keys, warn_of_development
from scripts.image.run import StepFailed, place, run

_RELEASE = re.compile(r'^RELEASE = "([^"]+)"$', re.MULTILINE)
# What a station can compare (station/domain/firmware.py): it refuses older software, and must be able to tell.
_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(?:[-+][0-9A-Za-z.]+)?")
# GRUB and older kernels do not know the newest features of ext4.
_FEATURES = "^orphan_file,^metadata_csum_seed"


def main(arguments: Sequence[str]) -> int:
    """Make an image; return the exit code."""
    cache = place(os.environ.get("STATION_IMAGE_CACHE") or "/var/tmp/station-image")
    options = _parse(arguments, cache)
    began = time.monotonic()
    try:
        for sentence in checkout.differences(*tree.PRODUCT):
            print(sentence, flush=True)
        image = _build(cache, options)
    except (StepFailed, packages.PackageLineNotUnderstood, disk.ContentIsTooLarge, tree.PrivateKeyFound) as refusal:
        print(f"\n{refusal}", file=sys.stderr)
        return 1
    print(f"{image} is made ({time.monotonic() - began:.0f} s).")
    if options.keys is None and not options.test:
        warn_of_development(image)
    return 0


def _parse(arguments: Sequence[str], cache: Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/build-image", description="Make the disk image of a station.")
    parser.add_argument("--arch", choices=("amd64", "arm64"), default="amd64", help="default: amd64")
    parser.add_argument("--test", action="store_true", help="with simulated hardware and a root shell: never ship it")
    parser.add_argument("--version", type=_version, default=_release(), help="default: that of the station's software")
    parser.add_argument("--board", help="which updates it takes; default: the architecture")
    parser.add_argument(
        "--keys", type=place, metavar="DIR", help="of scripts/maker-key; default: a key made on the spot, never ship it"
    )
    parser.add_argument("--output", type=place, default=cache / "out", metavar="DIR", help=f"default: {cache}/out")
    return parser.parse_args(arguments)


def _version(text: str) -> str:
    if not _VERSION.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no version; write for instance 1.4.0")
    return text


def _release() -> str:
    found = _RELEASE.search((tree.ROOT / "station/host/release.py").read_text())
    if found is None:
        raise StepFailed("station/host/release.py names no RELEASE.")
    return found[1]


def _build(cache: Path, options: argparse.Namespace) -> Path:
    """Make tree, file systems and disk; return the image."""
    architecture: str = options.arch
    kind = f"{architecture}-test" if options.test else architecture
    extra = tree.IMAGE / "test" if options.test else None
    cache.mkdir(parents=True, exist_ok=True)
    options.output.mkdir(parents=True, exist_ok=True)
    work = cache / f"work-{kind}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()

    lists = [(tree.DEPLOY / "packages.txt").read_text(), (tree.IMAGE / "packages.txt").read_text()]
    base = base_tree(cache, packages.chosen(lists, architecture), architecture)
    wheels = tree.fetch_wheels(cache, architecture)
    print("Putting the station in …", flush=True)
    root = cache / f"root-{kind}"
    unfinished = work / "root"
    tree.root_tree(
        base,
        wheels,
        unfinished,
        architecture=architecture,
        version=options.version,
        board=options.board or architecture,
        keyring=maker_keys(cache, options.keys).keyring,
        extra=extra and extra / "root",
    )

    print("Making the file systems …", flush=True)
    laid = disk.partitions(architecture)
    efi, slot_a, slot_b, data = laid
    root_image = work / "root.ext4"
    _make_ext4(root_image, slot_a, unfinished, label="root")
    empty = work / "data"
    empty.mkdir()
    data_image = work / "data.ext4"
    _make_ext4(data_image, data, empty, label="data")
    brought = [tree.IMAGE / "efi", *([extra / "efi"] if extra else [])]
    efi_image = boot.efi_file_system(
        base, efi, architecture, settings=tree.IMAGE / "grub.cfg", extras=brought, work=work
    )

    name = kind if options.keys or options.test else f"{kind}-development"
    image = work / f"station-{options.version}-{name}.img"
    with image.open("wb") as file:
        file.truncate(disk.disk_size(laid))
    run("sfdisk", "--quiet", image, stdin=disk.sfdisk_script(laid))
    for part, content in ((efi, efi_image), (slot_a, root_image), (slot_b, root_image), (data, data_image)):
        disk.check_fits(part, content.stat().st_size)
        run("dd", f"if={content}", f"of={image}", "bs=1M", f"seek={part.start // disk.MIB}", "conv=sparse,notrunc")

    # Whoever waits for an image finds the whole of it or none.
    shutil.rmtree(root, ignore_errors=True)
    unfinished.rename(root)
    root_image.rename(cache / f"root-{kind}.ext4")
    shutil.copyfile(root / "boot/vmlinuz", cache / f"vmlinuz-{architecture}")
    shutil.copyfile(root / "boot/initrd.img", cache / f"initrd-{kind}")
    finished: Path = options.output / image.name
    shutil.move(image, finished)
    shutil.rmtree(work)
    return finished


def _make_ext4(image: Path, part: disk.Partition, content: Path, *, label: str) -> None:
    image.unlink(missing_ok=True)
    # Made small, the file system for data would have blocks of 1 KiB for ever; a page of SQLite has 4.
    kind = ("-t", "ext4", "-O", _FEATURES, "-b", "4096", "-J", "size=16", "-L", label)
    run("mke2fs", "-q", *kind, "-d", content, image, f"{part.size // 1024}k")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
