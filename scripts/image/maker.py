"""The maker's keys: certificates that images trust, keys that bundles are signed with."""

import re
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path

from scripts.image.run import StepFailed, run

ROOT = Path(__file__).resolve().parents[2]
# What the certificates of the key for development are called.
_DEVELOPMENT = "Development"
# How RAUC asks with check-crl.
WITH_LIST = ("-crl_check_all", "-extended_crl")
_EXPIRES_SOON_S = 30 * 24 * 3600
_ERROR = re.compile(r"^error (\d+) at (\d+) depth.*$", re.MULTILINE)
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
    def revoked(self) -> Path:
        """The certificates that stations trust no more."""
        return self.directory / "revoked.pem"

    @property
    def keyring(self) -> str:
        """What a station judges updates with: the root, and the list."""
        return self.trusted.read_text() + self.revoked.read_text()

    @property
    def unfinished(self) -> bool:
        """Whether scripts/maker-key was interrupted while its files got their places."""
        return (self.directory / ".ready").exists()

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
        if keys.unfinished:
            raise StepFailed(
                f"A call of scripts/maker-key was interrupted in {chosen}: start the same again, which completes it."
            )
        if not keys.trusted.is_file():
            raise StepFailed(f"{chosen} holds no root.pem: make keys with scripts/maker-key {chosen}")
        if _DEVELOPMENT in run("openssl", "x509", "-in", keys.trusted, "-noout", "-subject"):
            raise StepFailed(
                f"{chosen} holds keys for development, which are no secret. Make the maker's own with "
                "scripts/maker-key; to try things out leave --keys out (scripts/build-bundle: --development instead)."
            )
        if not keys.revoked.is_file():
            raise StepFailed(
                f"{chosen} holds no revoked.pem, the list of what stations trust no more, without which they would "
                f"refuse every update. If there ever was one, bring it back; if not: scripts/maker-key {chosen} --list"
            )
        _check_list(keys)
        return keys
    keys = MakerKeys(cache / "development-keys")
    if not keys.trusted.is_file() or keys.unfinished:
        print("Making a key for development (never ship what it signs) …", flush=True)
        run(ROOT / "scripts/maker-key", keys.directory, _DEVELOPMENT)
    elif not keys.revoked.is_file():
        run(ROOT / "scripts/maker-key", keys.directory, "--list")
    _check_list(keys)
    return keys


def _check_list(keys: MakerKeys) -> None:
    """Refuse a list with which stations would refuse every update, now or one day. Raises StepFailed."""
    dates = run("openssl", "x509", "-in", keys.trusted, "-noout", "-dates").splitlines()
    begin, end = (int(ssl.cert_time_to_seconds(line.split("=")[1])) for line in dates)
    lists = (*WITH_LIST, "-CRLfile", keys.revoked)
    for moment in (begin + 1, end - 1):
        if trouble := verify(keys.trusted, keys.trusted, "-attime", str(moment), *lists):
            raise StepFailed(
                f"{keys.revoked} does not go with root.pem in the same directory for as long as that is valid "
                f"({trouble}): stations with it would refuse every update. Bring back the list that scripts/maker-key "
                "has made."
            )


def unfit_to_sign(keys: MakerKeys) -> str:
    """Return why stations would refuse what is signed with the maker's key now; "": they take it."""
    renew = f"make another signing key with scripts/maker-key {keys.directory} --renew"
    for file in (keys.key, keys.certificate):
        if not file.is_file():
            return f"{keys.directory} holds no {file.name} to sign it with: bring it back, or {renew}."
    try:
        fits = run("openssl", "pkey", "-in", keys.key, "-pubout") == run(
            "openssl", "x509", "-in", keys.certificate, "-noout", "-pubkey"
        )
    except StepFailed as problem:
        return f"{keys.key} or {keys.certificate} cannot be read; bring it back, or {renew}. {problem}"
    if not fits:
        return f"{keys.key} is not the key of {keys.certificate}: bring back the two that belong together, or {renew}."
    trouble = verify(keys.trusted, keys.certificate, *WITH_LIST, "-CRLfile", keys.revoked)
    found = _ERROR.match(trouble)
    match found and found.groups():
        case ("23", _):
            return f"{keys.certificate} is revoked (revoked.pem), and stations refuse what it signs: {renew}."
        case ("10", "0"):
            return f"{keys.certificate} has expired ({_end(keys)}), and stations refuse what it signs: {renew}."
        case ("9", _):
            return f"{keys.certificate} is not valid yet: set the clock of this computer."
        case ("7" | "18" | "19" | "20" | "21", _):
            return f"{keys.certificate} is not signed by root.pem in the same directory: {renew}."
    return f"{keys.certificate} does not go with root.pem and revoked.pem: {trouble}" if trouble else ""


def warn_of_expiry(keys: MakerKeys) -> None:
    """Tell whoever signs that the certificate ends soon."""
    try:
        run("openssl", "x509", "-in", keys.certificate, "-noout", "-checkend", str(_EXPIRES_SOON_S))
    except StepFailed:
        print(
            f"\n{keys.certificate} expires soon ({_end(keys)}): make another signing key with scripts/maker-key "
            f"{keys.directory} --renew. It needs the maker's root.key.",
            file=sys.stderr,
        )


def _end(keys: MakerKeys) -> str:
    return run("openssl", "x509", "-in", keys.certificate, "-noout", "-enddate").strip().removeprefix("notAfter=")


def verify(trusted: Path, certificate: Path, *options: str | Path) -> str:
    """Return what openssl has against a certificate; "": nothing."""
    try:
        run("openssl", "verify", "-no-CApath", "-no-CAstore", "-CAfile", trusted, *options, certificate)
    except StepFailed as refusal:
        found = _ERROR.search(str(refusal))
        return found[0] if found else str(refusal)
    return ""


def warn_of_development(made: Path) -> None:
    """Tell whoever reads the end of a long output, too."""
    print(
        f"\nNEVER SHIP {made.name}: it goes with a key for development, which protects nobody from foreign software. "
        "For stations of customers: --keys DIR (scripts/maker-key).",
        file=sys.stderr,
    )
