import os

from station.processes.watch import SILENCE_S, START_S, HeartbeatWatch


def test_a_process_that_beats_is_given_its_silence_from_the_last_beat_on() -> None:
    watch = HeartbeatWatch()
    watch.started("hardware", at_s=100.0)

    assert watch.deadline_s("hardware") == 100.0 + START_S
    watch.heartbeats.of("hardware").beat(107.0)

    assert watch.deadline_s("hardware") == 107.0 + SILENCE_S["hardware"]


def test_a_new_process_does_not_live_on_the_beats_of_the_one_before() -> None:
    watch = HeartbeatWatch()
    watch.started("hardware", at_s=100.0)
    watch.heartbeats.of("hardware").beat(107.0)

    watch.started("hardware", at_s=113.0)

    assert watch.deadline_s("hardware") == 113.0 + START_S


def test_nobody_is_blamed_for_the_time_in_which_the_watch_itself_stood_still() -> None:
    watch = HeartbeatWatch()
    watch.started("hardware", at_s=100.0)
    watch.heartbeats.of("hardware").beat(107.0)

    watch.looks(at_s=108.0)
    watch.waits(2.0)
    watch.looks(at_s=500.0)

    assert watch.deadline_s("hardware") == 500.0 + SILENCE_S["hardware"]


def test_a_stop_between_two_lines_of_the_watch_is_noticed_like_one_while_it_waits() -> None:
    watch = HeartbeatWatch()
    watch.started("hardware", at_s=100.0)
    watch.heartbeats.of("hardware").beat(107.0)

    watch.looks(at_s=107.5)
    # Stopped here for seven seconds, before it knew how long it would wait; then it waits and looks as it meant to.
    watch.waits(0.1)
    watch.looks(at_s=114.6)

    assert watch.deadline_s("hardware") == 114.6 + SILENCE_S["hardware"]


def test_a_watch_that_looks_as_it_meant_to_excuses_nobody() -> None:
    watch = HeartbeatWatch()
    watch.started("hardware", at_s=100.0)
    watch.heartbeats.of("hardware").beat(107.0)

    for second in (108.0, 110.3, 112.9):
        watch.looks(at_s=second)
        watch.waits(2.0)

    assert watch.deadline_s("hardware") == 107.0 + SILENCE_S["hardware"]


def test_a_process_that_is_not_watched_has_no_deadline() -> None:
    watch = HeartbeatWatch()
    watch.started("worker", at_s=100.0)

    assert watch.deadline_s("worker") is None
    assert watch.heartbeat_of("worker") is None


def test_the_main_process_sees_the_beat_of_a_fork() -> None:
    watch = HeartbeatWatch()
    watch.started("hardware", at_s=100.0)
    heartbeat = watch.heartbeat_of("hardware")
    assert heartbeat

    child = os.fork()
    if not child:
        heartbeat.beat(123.5)
        os._exit(0)
    os.waitpid(child, 0)

    assert watch.heartbeats.last_s("hardware") == 123.5
