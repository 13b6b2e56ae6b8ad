"""Software images: a tar archive that begins with `manifest.json` and `manifest.sig`.

    manifest.json  {"product", "version", "hardware": […], "security_floor", "files": [{"path", "size", "sha256"}]}
    manifest.sig   raw signature of the manifest's bytes by the maker's update key: Ed25519, or ECDSA P-256 with SHA-256
    …              the files, in any order

Nothing is unpacked before everything is verified. The archive is not compressed, what is inside may be; so no file
grows on unpacking. Only plain files with short names are taken: no links, devices, directories or extended headers.
"""

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from station.domain.firmware import ImageFile, ImageRefused, Manifest, check_path

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
_BLOCK = tarfile.BLOCKSIZE
_LONGEST_MANIFEST = 2_000_000
_LONGEST_SIGNATURE = 1_000
_CHUNK = 256 * 1024


@dataclass(frozen=True)
class UpdateKey:
    """The maker's public key."""

    pem: bytes

    def verify(self, signature: bytes, message: bytes) -> None:
        """Raise `ImageRefused` unless the maker has signed this."""
        key = serialization.load_pem_public_key(self.pem)
        try:
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, message)
            elif isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
            else:
                raise ImageRefused("signature_wrong", "the update key is of an unknown kind")
        except InvalidSignature:
            raise ImageRefused("signature_wrong") from None


def looks_like_image(path: Path) -> bool:
    """Return whether a file begins like one of our images."""
    with path.open("rb") as file:
        return file.read(len(MANIFEST)) == MANIFEST.encode()


def verify(path: Path, key: UpdateKey, *, needs_signature: bool) -> Manifest:
    """Check signature, contents and shape; return the manifest. Raises `ImageRefused`."""
    with _opened(path) as file:
        return _verify(file, key, needs_signature=needs_signature)


def unpack(path: Path, manifest: Manifest, directory: Path, *, progress: Callable[[int], None]) -> None:
    """Write the files of a verified image, checking them again on the way. Raises `ImageRefused` or OSError.

    `progress` is told how many percent are written.
    """
    written = 0
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700, parents=True)
    with _opened(path) as file:
        for name, size in _members(file):
            if name in {MANIFEST, SIGNATURE}:
                _skip(file, size)
                continue
            check_path(name)
            target = directory / name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with target.open("xb") as copy:
                for chunk in _chunks(file, size):
                    copy.write(chunk)
                    written += len(chunk)
                    progress(min(100, 100 * written // max(1, manifest.size)))
                copy.flush()
                os.fsync(copy.fileno())
    check_unpacked(manifest, directory)
    for folder, _, _ in os.walk(directory):
        sync_directory(Path(folder))


def check_unpacked(manifest: Manifest, directory: Path) -> None:
    """Raise `ImageRefused` unless exactly the manifest's files are there, unchanged."""
    present = {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}
    if present != {one.path for one in manifest.files}:
        raise ImageRefused("contents_wrong", "files are missing or too many")
    for one in manifest.files:
        path = directory / one.path
        if path.is_symlink() or digest(path) != one.sha256:
            raise ImageRefused("contents_wrong", one.path)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_directory(path: Path) -> None:
    """Make renames and new names in a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except (ValueError, OverflowError) as error:
        # No position in a file is as large as a header may say.
        raise ImageRefused("container_unreadable", str(error)[:80]) from error


def _members(file: BinaryIO) -> Iterator[tuple[str, int]]:
    """Walk over the members; the caller reads or skips each one's bytes before it asks for the next.

    Headers are read one by one instead of by `tarfile.open`, which would hold a hostile extended header in memory.
    """
    while True:
        block = file.read(_BLOCK)
        if block == bytes(_BLOCK):
            return
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, ValueError, OverflowError) as error:
            raise ImageRefused("container_unreadable", str(error)[:80]) from error
        if header.type not in {tarfile.REGTYPE, tarfile.AREGTYPE} or header.size < 0:
            raise ImageRefused("member_forbidden", header.name[:80])
        yield header.name, header.size
        file.seek(-header.size % _BLOCK, os.SEEK_CUR)


def _chunks(file: BinaryIO, size: int) -> Iterator[bytes]:
    while size:
        chunk = file.read(min(size, _CHUNK))
        if not chunk:
            raise ImageRefused("container_unreadable", "the file ends early")
        size -= len(chunk)
        yield chunk


def _skip(file: BinaryIO, size: int) -> None:
    file.seek(size, os.SEEK_CUR)


def _small(file: BinaryIO, size: int, most: int) -> bytes:
    if size > most:
        raise ImageRefused("manifest_unreadable", f"{size} bytes")
    return b"".join(_chunks(file, size))


def _verify(file: BinaryIO, key: UpdateKey, *, needs_signature: bool) -> Manifest:
    members = _members(file)
    name, size = next(members, ("", 0))
    if name != MANIFEST:
        raise ImageRefused("container_unreadable", "it does not begin with a manifest")
    text = _small(file, size, _LONGEST_MANIFEST)
    following = next(members, ("", 0))
    if following[0] == SIGNATURE:
        key.verify(_small(file, following[1], _LONGEST_SIGNATURE), text)
        following = next(members, ("", 0))
    elif needs_signature:
        raise ImageRefused("signature_missing")
    try:
        manifest = Manifest.read(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise ImageRefused("manifest_unreadable", "no JSON") from error
    wanted = {one.path: one for one in manifest.files}
    while following[0]:
        _compare(file, wanted.pop(following[0], None), following)
        following = next(members, ("", 0))
    if wanted:
        raise ImageRefused("contents_wrong", f"{len(wanted)} files are missing")
    return manifest


def _compare(file: BinaryIO, expected: ImageFile | None, member: tuple[str, int]) -> None:
    name, size = member
    if expected is None or expected.size != size:
        raise ImageRefused("contents_wrong", name[:80])
    sha = hashlib.sha256()
    for chunk in _chunks(file, size):
        sha.update(chunk)
    if sha.hexdigest() != expected.sha256:
        raise ImageRefused("contents_wrong", name[:80])
