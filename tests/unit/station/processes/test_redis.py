"""Which redis-server a station may use, and which is refused."""

from pathlib import Path

import pytest

from station.host.redis_server import RedisIsMissing, choose
from station.paths import DataDirectory
from station.processes.programs.redis import is_trial


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the directory of programs of a computer that has none."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install(folder: Path, name: str, words: str) -> Path:
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{words}'\n")
    program.chmod(0o755)
    return program


def test_a_station_with_real_hardware_refuses_the_bundled_server_and_says_what_to_install(installed: Path) -> None:
    with pytest.raises(RedisIsMissing, match="Install the package redis-server"):
        choose(is_trial=False)

    assert choose(is_trial=True).is_bundled


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d7c971a948f0"),
        ("redis-server", "Redis server v=8.2.1 sha=00000000:1 malloc=libc bits=64 build=1"),
        ("valkey-server", "Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1"),
    ],
)
def test_one_of_the_distribution_that_gets_updates_is_taken(name: str, words: str, installed: Path) -> None:
    program = install(installed, name, words)

    for trial in (False, True):
        server = choose(is_trial=trial)
        assert (server.program, server.is_bundled) == (program, False)


@pytest.mark.parametrize("words", ["Redis server v=6.0.16 sha=1", "no version at all", ""])
def test_an_old_or_strange_one_is_refused_for_real_hardware(words: str, installed: Path) -> None:
    install(installed, "redis-server", words)

    with pytest.raises(RedisIsMissing):
        choose(is_trial=False)
    assert choose(is_trial=True).is_bundled


@pytest.mark.parametrize(
    ("description", "trial"),
    [
        (None, True),
        ('{"connectors": [{"controller": {"port": "/data/sim/line1"}}]}', True),
        ('{"connectors": [{"controller": {"port": "/dev/ttyUSB0"}}]}', False),
        ("not JSON", False),
        ("[]", False),
    ],
)
def test_real_hardware_is_what_the_description_names(
    description: str | None, *, trial: bool, data: DataDirectory
) -> None:
    if description is not None:
        data.hardware.write_text(description)

    assert is_trial(data) is trial
