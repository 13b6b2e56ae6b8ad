"""Commits that do not wait for the disk, and that everything after them does again."""

import pytest
from django.db import connection, transaction

from station.services.flushing import without_flush

_NORMAL, _FULL = 1, 2


class FaultForTheTest(Exception):
    """Something goes wrong inside."""


def level() -> int:
    with connection.cursor() as cursor:
        return int(cursor.execute("PRAGMA synchronous").fetchone()[0])


@pytest.mark.django_db(transaction=True)
def test_only_the_commits_inside_do_without_the_flush() -> None:
    with without_flush(), transaction.atomic():
        inside = level()

    assert (inside, level()) == (_NORMAL, _FULL)


@pytest.mark.django_db(transaction=True)
def test_a_failure_inside_brings_the_flush_back() -> None:
    with pytest.raises(FaultForTheTest), without_flush(), transaction.atomic():
        raise FaultForTheTest

    assert level() == _FULL


@pytest.mark.django_db(transaction=True)
def test_inside_a_transaction_that_waits_for_the_disk_nothing_changes() -> None:
    with transaction.atomic(), without_flush():
        inside = level()

    assert inside == _FULL
