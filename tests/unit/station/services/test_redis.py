"""What pages do about a Redis that hangs."""

from station.services.redis import HangMemory


def test_after_a_time_out_nobody_asks_for_a_moment_and_then_one_at_a_time() -> None:
    memory = HangMemory()
    assert memory.may_ask(100.0)
    assert memory.may_ask(100.0)

    memory.hung(101.5)

    assert not memory.may_ask(103.0)
    assert memory.may_ask(105.0)
    assert not memory.may_ask(105.0)
    memory.answered()
    assert memory.may_ask(105.1)
    assert memory.may_ask(105.1)
