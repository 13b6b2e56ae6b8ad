"""What an outage costs: nothing of a transaction, and little time."""

import asyncio
import time
from datetime import datetime
from itertools import pairwise
from typing import Any

from benchmarks.bench import MeasuredStation, bench
from benchmarks.pages import inside
from benchmarks.result import Result, at_least, at_most
from tests.backend import Frame

_OUTAGE_S = 60.0
_HOUR = 3600
_TRANSACTION = {"StartTransaction", "MeterValues", "StopTransaction"}


async def measure() -> list[Result]:
    """Take the backend away for a minute while a car charges, then start a station that owes an hour's messages."""
    async with bench("outage", config={"MeterValueSampleInterval": "1"}) as made:
        minute = await _minute(made)
    async with bench("backlog", launched=False) as made:
        hour = await _hour(made)
    return [*minute, *hour]


async def _minute(made: MeasuredStation) -> list[Result]:
    started = await made.start_charging()
    mark = started.number
    await made.backend.wait_for("MeterValues", count=5, after=mark)
    async with made.backend.outage():
        await asyncio.sleep(_OUTAGE_S)
    back_s = time.monotonic()
    connection = await made.backend.wait_connected(at_least=made.backend.connects + 1, timeout=60)
    await made.backend.wait_for("MeterValues", count=int(_OUTAGE_S) + 5, after=mark, timeout=60)
    transaction = made.backend.books.transactions[-1].transaction_id
    await made.backend.call("RemoteStopTransaction", {"transactionId": transaction})
    await made.backend.wait_for("StopTransaction", after=mark)
    loss = _judge("outage of 60 s with 1 s samples", _messages(made, mark), interval_s=1.0)
    return [loss, at_most("reconnect after the backend is back", connection.opened_at_s - back_s, bar=5, unit="s")]


async def _hour(made: MeasuredStation) -> list[Result]:
    await inside(made, "backlog", str(_HOUR))
    await made.launch()
    await made.backend.wait_for("StopTransaction", timeout=120)
    messages = _messages(made, 0)
    took_s = messages[-1].at_s - messages[0].at_s
    return [
        _judge("an hour's backlog with 1 s samples", messages, interval_s=1.0),
        at_least("draining the backlog", (len(messages) - 1) / took_s, bar=200, unit="messages/s"),
    ]


def _messages(made: MeasuredStation, after: int) -> list[Frame]:
    return [frame for frame in made.backend.received(after=after) if frame.action in _TRANSACTION]


def _judge(subject: str, messages: list[Frame], *, interval_s: float) -> Result:
    """Count what is missing, doubled and out of order among the messages of one transaction."""
    unique = list({frame.message_id: frame for frame in messages}.values())
    moments = [_moment(frame.payload) for frame in unique]
    samples = [at for at, frame in zip(moments, unique, strict=True) if frame.action == "MeterValues"]
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(samples)]
    missing = sum(max(round(gap / interval_s) - 1, 0) for gap in gaps)
    missing += sum(1 for action in ("StartTransaction", "StopTransaction") if action not in {f.action for f in unique})
    doubled = len(messages) - len(unique) + sum(1 for gap in gaps if gap < interval_s / 2)
    ordered = sorted(range(len(unique)), key=lambda place: (moments[place], place))
    disordered = sum(1 for place, other in enumerate(ordered) if place != other)
    return Result(
        subject=f"{subject}: missing / duplicated / out of order",
        bar="0 / 0 / 0",
        measured=f"{missing} / {doubled} / {disordered} of {len(unique)}",
        passed=(missing, doubled, disordered) == (0, 0, 0),
    )


def _moment(payload: dict[str, Any]) -> datetime:
    text = payload["timestamp"] if "timestamp" in payload else payload["meterValue"][0]["timestamp"]
    return datetime.fromisoformat(text)
