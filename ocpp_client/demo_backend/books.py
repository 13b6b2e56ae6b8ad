"""What a central system writes down about its stations, and the answers that follow from it.

Nothing here reads a clock or a file: moments are arguments, and `to_json`/`from_json` are for whoever keeps the file.
"""

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from ocpp_client.demo_backend.wire import Payload

DEFAULT_INTERVAL_S = 180

# How many samples of one transaction are remembered to notice one that comes twice.
SAMPLES_REMEMBERED = 4_000

_REFUSED_CARDS = {"BLOCKED": "Blocked", "EXPIRED": "Expired", "INVALID": "Invalid"}

_ANSWERED_EMPTY = frozenset(
    {
        "DiagnosticsStatusNotification",
        "FirmwareStatusNotification",
        "LogStatusNotification",
        "MeterValues",
        "SecurityEventNotification",
        "SignedFirmwareStatusNotification",
        "StatusNotification",
        "StopTransaction",
    }
)


class ActionIsUnknown(Exception):
    """No station may send this action to a central system."""


class IrregularityKind(StrEnum):
    """What a well-behaved station never does."""

    DUPLICATE_START = "duplicate_start"
    DUPLICATE_STOP = "duplicate_stop"
    DUPLICATE_SAMPLE = "duplicate_sample"
    OVERLAPPING_START = "overlapping_start"
    UNKNOWN_TRANSACTION = "unknown_transaction"
    OUT_OF_ORDER = "out_of_order"
    METER_RUNS_BACKWARDS = "meter_runs_backwards"
    TIMESTAMP_UNREADABLE = "timestamp_unreadable"


@dataclass(frozen=True, kw_only=True)
class Irregularity:
    """One thing a station should not have done, and in which message."""

    kind: IrregularityKind
    station: str
    message_id: str
    detail: str


