"""What the one secret of a cluster, the pairing code, stands for.

Everything is derived from `/cluster/key` in the same way at every station, so that nothing else has to be carried from
one to another: the key of the certificate authority, the password for handing in a registration, and a name under which
stations of one cluster recognise one another without showing the secret.
"""

import hashlib
import hmac
import re
import secrets
import unicodedata
from base64 import b32encode
from dataclasses import dataclass, field
from functools import lru_cache

# A part of the salt: whoever changes the derivation counts it up, and stations of both kinds do not meet by accident.
_SALT = b"ev-cluster pairing 1"
# Whoever reaches a master can try codes at home against its certificate: each try costs 32 MiB and a tenth of a second.
_SCRYPT = {"n": 2**15, "r": 8, "p": 1, "maxmem": 64 * 1024 * 1024, "dklen": 64}
_CODE_BYTES = 16
_CODE_LENGTH = 26
_GROUP = 5
_CODE = re.compile(rf"[A-Z2-7]{{{_CODE_LENGTH}}}")
_NAME_LENGTH = 16


@dataclass(frozen=True)
class ClusterKeys:
    """What a pairing code stands for; nothing of it is ever shown but the name."""

    authority_seed: bytes = field(repr=False)
    join_password: str = field(repr=False)
    name: str


def new_code() -> str:
    """Return a new pairing code: 128 random bits in groups that can be read out over the phone."""
    letters = b32encode(secrets.token_bytes(_CODE_BYTES)).decode().rstrip("=")
    return "-".join(letters[start : start + _GROUP] for start in range(0, len(letters), _GROUP))


def canonical(code: str) -> str:
    """Return a pairing code as it was meant: one of ours in any case and grouping, any other text as it stands."""
    text = unicodedata.normalize("NFC", code.strip())
    letters = re.sub(r"[\s-]", "", text).upper()
    return letters if _CODE.fullmatch(letters) else text


def derive(code: str) -> ClusterKeys:
    """Return what a pairing code stands for. It takes a tenth of a second and more: call it in a thread."""
    return _derive(canonical(code))


# The code in force, and the one before while it is being replaced.
@lru_cache(maxsize=2)
def _derive(code: str) -> ClusterKeys:
    root = hashlib.scrypt(code.encode(errors="surrogatepass"), salt=_SALT, **_SCRYPT)
    return ClusterKeys(
        authority_seed=_part(root, "authority"),
        join_password=_part(root, "join").hex(),
        name=_part(root, "name").hex()[:_NAME_LENGTH],
    )


def _part(root: bytes, purpose: str) -> bytes:
    # HKDF-Expand (RFC 5869) with a single block.
    return hmac.digest(root, purpose.encode() + b"\x01", "sha384")


def new_password() -> str:
    """Return the secret of one station, which it never shows."""
    return secrets.token_hex(32)


def password_hash(password: str) -> str:
    """Return what a master keeps of a station's password; Redis compares the same."""
    return hashlib.sha256(password.encode()).hexdigest()
