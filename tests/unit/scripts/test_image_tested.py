import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scripts import image_tested

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("deploy/image/grub.cfg", "scripts/build-image", "requirements.txt", "tests/image/test_boot.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "station.py").write_text("")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "--message", "All")
    return tmp_path


def git(directory: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=directory, check=True)


def test_without_a_record_the_tests_run(repository: Path) -> None:
    assert not image_tested.is_current(repository)


def test_what_passed_is_not_repeated_and_the_record_is_no_change_of_the_image(repository: Path) -> None:
    image_tested.note(seconds=400, now=NOW, root=repository)

    assert image_tested.is_current(repository)


@pytest.mark.parametrize(
    "name", ["deploy/image/grub.cfg", "requirements.txt", "scripts/new", "tests/image/test_boot.py"]
)
def test_a_changed_or_new_file_of_the_image_repeats_its_tests(repository: Path, name: str) -> None:
    image_tested.note(seconds=400, now=NOW, root=repository)

    (repository / name).write_text("changed")

    assert not image_tested.is_current(repository)


def test_a_script_that_can_no_longer_be_started_is_a_change(repository: Path) -> None:
    (repository / "scripts/build-image").chmod(0o755)
    image_tested.note(seconds=400, now=NOW, root=repository)

    (repository / "scripts/build-image").chmod(0o644)

    assert not image_tested.is_current(repository)


def test_pages_and_drivers_have_tests_of_their_own(repository: Path) -> None:
    image_tested.note(seconds=400, now=NOW, root=repository)

    (repository / "station.py").write_text("changed")

    assert image_tested.is_current(repository)
