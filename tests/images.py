"""Software images for tests, signed by a key of their own."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from station.host.images import UpdateKey

FILES = {"bin/station": b"software " * 5_000, "etc/release": b"new\n"}


class Maker:
    """Signs images."""

    def __init__(self, *, curve: bool = False) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1()) if curve else ed25519.Ed25519PrivateKey.generate()

    @property
    def key(self) -> UpdateKey:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return UpdateKey(self._key.public_key().public_bytes(serialization.Encoding.PEM, form))

    def sign(self, message: bytes) -> bytes:
        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            return self._key.sign(message, ec.ECDSA(hashes.SHA256()))
        return self._key.sign(message)

    def image(self, path: Path, *, files: dict[str, bytes] | None = None, signed: bool = True, **changes: Any) -> Path:
        """Write an image; `changes` go into the manifest."""
        files = FILES if files is None else files
        manifest = {
            "product": "station",
            "version": "9.1.0",
            "hardware": ["simulated"],
            "security_floor": "0.0.0",
            "files": [
                {"path": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
                for name, content in files.items()
            ],
        }
        text = json.dumps(manifest | changes).encode()
        members = {"manifest.json": text} | ({"manifest.sig": self.sign(text)} if signed else {}) | files
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
            for name, content in members.items():
                add(archive, name, content)
        return path


def add(
    archive: tarfile.TarFile, name: str, content: bytes = b"", *, kind: bytes = tarfile.REGTYPE, link: str = ""
) -> None:
    """Append a member of any kind."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, link, len(content)
    archive.addfile(member, io.BytesIO(content))


def with_checksum(header: bytes) -> bytes:
    """Return a header block with the checksum that belongs to it, as whoever forges one does."""
    blank = header[:148] + b" " * 8 + header[156:]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]
