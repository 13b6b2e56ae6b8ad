"""The durations both sides of the cluster protocol rely on; why they fit together stands in `docs/cluster.md`.

Each side measures them on its own monotonic clock. The rates of two clocks may differ by one per cent.
"""

from dataclasses import replace

from station.domain.allocation import LEVEL_2

# A member reports so often, and at once when something changes.
EXCHANGE_S = 2.0
# The leader decides so often, and at once when it hears of a change.
DECIDE_S = 1.0
# V: a lease holds so long from the moment the member asked for it.
LEASE_S = 30.0
# M: a member whose present lease may have been asked for longer ago than this counts as lost.
LOST_AFTER_S = 10.0
# A process that is stopped is replaced, and in control again, after so long (docs/architecture.md, "The fail-safe
# chain"). Until then its boards go on with what they were told.
STOPPED_S = 10.0
# A board that works takes a limit within this time.
SLOW_BOARD_S = 3.0
# The leader's upper bound of a lease it granted, counted from the receipt of the report the grant answers.
LEASE_BOUND_S = LEASE_S * 1.01 + 0.5 + STOPPED_S + SLOW_BOARD_S
# D: so long after the end of its lease a member may rise to its fallback. Everybody else's current has fallen by then:
# D >= M + STOPPED_S + SLOW_BOARD_S + 6 s for the car + 1 s for the rates of the clocks.
RISE_AFTER_S = 30.0
# Stations that lose their leader together do not rise together.
LARGEST_JITTER_S = 4.0
# After its start a leader lends nothing before it has met every member it knows; if it does not meet them, or does not
# know them all, not before what another one may have lent is over.
GATHER_S = LEASE_BOUND_S + 6.0
# So long a charging member keeps the lease of the leader before, where a lease of this one could only be lower.
HOLD_BACK_S = 12.0

# The leader's clock may run fast: a little is added to the 5 s and 6 s in which a car follows.
POLICY = replace(
    LEVEL_2, rotate_after_s=0.0, lease_s=LEASE_BOUND_S, raise_after_s=8.0, settle_s=5.1, pause_settle_s=6.1
)
