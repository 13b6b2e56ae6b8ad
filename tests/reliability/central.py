"""The backend of a simulated station: it keeps an account of every transaction and behaves as badly as its mood.

It takes a message whose content it has booked before for a repetition, as backends in the field do (SteVe looks a
StartTransaction up by connector, card, register and moment).
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.reliability.wire import Socket, World

Payload = dict[str, Any]
ODD_DATES = (
    "0001-01-01T00:00:00+01:00",
    "9999-12-31T23:59:59-05:00",
    "1969-12-31T23:59:59Z",
    "2038-01-19T03:14:08Z",
    "2026-11-20",
    "2026-02-30T00:00:00Z",
    "2026-11-20T12:00:00",
    "tomorrow",
    "",
    "2026-11-20T24:00:00.000000000Z",
)
ODD_NUMBERS = (0, -7, 2**31, 2**53 + 1, -(2**63))
ERROR_CODES = ("InternalError", "NotImplemented", "GenericError", "FormationViolation", "ProtocolError", "Surprise")
# Those which have to arrive once and in order.
BOOKED = ("StartTransaction", "MeterValues", "StopTransaction")


@dataclass(kw_only=True)
class Transaction:
    """One transaction as its messages told it."""

    number: int
    start: Payload
    status: str
    stop: Payload | None = None
    registers: list[int] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How a call is answered: after how long, with what, and whether its content is booked.

    `text` replaces the answer, "" is none at all. `odd` values are meant by the backend; `malformed` only spoils what
    is sent.
    """

    after_s: float = 0.02
    booked: bool = True
    text: str | None = None
    times: int = 1
    odd: bool = False
    malformed: bool = False
    drops: bool = False


class Refused(Exception):
    """The station answered with a CALLERROR."""


