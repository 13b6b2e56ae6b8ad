"""The table of docs/reliability.md says what was found, and no more."""

from pathlib import Path
from typing import Any

from benchmarks.reliability_table import Record, table


def storm(record: Record, **figures: Any) -> None:
    found = {"seed": 1, "acts": 25, "kills": {"ocpp": 20}, "transactions": 8, "problems": 0, "slowest_recovery_s": 4.0}
    record.append("real processes", **(found | figures))


def test_a_traceback_in_a_log_is_not_called_a_wrong_book(tmp_path: Path) -> None:
    record = Record(tmp_path / "record.jsonl")
    storm(record, tracebacks=12)
    storm(record, tracebacks=0)

    assert "0 of 2 stations with wrong books; 1 with a traceback in a log; 0 not judged" in table(record)
    assert "0 of 40" in table(record)


def test_a_station_that_could_not_be_judged_is_neither_right_nor_wrong(tmp_path: Path) -> None:
    record = Record(tmp_path / "record.jsonl")
    storm(record, problems=1)
    storm(record, acts=0, kills={}, slowest_recovery_s=0)

    assert "1 of 1 stations with wrong books; 0 with a traceback in a log; 1 not judged" in table(record)
