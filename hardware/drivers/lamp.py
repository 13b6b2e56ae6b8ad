"""When a lamp pattern is lit."""

from station.domain.ports import LampPattern

# At 0.5 s on and off blinks can be counted, up to seven; the pause marks the start of a group. Our own choice.
ON_S = 0.5
OFF_S = 0.5
PAUSE_S = 2.0


def phase(pattern: LampPattern, elapsed_s: float) -> tuple[bool, float | None]:
    """Return whether the pattern is lit after this time and how long that lasts; None: for ever."""
    if not pattern.blinks:
        return True, None
    blink_s = ON_S + OFF_S
    within_s = elapsed_s % (pattern.blinks * blink_s + PAUSE_S)
    blink, within_blink_s = divmod(within_s, blink_s)
    if blink >= pattern.blinks:
        return False, pattern.blinks * blink_s + PAUSE_S - within_s
    if within_blink_s < ON_S:
        return True, ON_S - within_blink_s
    # The last dark half runs into the pause.
    rest_s = blink_s - within_blink_s
    return False, rest_s + PAUSE_S if blink + 1 == pattern.blinks else rest_s
