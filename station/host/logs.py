"""How log lines look, and the one filter that keeps secrets out of them."""

import logging
import re
import time
from typing import Any

from typing_extensions import override

MASK = "***"
# Names whose value is a secret wherever they appear: OCPP keys, JSON members, form fields.
_SENSITIVE = (
    # Bounded and anchored at a word's beginning: a hostile text must not cost more than its length.
    r"(?<![\w/.-])[\w/.-]{0,80}?"
    r"(?:password|passwd|authorizationkey|token|secret|cluster/key|activationcode|\bpin\b)[\w/.-]{0,80}"
)
_SCHEME = r"(?<![a-zA-Z0-9])[a-zA-Z][a-zA-Z0-9+.-]{1,11}:(?:\\?/){2}"
_QUERY = r"(?:[^\s\"'<>\\]|\\/|\\u[0-9a-fA-F]{4})"
_PATTERNS = (
    # "key": "AuthorizationKey", "value": "…" as ChangeConfiguration carries it
    re.compile(rf'("key"\s*:\s*"{_SENSITIVE}"\s*,\s*"value"\s*:\s*")((?:[^"\\]|\\.)*)(")', re.IGNORECASE),
    re.compile(rf'("{_SENSITIVE}"\s*:\s*")((?:[^"\\]|\\.)*)(")', re.IGNORECASE),
    # The same within the text of a DataTransfer, where quotes are escaped once more.
    re.compile(rf'(\\"{_SENSITIVE}\\"\s*:\s*\\")((?:[^"\\]|\\\\(?:\\["\\]|[^"\\]))*)(\\")', re.IGNORECASE),
    re.compile(rf"({_SENSITIVE}\s*[=:]\s*)([^\s,;}}\]]+)()", re.IGNORECASE),
    re.compile(r"(Authorization:\s*Basic\s+)(\S+)()", re.IGNORECASE),
    # User and password of a URL; JSON may write / as \/.
    re.compile(rf"({_SCHEME}[^/\\\s:@]{{1,200}}:)([^@/\\\s]+)(@)"),
    re.compile(rf"({_SCHEME})([^/\\\s:@?#]{{1,200}})(@)"),
    # Its query: whatever is in there may be a signature that opens the place.
    re.compile(rf"({_SCHEME}(?:[^\s\"'<>?#\\]|\\/){{1,2000}}\?)({_QUERY}+)()"),
    # A target without its host, as HTTP errors name it.
    re.compile(
        rf"([?&](?:sig|signature|se|sp|code|auth|credential|(?:x-)?(?:amz|goog)-[\w-]{{1,40}}|api_?key|key)=)({_QUERY}+)()",
        re.IGNORECASE,
    ),
)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def mask_secrets(text: str) -> str:
    """Replace every value that follows the name of a secret by `***`."""
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<1>{MASK}\g<3>", text)
    return text


class MaskSecrets(logging.Filter):
    """Masks secrets in every line before any handler writes it."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = mask_secrets(record.getMessage()), ()
        return True


class UtcFormatter(logging.Formatter):
    """Stamps lines in UTC and keeps hostile text from forging another line."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    @override
    def formatException(self, ei: Any) -> str:
        # An error's text may hold the address it is about.
        return mask_secrets(super().formatException(ei))

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", record.message)
        return super().formatMessage(record)
