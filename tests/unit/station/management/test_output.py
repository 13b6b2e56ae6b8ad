"""Programs that were started without input or outputs."""

import os
import subprocess
import sys
from pathlib import Path

COMMAND = """
import subprocess, sys
from station.management import output
output.run(lambda: subprocess.run([sys.executable, "-c", sys.argv[1], sys.argv[2]], check=True))
"""
STARTED = """
import os, sys
leads_to = [os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2)]
with open(sys.argv[1], "w") as file:
    file.write(" ".join([*leads_to, str(file.fileno() > 2)]))
"""


def test_what_a_command_without_outputs_starts_has_some_that_lead_nowhere(tmp_path: Path) -> None:
    found = tmp_path / "found"

    command = [sys.executable, "-c", COMMAND, STARTED, str(found)]
    subprocess.run(["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command], timeout=60, check=True)

    assert found.read_text().split() == [os.devnull, os.devnull, os.devnull, "True"]
