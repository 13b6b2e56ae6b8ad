"""`python -m scripts.image.bundle`: makes the file of an update; scripts/build-bundle is how it is called."""

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from configparser import ConfigParser, Error
from pathlib import Path

from scripts.image.maker import (
    WHICH_KEYS,
    WITH_LIST,
    MakerKeys,
    maker_keys,
    unfit_to_sign,
    verify,
    warn_of_development,
    warn_of_expiry,
)
from scripts.image.run import StepFailed, place, run

_VERSION_ID = re.compile(r'^VERSION_ID="?([^"\n]+)"?$', re.MULTILINE)
_SETTINGS = "/etc/rauc/system.conf"
_COMPATIBLE = "station-"
_REVOKED = re.compile(r"^ *Serial Number: ([0-9A-F]+)$", re.MULTILINE)
# Of ext4, in its superblock.
_MAGIC_AT, _MAGIC = 1024 + 56, b"\x53\xef"
_LIBRARIES = {"amd64": "/usr/lib/x86_64-linux-gnu", "arm64": "/usr/lib/aarch64-linux-gnu"}
# deploy/image/test
_OF_TEST_IMAGES = "/usr/lib/systemd/system/test-shell.service"
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
    cache = place(os.environ.get("STATION_IMAGE_CACHE") or "/var/tmp/station-image")
    options = _parse(arguments, cache)
    began = time.monotonic()
    try:
        root = options.root or cache / f"root-{options.arch or 'amd64'}.ext4"
        version = options.version or version_of(root)
        board = options.board or board_of(root)
        keys = maker_keys(cache, options.keys)
        if options.root and options.arch:
            check_architecture(root, options.arch)
        check_root(root, version=version, board=board, keys=keys, allow_test=options.development)
        _make_output(options.output)
        name = f"station-{version}-{board}{'-development' if options.development else ''}.raucb"
        bundle = options.output / name
        make_bundle(root, bundle, version=version, board=board, keys=keys)
    except StepFailed as refusal:
        print(f"\n{refusal}", file=sys.stderr)
        return 1
    size = bundle.stat().st_size // 1_000_000
    print(f"{bundle} is made: version {version} for station-{board}, {size} MB ({time.monotonic() - began:.0f} s).")
    warn_of_expiry(keys)
    if options.development:
        warn_of_development(bundle)
    return 0


