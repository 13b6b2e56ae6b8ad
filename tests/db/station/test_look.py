"""What the worker looks at every few seconds."""

import pytest

from station import tasks


def test_what_fails_in_one_subject_keeps_nobody_from_the_others(monkeypatch):
    looked = []

    def fails() -> None:
        looked.append("network")
        raise OSError("no bus")

    monkeypatch.setattr(tasks, "run_file_jobs", lambda: looked.append("jobs"))
    monkeypatch.setattr(tasks, "watch_network", fails)
    monkeypatch.setattr(tasks, "look_after_computer", lambda: looked.append("computer"))

    with pytest.raises(OSError, match="no bus"):
        tasks.look()

    assert sorted(looked) == ["computer", "jobs", "network"]


@pytest.mark.django_db
def test_an_idle_station_is_asked_once_for_all_kinds_of_jobs(django_assert_num_queries):
    with django_assert_num_queries(1):
        tasks.run_file_jobs()
