"""What a maker signs updates with: made whole or not at all, and a failure says why."""

import os
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "scripts" / "maker-key"


def made(directory: Path, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, directory], env={"PATH": path}, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def test_a_failure_of_openssl_is_told_and_leaves_nothing_that_keeps_the_next_try_away(tmp_path: Path) -> None:
    tools, keys = tmp_path / "bin", tmp_path / "keys"
    tools.mkdir()
    broken = tools / "openssl"
    broken.write_text('#!/bin/sh\necho "no entropy today" >&2\nexit 1\n')
    broken.chmod(0o755)

    done = made(keys, f"{tools}:{os.environ['PATH']}")

    assert done.returncode != 0
    assert "no entropy today" in done.stderr
    assert list(keys.iterdir()) == []


def test_a_root_is_never_replaced(tmp_path: Path) -> None:
    first = made(tmp_path / "keys", os.environ["PATH"])
    root = (tmp_path / "keys" / "root.key").read_bytes()

    second = made(tmp_path / "keys", os.environ["PATH"])

    assert first.returncode == 0, first.stderr
    assert {each.name for each in (tmp_path / "keys").iterdir()} == {
        "root.key",
        "root.pem",
        "signing.key",
        "signing.pem",
    }
    assert second.returncode != 0
    assert "already holds a root" in second.stderr
    assert (tmp_path / "keys" / "root.key").read_bytes() == root