def _parse(arguments: Sequence[str], cache: Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/build-bundle", description="Make the file of an update.")
    parser.add_argument("--arch", choices=("amd64", "arm64"), help="default: amd64, or that of --root")
    parser.add_argument("--board", help="which stations may take it; default: those of the root file system")
    keys = parser.add_mutually_exclusive_group()
    keys.add_argument("--keys", type=place, metavar="DIR", help="what scripts/maker-key has made")
    keys.add_argument("--development", action="store_true", help="with the key made on the spot: never ship it")
    parser.add_argument("--root", type=place, metavar="FILE", help="a root file system; default: that built last")
    parser.add_argument("--version", help="default: what the root file system calls itself")
    parser.add_argument("--output", type=place, default=cache / "out", metavar="DIR", help=f"default: {cache}/out")
    options = parser.parse_args(arguments)
    if options.keys is None and not options.development:
        parser.error(WHICH_KEYS)
    return options


def _make_output(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise StepFailed(f"--output {directory} cannot be a directory: {problem.strerror}.") from problem


def check_architecture(root: Path, wanted: str) -> None:
    """Refuse a root file system of another architecture. Raises StepFailed."""
    for architecture, libraries in _LIBRARIES.items():
        if architecture != wanted and "Inode:" in run("debugfs", "-R", f"stat {libraries}", root):
            raise StepFailed(f"{root} is not packed: it is for {architecture}, not for {wanted}. Leave --arch out.")


def version_of(root: Path) -> str:
    """Return what a root file system calls itself. Raises StepFailed."""
    found = _VERSION_ID.search(_read(root, "/usr/lib/os-release"))
    if found is None:
        raise StepFailed(f"{root} does not say which version it is.")
    return found[1]


def board_of(root: Path) -> str:
    """Return for which board a root file system takes updates. Raises StepFailed."""
    compatible = _settings_of(root).get("system", "compatible", fallback="")
    if not compatible.startswith(_COMPATIBLE) or compatible == _COMPATIBLE:
        raise StepFailed(f"{root} does not say for which board it is: compatible={compatible} in {_SETTINGS}.")
    return compatible.removeprefix(_COMPATIBLE)


def check_root(root: Path, *, version: str, board: str, keys: MakerKeys, allow_test: bool) -> None:
    """Refuse to sign what a station would install and then not be itself any more. Raises StepFailed with every reason.

    A root that trusts another maker could never be updated again, one for another board neither; one of another version
    would be refused or taken by mistake. One with an older list would trust again what was stolen.
    """
    wrong = []
    if (found := version_of(root)) != version:
        wrong.append(f"It calls itself version {found}, and the bundle would say {version}: leave --version out.")
    if (found := board_of(root)) != board:
        wrong.append(f"It is for the board {found}, and the bundle would be for {board}: leave --board out.")
    if trouble := unfit_to_sign(keys) or _distrust(root, keys):
        wrong.append(trouble)
    if not allow_test and _read(root, _OF_TEST_IMAGES):
        wrong.append("It is that of a test image, with a root shell and a known password.")
    if wrong:
        raise StepFailed("\n".join((f"{root} is not packed:", *(f"* {reason}" for reason in wrong))))


def _distrust(root: Path, keys: MakerKeys) -> str:
    """Return why what the root file system trusts does not go with the maker's certificate and list; "": it does."""
    settings = _settings_of(root)
    place = settings.get("keyring", "path", fallback="")
    needs_list = settings.get("keyring", "check-crl", fallback="") == "true"
    keyring = _read(root, place) if place.startswith("/") else ""
    trouble, known = f"it has no certificate at [keyring] path={place}", ""
    if keyring:
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(keyring)
            file.flush()
            trouble = verify(Path(file.name), keys.certificate, *(WITH_LIST if needs_list else ()))
            if needs_list and not trouble:
                known = _told(Path(file.name))
    if trouble.startswith("error 23 "):
        return (
            f"{keys.certificate} is revoked in the list of that root file system, which is newer than {keys.revoked}: "
            "bring back the latest revoked.pem, and sign with a key that is not in it."
        )
    if trouble:
        return (
            f"Stations with it would not take updates signed with {keys.certificate} ({trouble}): build it with the "
            "same --keys (without any for --development)."
        )
    if set(_REVOKED.findall(_told(keys.revoked))) - set(_REVOKED.findall(known)):
        return (
            f"Stations with it would trust again what {keys.revoked} has revoked, for its list is an older one: build "
            "it anew."
        )
    return ""


def _told(revocations: Path) -> str:
    return run("openssl", "crl", "-in", revocations, "-noout", "-text")


def _settings_of(root: Path) -> ConfigParser:
    settings = ConfigParser(interpolation=None)
    try:
        settings.read_string(_read(root, _SETTINGS))
    except Error as problem:
        raise StepFailed(f"{_SETTINGS} in {root} cannot be read: {problem}") from problem
    return settings


def _read(root: Path, place: str) -> str:
    """Return a file of a root file system; "" where there is none. Raises StepFailed."""
    if not root.exists():
        raise StepFailed(f"There is no {root}: make it with scripts/build-image.")
    if not root.is_file() or not _is_ext4(root):
        raise StepFailed(
            f"{root} is no root file system: name one that scripts/build-image has made (root-….ext4), "
            "or leave --root out."
        )
    return run("debugfs", "-R", f"cat {place}", root)


def _is_ext4(file: Path) -> bool:
    with file.open("rb") as opened:
        opened.seek(_MAGIC_AT)
        return opened.read(2) == _MAGIC


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
