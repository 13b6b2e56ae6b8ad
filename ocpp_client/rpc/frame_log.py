"""The message log: every frame in and out, without secrets, in a small rotating file."""

import json
import logging
import logging.handlers
import re
import sys
from pathlib import Path

from typing_extensions import override

from ocpp_client.rpc.frames import Call, Frame
from station.domain.configuration import ROWS
from station.host.logs import MASK, UtcFormatter, mask_secrets

_FILE_BYTES = 1_000_000
_FILES = 5
_SHOWN_CHARACTERS = 4000
# Masking costs milliseconds on long texts; a text without any of these words has nothing to hide.
_TELLTALES = ("passw", "authorization", "token", "secret", "cluster", "activation", "pin", "@", "?")
# The mask looks for names in every run of letters and needs time by the square of its length.
_LONG_RUN = re.compile(r"([\w/.-]{128})[\w/.-]{16,}")
_RESULT_BEGINS = "[3,"
# reference/security.md, section 2.4: names that stand for secrets, and what people make of them.
_SOUNDS_SECRET = re.compile(r"pass.{0,4}w|passw|pwd|pin|key|secret|token|code|auth|kennwort|reset", re.IGNORECASE)
_TELLS_SECRET = re.compile(r"pass.{0,4}w|pwd|secret|token|authorization.?key|cluster.?/key|kennwort", re.IGNORECASE)
_LONGEST_KEY = 200
_KNOWN_KEYS = frozenset(name.lower() for row in ROWS for name in (row.name, *row.aliases))
_SECRET_KEYS = frozenset(name.lower() for row in ROWS if not row.readable for name in (row.name, *row.aliases))

logger = logging.getLogger("ocpp.frames")


class _FrameFile(logging.handlers.RotatingFileHandler):
    @override
    def handleError(self, record: logging.LogRecord) -> None:
        """Leave out what the disk does not take; a traceback for each frame would go to the same disk."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def write_to(directory: Path) -> None:
    """Log frames into `ocpp.log` of this directory: at most five files of one megabyte."""
    handler = _FrameFile(
        directory / "ocpp.log", maxBytes=_FILE_BYTES, backupCount=_FILES - 1, encoding="utf-8", errors="replace"
    )
    handler.setFormatter(UtcFormatter("{asctime} {message}", style="{"))
    # Its level stands in the settings: setting it here would write to every logger of the process, 0.8 MiB of memory
    # that is shared with the other processes before.
    logger.handlers[:] = [handler]


def received(text: str | bytes, frame: Frame | None) -> None:
    """Log a frame of the backend; a broken one has no `frame`."""
    if logger.handlers:
        shown = _without_secret_value(frame) if isinstance(frame, Call) else None
        logger.info("< %s", shown or _shown(text if isinstance(text, str) else repr(text[:_SHOWN_CHARACTERS])))


def sent(text: str) -> None:
    """Log a frame of ours. Answers need no mask: the registry keeps secrets out of GetConfiguration."""
    if logger.handlers:
        logger.info("> %s", text[:_SHOWN_CHARACTERS] if text.startswith(_RESULT_BEGINS) else _shown(text))


def faulty(message_id: str, reason: str) -> None:
    """Log that the answer to a request of ours breaks its schema."""
    if logger.isEnabledFor(logging.INFO):
        logger.info("! %s", json.dumps([message_id, mask_secrets(reason)[:_LONGEST_KEY]]))


def _shown(text: str) -> str:
    cut = text[:_SHOWN_CHARACTERS]
    lowered = cut.lower()
    if not any(word in lowered for word in _TELLTALES):
        return cut
    if len(text) > len(cut):
        # A value that the cut has opened is closed again, so that the mask still recognises it.
        cut = cut.rstrip("\\") + '"'
    return mask_secrets(_LONG_RUN.sub(r"\1…", cut))


def _without_secret_value(call: Call) -> str | None:
    """Write a ChangeConfiguration of a secret key without its value, in whatever order the members came.

    A key that sounds like one counts as well: somebody meant a secret and has misspelt its key.
    """
    if call.action == "DataTransfer" and _TELLS_SECRET.search(str(call.payload.get("data", ""))[:_SHOWN_CHARACTERS]):
        payload = call.payload | {"data": MASK}
        return json.dumps([2, call.message_id, call.action, payload], separators=(",", ":"))[:_SHOWN_CHARACTERS]
    if call.action != "ChangeConfiguration":
        return None
    key = str(call.payload.get("key", ""))[:_LONGEST_KEY]
    if key.strip().lower() not in _SECRET_KEYS and (
        key.strip().lower() in _KNOWN_KEYS or not _SOUNDS_SECRET.search(key)
    ):
        return None
    return json.dumps([2, call.message_id, call.action, {"key": key, "value": MASK}], separators=(",", ":"))
