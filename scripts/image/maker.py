"""The maker's keys: certificates that images trust, keys that bundles are signed with."""

from dataclasses import dataclass
from pathlib import Path

from scripts.image.run import StepFailed, run

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class MakerKeys:
    """A directory that scripts/maker-key has filled."""

    directory: Path

    @property
    def trusted(self) -> Path:
        """The certificate every station has."""
        return self.directory / "root.pem"

    @property
    def certificate(self) -> Path:
        return self.directory / "signing.pem"

    @property
    def key(self) -> Path:
        return self.directory / "signing.key"


def maker_keys(cache: Path, chosen: Path | None) -> MakerKeys:
    """Return the maker's keys, or those for development, made when they are first needed. Raises StepFailed."""
    if chosen is not None:
        keys = MakerKeys(chosen.resolve())
        if not keys.trusted.is_file():
            raise StepFailed(f"{chosen} holds no root.pem: make keys with scripts/maker-key {chosen}")
        return keys
    keys = MakerKeys(cache / "development-keys")
    if not keys.trusted.is_file():
        print("Making a key for development (never ship what it signs) …", flush=True)
        run(ROOT / "scripts/maker-key", keys.directory, "Development")
    return keys