@dataclass(kw_only=True)
class Transaction:
    """One charging transaction as the messages of the station tell it."""

    station: str
    transaction_id: int | None
    connector_id: int
    id_tag: str
    meter_start_wh: int
    started_at: str
    start_message_id: str
    start_received_at: str
    id_tag_status: str = "Accepted"
    reservation_id: int | None = None
    meter_last_wh: int | None = None
    last_moment: str = ""
    meter_values: int = 0
    meter_stop_wh: int | None = None
    stopped_at: str | None = None
    stop_message_id: str | None = None
    stop_received_at: str | None = None
    stop_id_tag: str | None = None
    reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Return whether no StopTransaction has come yet."""
        return self.stopped_at is None

    @property
    def energy_wh(self) -> int | None:
        """Give the energy drawn so far: to the stop, else to the last sample."""
        end_wh = self.meter_last_wh if self.meter_stop_wh is None else self.meter_stop_wh
        return None if end_wh is None else end_wh - self.meter_start_wh

    def to_json(self) -> dict[str, Any]:
        """Give all fields, with the energy worked out."""
        return dict(vars(self), energy_wh=self.energy_wh)


@dataclass(kw_only=True)
class Station:
    """What is known about one station apart from its transactions."""

    identity: str
    boots: int = 0
    boot: Payload = field(default_factory=dict)
    last_seen_at: str = ""
    connectors: dict[str, Payload] = field(default_factory=dict)


class Books:
    """Transactions, last states and irregularities of all stations."""

    def __init__(
        self,
        *,
        interval_s: int = DEFAULT_INTERVAL_S,
        answers_kept: int | None = None,
        finished_kept: int | None = None,
    ) -> None:
        self.interval_s = interval_s
        self.stations: dict[str, Station] = {}
        self.transactions: list[Transaction] = []
        self.irregularities: list[Irregularity] = []
        self.repeats = 0
        self._answers_kept = answers_kept
        self._finished_kept = finished_kept
        self._next_transaction_id = 1
        self._answered: dict[str, OrderedDict[str, Payload]] = {}
        self._newest: dict[str, datetime] = {}
        self._samples: dict[tuple[str, int | None, int], deque[int]] = {}

    def station(self, identity: str) -> Station:
        """Find the station's page, opening one for a newcomer."""
        return self.stations.setdefault(identity, Station(identity=identity))

    def open_transactions(self, identity: str | None = None) -> list[Transaction]:
        """List the transactions without a stop, of one station or of all."""
        return [one for one in self.transactions if one.is_open and identity in (None, one.station)]

    def transaction(self, transaction_id: int, identity: str | None = None) -> Transaction | None:
        """Find the newest transaction with this number."""
        for one in reversed(self.transactions):
            if one.transaction_id == transaction_id and identity in (None, one.station):
                return one
        return None

    def remembered_answer(self, identity: str, message_id: str) -> Payload | None:
        """Give the answer this message id has had before, so that a retry is answered alike and booked once."""
        answer = self._answered.get(identity, OrderedDict()).get(message_id)
        if answer is not None:
            self.repeats += 1
        return answer

    def propose_answer(self, action: str, payload: Mapping[str, Any], *, at: datetime) -> Payload:
        """Work out the friendly answer; nothing is written down before `book`.

        Raises:
            ActionIsUnknown: no station may send this.
        """
        answer: Payload = {}
        match action:
            case "Authorize":
                answer = {"idTagInfo": {"status": card_status(payload)}}
            case "BootNotification":
                answer = {"currentTime": moment_text(at), "interval": self.interval_s, "status": "Accepted"}
            case "DataTransfer":
                answer = {"status": "Accepted"}
            case "Heartbeat":
                answer = {"currentTime": moment_text(at)}
            case "SignCertificate":
                # There is no certificate authority behind these books.
                answer = {"status": "Rejected"}
            case "StartTransaction":
                answer = {"transactionId": self._free_number(), "idTagInfo": {"status": card_status(payload)}}
            case "StopTransaction" if "idTag" in payload:
                answer = {"idTagInfo": {"status": card_status(payload)}}
            case _ if action not in _ANSWERED_EMPTY:
                raise ActionIsUnknown(action)
        return answer

    def book(
        self, identity: str, message_id: str, action: str, payload: Mapping[str, Any], answer: Payload, *, at: datetime
    ) -> None:
        """Write one message down together with the answer it gets; called once per message id."""
        station = self.station(identity)
        station.last_seen_at = moment_text(at)
        match action:
            case "BootNotification":
                station.boots += 1
                station.boot = dict(payload)
            case "StatusNotification":
                station.connectors[str(payload.get("connectorId"))] = dict(payload) | {"receivedAt": moment_text(at)}
            case "StartTransaction":
                self._start(identity, message_id, payload, answer, at)
            case "MeterValues":
                self._sample(identity, message_id, payload)
            case "StopTransaction":
                self._stop(identity, message_id, payload, at)
        answered = self._answered.setdefault(identity, OrderedDict())
        answered[message_id] = answer
        if self._answers_kept is not None and len(answered) > self._answers_kept:
            answered.popitem(last=False)

    def to_json(self) -> dict[str, Any]:
        """Give everything that must survive a restart."""
        return {
            "next_transaction_id": self._next_transaction_id,
            "stations": [dict(vars(station)) for station in self.stations.values()],
            "transactions": [dict(vars(transaction)) for transaction in self.transactions],
            "irregularities": [dict(vars(one)) for one in self.irregularities],
            "answered": {identity: list(answers.items()) for identity, answers in self._answered.items()},
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], **limits: int | None) -> Self:
        """Open the books where `to_json` closed them.

        Raises:
            KeyError, TypeError, ValueError: these are no books.
        """
        books = cls(**{name: value for name, value in limits.items() if value is not None})
        books._next_transaction_id = int(stored["next_transaction_id"])
        books.stations = {row["identity"]: Station(**row) for row in stored["stations"]}
        books.transactions = [Transaction(**row) for row in stored["transactions"]]
        books.irregularities = [
            Irregularity(**row | {"kind": IrregularityKind(row["kind"])}) for row in stored["irregularities"]
        ]
        books._answered = {identity: OrderedDict(pairs) for identity, pairs in stored["answered"].items()}
        return books

    def _free_number(self) -> int:
        taken = {one.transaction_id for one in self.transactions}
        while self._next_transaction_id in taken:
            self._next_transaction_id += 1
        return self._next_transaction_id

    def _start(self, identity: str, message_id: str, payload: Mapping[str, Any], answer: Payload, at: datetime) -> None:
        transaction_id = _whole(answer.get("transactionId"))
        started = Transaction(
            station=identity,
            transaction_id=transaction_id,
            connector_id=_whole(payload.get("connectorId")) or 0,
            id_tag=str(payload.get("idTag", "")),
            id_tag_status=_answered_status(answer),
            meter_start_wh=_whole(payload.get("meterStart")) or 0,
            started_at=str(payload.get("timestamp", "")),
            start_message_id=message_id,
            start_received_at=moment_text(at),
            reservation_id=_whole(payload.get("reservationId")),
        )
        same = ("station", "connector_id", "id_tag", "meter_start_wh", "started_at")
        for other in self.transactions:
            if all(getattr(other, name) == getattr(started, name) for name in same):
                self._note(IrregularityKind.DUPLICATE_START, identity, message_id, f"as {other.transaction_id}")
            elif other.is_open and other.station == identity and other.connector_id == started.connector_id:
                self._note(IrregularityKind.OVERLAPPING_START, identity, message_id, f"{other.transaction_id} is open")
        self._in_order(identity, message_id, started, started.started_at)
        self.transactions.append(started)
        if transaction_id == self._next_transaction_id:
            self._next_transaction_id += 1
        self._forget_finished()

    def _sample(self, identity: str, message_id: str, payload: Mapping[str, Any]) -> None:
        transaction_id = _whole(payload.get("transactionId"))
        connector_id = _whole(payload.get("connectorId")) or 0
        rows = _rows(payload.get("meterValue"))
        seen = self._samples.setdefault((identity, transaction_id, connector_id), deque(maxlen=SAMPLES_REMEMBERED))
        print_of_it = hash(repr(rows))
        if print_of_it in seen:
            self._note(IrregularityKind.DUPLICATE_SAMPLE, identity, message_id, f"transaction {transaction_id}")
        seen.append(print_of_it)
        transaction = None
        if "transactionId" in payload:
            transaction = self._find(identity, message_id, transaction_id)
            if transaction is None:
                return
            if not transaction.is_open:
                self._note(IrregularityKind.OUT_OF_ORDER, identity, message_id, f"sample after stop {transaction_id}")
            transaction.meter_values += 1
        for row in rows:
            self._in_order(identity, message_id, transaction, str(row.get("timestamp", "")))
            register_wh = energy_register_wh(row)
            if transaction is not None and register_wh is not None:
                self._forwards(identity, message_id, transaction, register_wh)
                transaction.meter_last_wh = register_wh

    def _stop(self, identity: str, message_id: str, payload: Mapping[str, Any], at: datetime) -> None:
        transaction = self._find(identity, message_id, _whole(payload.get("transactionId")))
        if transaction is None:
            return
        if not transaction.is_open:
            self._note(IrregularityKind.DUPLICATE_STOP, identity, message_id, f"of {transaction.transaction_id}")
            return
        meter_stop_wh = _whole(payload.get("meterStop")) or 0
        self._forwards(identity, message_id, transaction, meter_stop_wh)
        self._in_order(identity, message_id, transaction, str(payload.get("timestamp", "")))
        transaction.meter_stop_wh = meter_stop_wh
        transaction.stopped_at = str(payload.get("timestamp", ""))
        transaction.stop_message_id = message_id
        transaction.stop_received_at = moment_text(at)
        transaction.stop_id_tag = payload.get("idTag")
        # OCPP 1.6, 6.49: an omitted reason means Local.
        transaction.reason = str(payload.get("reason", "Local"))

    def _find(self, identity: str, message_id: str, transaction_id: int | None) -> Transaction | None:
        found = None if transaction_id is None else self.transaction(transaction_id, identity)
        if found is None:
            self._note(IrregularityKind.UNKNOWN_TRANSACTION, identity, message_id, f"transaction {transaction_id}")
        return found

    def _forwards(self, identity: str, message_id: str, transaction: Transaction, register_wh: int) -> None:
        before_wh = transaction.meter_last_wh if transaction.meter_last_wh is not None else transaction.meter_start_wh
        if register_wh < before_wh:
            detail = f"{before_wh} Wh, then {register_wh} Wh in {transaction.transaction_id}"
            self._note(IrregularityKind.METER_RUNS_BACKWARDS, identity, message_id, detail)

    def _in_order(self, identity: str, message_id: str, transaction: Transaction | None, text: str) -> None:
        """Check the law of OCPP 1.6, 3.7: messages about transactions come in the order they happened."""
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self._note(IrregularityKind.TIMESTAMP_UNREADABLE, identity, message_id, text[:40])
            return
        if moment.tzinfo is None:
            self._note(IrregularityKind.TIMESTAMP_UNREADABLE, identity, message_id, f"{text[:40]} has no zone")
            return
        newest = self._newest.get(identity)
        if newest is not None and moment < newest:
            self._note(IrregularityKind.OUT_OF_ORDER, identity, message_id, f"{text} after {moment_text(newest)}")
        self._newest[identity] = moment
        if transaction is not None:
            transaction.last_moment = text

    def _note(self, kind: IrregularityKind, identity: str, message_id: str, detail: str) -> None:
        self.irregularities.append(Irregularity(kind=kind, station=identity, message_id=message_id, detail=detail))
        if self._finished_kept is not None:
            del self.irregularities[: -self._finished_kept]

    def _forget_finished(self) -> None:
        if self._finished_kept is None:
            return
        finished = [one for one in self.transactions if not one.is_open]
        for one in finished[: max(0, len(finished) - self._finished_kept)]:
            self.transactions.remove(one)
            self._samples.pop((one.station, one.transaction_id, one.connector_id), None)


def card_status(payload: Mapping[str, Any]) -> str:
    """Judge a card by its number: everything is welcome but BLOCKED…, EXPIRED… and INVALID…."""
    id_tag = str(payload.get("idTag", "")).upper()
    return next((status for prefix, status in _REFUSED_CARDS.items() if id_tag.startswith(prefix)), "Accepted")


def energy_register_wh(row: Mapping[str, Any]) -> int | None:
    """Find the total import register in one meter value, in Wh; None without one."""
    for sample in _rows(row.get("sampledValue")):
        if sample.get("measurand", "Energy.Active.Import.Register") != "Energy.Active.Import.Register":
            continue
        if "phase" in sample or sample.get("format", "Raw") != "Raw":
            continue
        try:
            value = float(str(sample.get("value")))
        except ValueError:
            continue
        return round(value * 1000) if sample.get("unit") == "kWh" else round(value)
    return None


def moment_text(at: datetime) -> str:
    """Write a moment as OCPP does, in UTC with milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _answered_status(answer: Mapping[str, Any]) -> str:
    info = answer.get("idTagInfo")
    return str(info.get("status", "")) if isinstance(info, dict) else ""


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _rows(value: object) -> list[Mapping[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
