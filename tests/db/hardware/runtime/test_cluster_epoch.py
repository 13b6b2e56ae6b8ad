"""A leader names its predecessor: it has to be kept before anybody is led under the new name."""

from pathlib import Path
from typing import Any

import pytest

from hardware.runtime.cluster import place
from station.paths import DataDirectory


@pytest.fixture(autouse=True)
def data(settings: Any, tmp_path: Path) -> DataDirectory:
    present = settings.DATA = DataDirectory(tmp_path)
    return present


def test_every_start_has_a_new_name_and_knows_the_one_before() -> None:
    first, second = place.next_epoch(), place.next_epoch()

    assert first.predecessor is None
    assert second.predecessor == first.name != second.name


def test_where_the_name_cannot_be_kept_the_next_start_does_not_take_it_for_its_predecessor(
    data: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = place.next_epoch()

    def full(*_: object) -> None:
        raise OSError

    with monkeypatch.context() as patched:
        patched.setattr("station.private_files.write", full)
        place.next_epoch()

    assert place.next_epoch().predecessor == first.name
    data.cluster_epoch.write_bytes(b"\xff")
    assert place.next_epoch().predecessor is None
