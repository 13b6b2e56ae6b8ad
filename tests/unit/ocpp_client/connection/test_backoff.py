"""Waiting before the next attempt to connect."""

from collections import Counter
from random import Random

from ocpp_client.connection.backoff import Backoff


def test_the_ceiling_doubles_up_to_the_longest_delay():
    backoff = Backoff(random=Random(1))
    for ceiling in (3, 6, 12, 24, 48, 96, 192, 300, 300):
        assert 0 <= backoff.next_delay_s(minimum_s=3, maximum_s=300) <= ceiling


def test_a_host_where_nobody_listens_is_asked_every_few_seconds_for_hours():
    backoff = Backoff(random=Random(1))
    delays = [backoff.next_delay_s(minimum_s=3, maximum_s=300, refused=True) for _ in range(2000)]
    assert max(delays) < 5


def test_only_a_stable_connection_clears_the_count():
    backoff = Backoff(random=Random(1), attempts=9)
    backoff.ended(lasted_s=59)
    assert backoff.attempts == 9
    backoff.ended(lasted_s=60)
    assert backoff.attempts == 0


def test_fifty_stations_of_a_restarted_backend_do_not_come_in_one_second():
    delays = [Backoff(random=Random(n), attempts=2).next_delay_s(minimum_s=3, maximum_s=300) for n in range(50)]
    assert max(Counter(int(delay) for delay in delays).values()) <= 10
