"""One JSON file, replaced as a whole: after a crash it holds the old state or the new one, never a mixture."""

import json
import logging
import os
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


def load(path: Path) -> dict[str, Any] | None:
    """Read the state; None if there is none. What cannot be read is put aside under the name `….broken`."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(stored, dict):
            return stored
    except FileNotFoundError:
        return None
    except ValueError:
        pass
    put_aside(path)
    return None


def put_aside(path: Path) -> None:
    """Rename a file that makes no sense, so that it is neither used nor lost."""
    broken = path.with_name(f"{path.name}.broken")
    path.replace(broken)
    logger.warning("%s cannot be read and was put aside as %s", path, broken.name)


def save(path: Path, text: str) -> None:
    """Replace the file and come back when the new content is on the disk."""
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)
