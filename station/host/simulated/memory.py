"""What a simulated part of the computer was told: kept in a file, and forgotten where it cannot be written."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from station import private_files

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Memory:
    """A JSON object in a file."""

    path: Path

    def read(self) -> dict[str, Any]:
        """Return what is kept; empty while there is nothing, or nothing readable."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def add(self, **values: Any) -> None:
        """Keep these values beside those that are kept already."""
        try:
            private_files.write(self.path, json.dumps(self.read() | values).encode())
        except OSError as problem:
            logger.warning("what the simulated computer was told is not kept: %s", problem)
