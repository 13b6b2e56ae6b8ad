"""How much a page may say on its live socket."""

from station.processes.web_server.socket import Allowance


def test_what_is_not_used_up_comes_back_up_to_the_burst() -> None:
    allowance = Allowance(burst=100, per_s=10.0, left=100, at_s=0.0)

    assert allowance.take(100, 0.0)
    assert not allowance.take(1, 0.0)
    assert allowance.take(10, 2.0)
    assert not allowance.take(101, 1000.0)
