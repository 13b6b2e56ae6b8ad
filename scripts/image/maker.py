"""The maker's keys: certificates that images trust, keys that bundles are signed with."""

import sys
from dataclasses import dataclass
from pathlib import Path

from scripts.image.run import StepFailed, run

ROOT = Path(__file__).resolve().parents[2]
# What the certificates of the key for development are called.
_DEVELOPMENT = "Development"
WHICH_KEYS = (
    "say who signs this update: --keys DIR with what scripts/maker-key has made, or --development for the key that "
    "scripts/build-image makes on the spot when it is given none – only to try things out, never for what is shipped"
)


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
        if _DEVELOPMENT in run("openssl", "x509", "-in", keys.trusted, "-noout", "-subject"):
            raise StepFailed(
                f"{chosen} holds keys for development, which are no secret. Make the maker's own with "
                "scripts/maker-key; to try things out leave --keys out (scripts/build-bundle: --development instead)."
            )
        return keys
    keys = MakerKeys(cache / "development-keys")
    if not keys.trusted.is_file():
        print("Making a key for development (never ship what it signs) …", flush=True)
        run(ROOT / "scripts/maker-key", keys.directory, _DEVELOPMENT)
    return keys


def warn_of_development(made: Path) -> None:
    """Tell whoever reads the end of a long output, too."""
    print(
        f"\nNEVER SHIP {made.name}: it goes with a key for development, which protects nobody from foreign software. "
        "For stations of customers: --keys DIR (scripts/maker-key).",
        file=sys.stderr,
    )
