"""The station's OCPP process before a peer that sends whatever it likes."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from station.domain.commands import Command, Outcome, Refusal, Status
from station.domain.snapshot import BackendSnapshot, HardwareSnapshot
from station.domain.units import MilliAmpere
from station.services.messages import MessageToControlLoop
from tests.reliability.fuzz.mutation import damage_text
from tests.reliability.fuzz.ocpp_frames import FuzzedFrame
from tests.reliability.wire import Network, Socket, World

ERROR_CODES = frozenset(
    {
        "NotImplemented",
        "NotSupported",
        "InternalError",
        "ProtocolError",
        "SecurityError",
        "FormationViolation",
        "PropertyConstraintViolation",
        "OccurenceConstraintViolation",
        "TypeConstraintViolation",
        "GenericError",
    }
)
UNREADABLE = "-1"


@dataclass
class AnyStation:
    """The rest of the station: it takes or refuses commands as the dice fall."""

    dice: random.Random
    commands: Counter[str] = field(default_factory=Counter)

    async def submit(self, command: Command, **_: Any) -> Outcome:
        self.commands[type(command).__name__] += 1
        await asyncio.sleep(self.dice.choice((0.0, 0.01, 0.3)))
        if self.dice.random() < 0.6:
            return Outcome(status=Status.ACCEPTED)
        return Outcome(status=Status.REJECTED, reason=self.dice.choice(list(Refusal)))

    async def inform(self, message: MessageToControlLoop) -> None:
        pass

    async def publish(self, _snapshot: BackendSnapshot) -> bool:
        return True

    async def hardware(self) -> HardwareSnapshot | None:
        return HardwareSnapshot(
            revision=1,
            at=datetime(2026, 11, 20, 12, tzinfo=UTC),
            not_ready=(),
            status="Available",
            faults=(),
            mains_ma=MilliAmpere(32_000),
            reader_ok=True,
            points=(),
        )


class FuzzingPeer:
    """The backend: it answers the station's own calls, sometimes with rubbish, and counts what comes back."""

    def __init__(self, world: World, dice: random.Random, *, rubbish: float) -> None:
        self.world = world
        self.dice = dice
        self.rubbish = rubbish
        self.answers: Counter[str] = Counter()
        self.own_calls: Counter[str] = Counter()
        self.complaints: list[str] = []
        self.network: Network | None = None

    def opened(self, socket: Socket) -> None:
        """Nothing is done at once."""

    def closed(self, socket: Socket) -> None:
        """Nobody waits."""

    def received(self, socket: Socket, text: str) -> None:
        match json.loads(text):
            case [2, str(message_id), str(action), dict()]:
                self.own_calls[action] += 1
                answer = self._answer(message_id, action)
                self.world.call_later(0.01, lambda: socket.deliver(answer))
            case [3, str(message_id), dict()]:
                self.answers[message_id] += 1
            case [4, str(message_id), str(code), str(), dict()] if code in ERROR_CODES:
                self.answers[message_id] += 1
            case other:
                self.complaints.append(f"no frame of OCPP-J: {str(other)[:200]}")

    def _answer(self, message_id: str, action: str) -> str:
        payload: dict[str, Any] = {}
        if action == "BootNotification":
            payload = {"currentTime": "2026-11-20T12:00:00Z", "interval": 600, "status": "Accepted"}
        elif action == "Heartbeat":
            payload = {"currentTime": "2026-11-20T12:00:00Z"}
        elif action in {"Authorize", "StartTransaction"}:
            payload = {"idTagInfo": {"status": "Accepted"}, "transactionId": 1}
        elif action == "DataTransfer":
            payload = {"status": "Accepted"}
        elif action == "SignCertificate":
            payload = {"status": "Rejected"}
        text = json.dumps([3, message_id, payload])
        return (
            damage_text(self.dice, text) if action != "BootNotification" and self.dice.random() < self.rubbish else text
        )


def batches(frames: Iterator[FuzzedFrame], count: int, size: int) -> Iterator[list[FuzzedFrame]]:
    """Cut a number of frames into batches."""
    while count > 0:
        yield [next(frames) for _ in range(min(size, count))]
        count -= size


def unanswered(peer: FuzzingPeer, sent: list[FuzzedFrame]) -> Iterator[str]:
    """Name the frames that were owed one answer and got none or several.

    A mutation may make two frames of one id; one that is broken behind its id is answered under it, too.
    """
    owed: Counter[str] = Counter(frame.owed for frame in sent if frame.owed is not None)
    for message_id, number in owed.items():
        alike = [frame.text for frame in sent if isinstance(frame.text, str) and f'"{message_id}"' in frame.text]
        if not number <= peer.answers[message_id] <= max(number, len(alike)):
            yield f"{peer.answers[message_id]} answers to {[text[:300] for text in alike]}"