class Central:
    """The central system. `mood` chooses the answer to each call; without one it is friendly."""

    def __init__(self, world: World, dice: random.Random, now: Callable[[], datetime]) -> None:
        self.world = world
        self.dice = dice
        self.now = now
        self.mood: Callable[[str, Payload], Answer] | None = None
        self.strict = False
        self.transactions: list[Transaction] = []
        self.complaints: list[str] = []
        self.statuses: dict[int, str] = {}
        self.cards: dict[str, str] = {}
        self.received_by_action: Counter[str] = Counter()
        self.repeats = 0
        self.boot_status = "Accepted"
        # How many answers to a StartTransaction may have named no number.
        self.without_number = 0
        self._untold: set[int] = set()
        self._numbers = 0
        self._answered: dict[str, Payload] = {}
        self._seen_on: dict[int, set[str]] = {}
        self._contents: dict[str, Payload] = {}
        self._asked: dict[str, asyncio.Future[Payload]] = {}
        self._socket: Socket | None = None

    def forget(self) -> None:
        """Keep only what is open, as a long account of a simulation would grow without end."""
        self.transactions = [one for one in self.transactions if one.stop is None]
        self._answered.clear()
        self._contents.clear()
        for seen in self._seen_on.values():
            seen.clear()

    # --- the connection

    @property
    def connected(self) -> bool:
        """Whether a station is there."""
        return self._socket is not None and self._socket.open

    def opened(self, socket: Socket) -> None:
        self._socket = socket
        self._seen_on = {socket.number: set()}

    def closed(self, socket: Socket) -> None:
        if socket is self._socket:
            for future in self._asked.values():
                if not future.done():
                    future.set_exception(ConnectionError())
            self._asked.clear()

    def received(self, socket: Socket, text: str) -> None:
        match json.loads(text):
            case [2, str(message_id), str(action), dict(payload)]:
                self.received_by_action[action] += 1
                self._respond(socket, message_id, action, payload)
            case [3, str(message_id), dict(payload)]:
                self._settle(message_id, payload, None)
            case [4, str(message_id), str(code), *_]:
                self._settle(message_id, None, Refused(code))
            case other:
                self.complaints.append(f"no frame of OCPP-J: {str(other)[:100]}")

    # --- its own calls

    async def call(self, action: str, payload: Payload, *, timeout_s: float = 40.0) -> Payload:
        """Call the station; raises ConnectionError, TimeoutError or Refused."""
        if self._socket is None or not self._socket.open:
            raise ConnectionError
        message_id = f"c{len(self._asked)}-{self.dice.getrandbits(48):x}"
        future: asyncio.Future[Payload] = asyncio.get_running_loop().create_future()
        self._asked[message_id] = future
        self._socket.deliver(json.dumps([2, message_id, action, payload]))
        async with asyncio.timeout(timeout_s):
            return await future

    def _settle(self, message_id: str, payload: Payload | None, error: Exception | None) -> None:
        future = self._asked.pop(message_id, None)
        if future is None or future.done():
            return
        if error is not None:
            future.set_exception(error)
        elif payload is not None:
            future.set_result(payload)

    # --- answering

    def _respond(self, socket: Socket, message_id: str, action: str, payload: Payload) -> None:
        seen = self._seen_on.setdefault(socket.number, set())
        if self.strict and message_id in seen:
            self._send(socket, json.dumps([4, message_id, "GenericError", "message id was used before", {}]), 0.02)
            return
        seen.add(message_id)
        answer = Answer() if self.mood is None else self.mood(action, payload)
        text = answer.text
        if answer.booked:
            content = self._booked(message_id, action, payload, odd=answer.odd)
            if text is None:
                text = json.dumps([3, message_id, self._malformed(content) if answer.malformed else content])
            if action == "StartTransaction":
                self._note_number(content["transactionId"], text)
        if action == "StartTransaction" and (not answer.booked or answer.text or answer.malformed):
            self.without_number += 1
        if text:
            for _ in range(answer.times):
                self._send(socket, text.replace("{id}", message_id), answer.after_s)
        if answer.drops:
            socket.drop()

    def _note_number(self, number: int, answer: str) -> None:
        """Note whether the station can know which transaction its start has begun."""
        if f'"transactionId": {number}' in answer:
            self._untold.discard(number)
        else:
            self._untold.add(number)

    def _send(self, socket: Socket, text: str, after_s: float) -> None:
        self.world.call_later(after_s, lambda: socket.deliver(text))

    def _booked(self, message_id: str, action: str, payload: Payload, *, odd: bool) -> Payload:
        content = json.dumps([action, payload], sort_keys=True)
        known = self._answered.get(message_id) or (self._contents.get(content) if action in BOOKED else None)
        if known is not None:
            self.repeats += 1
            return known
        result = self._book(action, payload)
        if odd:
            result = self._odd(result)
            if action == "StartTransaction":
                self.transactions[-1].number = result["transactionId"]
        self._answered[message_id] = self._contents[content] = result
        return result

    def _book(self, action: str, payload: Payload) -> Payload:
        now = self.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        match action:
            case "BootNotification":
                return {"currentTime": now, "interval": 300, "status": self.boot_status}
            case "Heartbeat":
                return {"currentTime": now}
            case "Authorize":
                return {"idTagInfo": {"status": self._status_of(payload)}}
            case "DataTransfer":
                return {"status": "Accepted"}
            case "StatusNotification":
                self.statuses[payload["connectorId"]] = payload["status"]
            case "StartTransaction":
                return self._start(payload)
            case "MeterValues":
                self._sample(payload)
            case "StopTransaction":
                self._stop(payload)
        return {}

    def _status_of(self, payload: Payload) -> str:
        return self.cards.get(payload["idTag"], "Accepted")

    # --- the account

    def _start(self, payload: Payload) -> Payload:
        for other in self.transactions:
            if other.number in self._untold:
                # Nobody can stop it before its number is said, and the next driver does not wait for that.
                continue
            if other.stop is None and other.start["connectorId"] == payload["connectorId"]:
                self.complaints.append(f"{payload} began while {other.number} was open")
        self._numbers += 1
        one = Transaction(number=self._numbers, start=payload, status=self._status_of(payload))
        self.transactions.append(one)
        return {"transactionId": one.number, "idTagInfo": {"status": one.status}}

    def _sample(self, payload: Payload) -> None:
        if "transactionId" not in payload:
            return
        one = self._find(payload["transactionId"], "MeterValues")
        if one is None:
            return
        if one.stop is not None:
            self.complaints.append(f"a sample of {one.number} after its end")
        register = register_of(payload)
        if register is not None:
            self._forwards(one, register)

    def _stop(self, payload: Payload) -> None:
        if payload["transactionId"] == -1 and self.without_number:
            # Errata 3.18: the end of a session to whose start no number was said; it is told again with one.
            return
        one = self._find(payload["transactionId"], "StopTransaction")
        if one is None:
            return
        if one.stop is not None:
            self.complaints.append(f"{one.number} was stopped twice: {one.stop}, {payload}")
            return
        self._forwards(one, payload["meterStop"])
        one.stop = payload

    def _forwards(self, one: Transaction, register: int) -> None:
        before = one.registers[-1] if one.registers else one.start["meterStart"]
        if register < before:
            self.complaints.append(f"{one.number} went back from {before} to {register} Wh")
        one.registers.append(register)

    def _find(self, number: int, action: str) -> Transaction | None:
        found = next((one for one in reversed(self.transactions) if one.number == number), None)
        if found is None:
            self.complaints.append(f"{action} of an unknown transaction {number}")
        return found

    # --- how it misbehaves

    def bad_mood(self, share: float) -> Callable[[str, Payload], Answer]:
        """Make a mood in which so large a share of calls meets something odd."""
        kinds: list[Callable[[str], Answer]] = [
            lambda _: Answer(after_s=self.dice.uniform(0.1, 29.0)),
            lambda _: Answer(after_s=self.dice.uniform(30.5, 61.0)),
            lambda _: Answer(after_s=300.0),
            lambda _: Answer(text=""),
            lambda _: Answer(booked=False, text=""),
            lambda _: Answer(times=2, after_s=self.dice.choice((0.02, 1.0))),
            self._error,
            self._error,
            lambda _: Answer(booked=self.dice.random() < 0.5, text=self.dice.choice(GARBAGE)),
            lambda _: Answer(booked=self.dice.random() < 0.5, text="", drops=True),
            lambda _: Answer(malformed=True),
            lambda _: Answer(odd=True),
            lambda _: Answer(odd=True),
        ]

        def mood(action: str, _payload: Payload) -> Answer:
            if self.dice.random() > share:
                return Answer()
            return self.dice.choice(kinds)(action)

        return mood

    def _error(self, _action: str) -> Answer:
        code = self.dice.choice(ERROR_CODES)
        return Answer(booked=False, text=json.dumps([4, "{id}", code, "", {}]))

    def _malformed(self, payload: Payload) -> Payload:
        if not payload:
            return {"unexpected": None}
        name = self.dice.choice(sorted(payload))
        changed = dict(payload)
        match self.dice.randrange(4):
            case 0:
                del changed[name]
            case 1:
                changed[name] = None
            case 2:
                changed[name] = ["x"]
            case _:
                changed["unexpected"] = {"nested": [1, 2, {"deep": "x" * 300}]}
        return changed

    def _odd(self, payload: Payload) -> Payload:
        changed = dict(payload)
        info = dict(changed.get("idTagInfo", {}))
        if info:
            info["expiryDate"] = self.dice.choice(ODD_DATES)
            if self.dice.random() < 0.3:
                info["parentIdTag"] = self.dice.choice(("", "P" * 20, "P" * 21))
            changed["idTagInfo"] = info
        if "transactionId" in changed and self.dice.random() < 0.4:
            free = [n for n in ODD_NUMBERS if all(one.number != n for one in self.transactions)]
            if free:
                changed["transactionId"] = self.dice.choice(free)
        if "currentTime" in changed:
            changed["currentTime"] = self.dice.choice(ODD_DATES)
        if "interval" in changed:
            changed["interval"] = self.dice.choice((0, -1, 86_400, 2**40))
        return changed


GARBAGE = (
    '[3,"{id}",',
    '[3,"{id}"]',
    '[3,"{id}",[]]',
    '[3,"{id}","text"]',
    "null",
    "{}",
    '[4,"{id}"]',
    '[9,"{id}",{}]',
    '[3,"somebody else",{"transactionId":1,"idTagInfo":{"status":"Accepted"}}]',
    '[3,"{id}",{"idTagInfo":{}}]',
)


def register_of(payload: Payload) -> int | None:
    """Find the newest total import register of a MeterValues, in Wh."""
    found = None
    for row in payload["meterValue"]:
        for value in row["sampledValue"]:
            name = value.get("measurand", "Energy.Active.Import.Register")
            if name == "Energy.Active.Import.Register" and "phase" not in value:
                number = float(value["value"])
                found = round(number * 1000) if value.get("unit") == "kWh" else round(number)
    return found


def moment_of(payload: Payload) -> datetime:
    """Read the stamp of a start or a stop."""
    return datetime.fromisoformat(payload["timestamp"])
