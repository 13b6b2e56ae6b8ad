"""The bench of the conformance suite: a started station, a scripted central system, a basic state between cases."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest

from tests.backend import Backend, BackendCallError, Frame, ThreadedBackend
from tests.station import NeverHappened, Station, free_port, http, wait_until
from tests.visitor import IDENTITY, Visitor

# Names the sections of the standard a case proves: S OCPP 1.6, J OCPP-J 1.6, E errata, JE errata of OCPP-J, W security
# whitepaper.
section = pytest.mark.section

Payload = dict[str, Any]
CONNECTORS = (1, 2)
CARD = "CARD-1"
OTHER_CARD = "CARD-2"
# For a busy machine: what a case waits for comes within a second on an idle one.
PATIENCE_S = 20.0
KEY = "conformance-suite-key"
# What the suite needs otherwise than a station is delivered: quick retries, and no message of its own accord.
BASE = {
    "AuthorizationKey": KEY,
    "/ocpp/reconnectMinS": "1",
    "/ocpp/reconnectMaxS": "1",
    "TransactionMessageRetryInterval": "1",
    "MeterValueSampleInterval": "0",
    "HeartbeatInterval": "180",
    "/display/language": "en",
    **IDENTITY,
}
_numbers = itertools.count(1000)


def number() -> int:
    """Give a number no other case uses."""
    return next(_numbers)


def moment(seconds: float = 0.0) -> str:
    """Write the moment so many seconds from now as OCPP does."""
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def at(text: str) -> datetime:
    """Read a moment off the wire; it must carry its zone."""
    read = datetime.fromisoformat(text)
    assert read.tzinfo is not None, text
    return read


class ConformanceBench:
    """Drives the station from both sides: as central system and as driver."""

    def __init__(self, station: Station, backend: ThreadedBackend) -> None:
        self.station = station
        self.backend = backend
        self.baseline: dict[str, str] = {}
        self.begun = 0
        self.reservations: set[int] = set()
        self._seen = (0, 0, 0)
        self._list_used = False
        self._visitor: Visitor | None = None

    @classmethod
    @contextmanager
    def open(cls, tmp_path: Path, *, config: dict[str, str] | None = None, **options: Any) -> Iterator[Self]:
        """Start both sides and wait for the statuses after the boot."""
        with Backend.threaded(**options) as backend:
            keys = BASE | {"/ocpp/url": backend.url} | (config or {})
            with Station.start(tmp_path, config=keys, display_port=free_port()) as station:
                bench = cls(station, backend)
                bench.wait_registered()
                bench.baseline = bench.writable()
                yield bench

    # --- as somebody at the station

    def display(self) -> str:
        """Read what the driver's display shows."""
        assert self.station.display_port is not None
        return str(http("GET", self.station.display_port, "/state")[1])

    def page(self, path: str) -> str:
        """Read a page of the web interface, signed in."""
        if self._visitor is None:
            self._visitor = Visitor(self.station)
            self._visitor.sign_in()
        status, text = self._visitor.ask("GET", path)
        assert status == 200, (path, status)
        return text

    # --- as central system

    def call(self, action: str, **payload: Any) -> Payload:
        """Call the station; what has to be undone afterwards is remembered."""
        if action == "ReserveNow" and "reservationId" in payload:
            self.reservations.add(payload["reservationId"])
        self._list_used |= action == "SendLocalList"
        return self.backend.call(action, payload)

    def status_of(self, action: str, **payload: Any) -> str:
        """Call the station and give the field `status` of its answer."""
        return str(self.call(action, **payload)["status"])

    def refusal(self, action: str, **payload: Any) -> str:
        """Call the station, expect a CALLERROR and give its code."""
        try:
            answer = self.call(action, **payload)
        except BackendCallError as refused:
            return str(refused.code)
        raise AssertionError(f"{action} was answered {answer}")

    def configure(self, **keys: Any) -> None:
        """Change configuration keys over OCPP; they are put back after the case."""
        for key, value in keys.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            status = self.status_of("ChangeConfiguration", key=key, value=text)
            assert status == "Accepted", f"{key}={text}: {status}"

    def value(self, key: str) -> str | None:
        """Read one configuration key over OCPP."""
        entry = self.call("GetConfiguration", key=[key])["configurationKey"][0]
        value = entry.get("value")
        return None if value is None else str(value)

    def writable(self) -> dict[str, str]:
        """Read all keys the backend may write and read."""
        keys = self.call("GetConfiguration")["configurationKey"]
        return {entry["key"]: entry["value"] for entry in keys if not entry["readonly"] and "value" in entry}

    def mark(self) -> int:
        """Note this moment."""
        return self.backend.mark()

    def wait_for(self, action: str, *, after: int | None = None, timeout: float = PATIENCE_S, **fields: Any) -> Payload:
        """Wait for a message of this case (or since a mark) with these fields, and give its payload."""
        return self.frame(action, after=after, timeout=timeout, **fields).payload

    def frame(self, action: str, *, after: int | None = None, timeout: float = PATIENCE_S, **fields: Any) -> Frame:
        """Wait as `wait_for`, and give the frame."""

        def fits(payload: Payload) -> bool:
            return all(payload.get(name) == value for name, value in fields.items())

        return self.backend.wait_for(action, where=fits, after=self.begun if after is None else after, timeout=timeout)

    def wait_status(self, status: str, *, connector: int = 1, after: int | None = None, **more: Any) -> Payload:
        """Wait for a StatusNotification."""
        return self.wait_for("StatusNotification", after=after, connectorId=connector, status=status, **more)

    def received(self, action: str | None = None, *, after: int | None = None) -> list[Payload]:
        """List what the station sent in this case (or since a mark)."""
        frames = self.backend.received(action, after=self.begun if after is None else after)
        return [frame.payload for frame in frames]

    def statuses(self, connector: int = 1, *, after: int | None = None) -> list[str]:
        """List the statuses of one connector in this case (or since a mark)."""
        return [
            sent["status"]
            for sent in self.received("StatusNotification", after=after)
            if sent["connectorId"] == connector
        ]

    def told(self, connector: int) -> Payload:
        """Give the last StatusNotification of a connector."""
        present = next(iter(self.backend.books.stations.values())).connectors
        return present.get(str(connector), {"status": "", "errorCode": ""})

    def settle(self) -> None:
        """Wait until the station has sent what it owes: a trigger's answer overtakes nothing of its own kind."""
        mark = self.mark()
        assert self.status_of("TriggerMessage", requestedMessage="Heartbeat") == "Accepted"
        self.wait_for("Heartbeat", after=mark)

    def wait_registered(self, *, after: int = 0) -> None:
        """Wait for the last of the statuses that follow a boot."""
        self.backend.wait_for(
            "StatusNotification", where=lambda sent: sent["connectorId"] == max(CONNECTORS), after=after, timeout=20
        )

    # --- as driver

    def sim(self, path: str, **body: Any) -> Payload:
        """Act in the simulated world."""
        return self.station.sim(path, body)

    def plug(self, connector: int = 1, **car: Any) -> None:
        """Plug a car in and wait until the station has seen it."""
        mark = self.mark()
        self.sim(f"/connectors/{connector}/plug", **car)
        self.backend.wait_for(
            "StatusNotification", where=lambda sent: sent["connectorId"] == connector, after=mark, timeout=8
        )

    def plug_unseen(self, connector: int = 1, **car: Any) -> None:
        """Plug a car in at a reserved connector: the backend hears nothing of it."""
        self.sim(f"/connectors/{connector}/plug", **car)
        self.physical(lambda point: point["plugged"], connector=connector)
        # An idle board is looked at twice a second, and believed when it says the same twice.
        time.sleep(1.2)
        self.settle()

    def unplug(self, connector: int = 1, side: str = "vehicle") -> None:
        """Pull the cable."""
        self.sim(f"/connectors/{connector}/unplug", side=side)

    def swipe(self, uid: str = CARD) -> None:
        """Hold a card at the reader."""
        self.sim("/reader/swipe", uid=uid)

    def charge(self, connector: int = 1, card: str = CARD, **car: Any) -> int:
        """Charge a car, begun by the backend; gives the transactionId."""
        mark = self.mark()
        if not self.station.connector(connector)["plugged"]:
            self.plug(connector, **car)
        assert self.status_of("RemoteStartTransaction", idTag=card, connectorId=connector) == "Accepted"
        self.wait_for("StartTransaction", after=mark, connectorId=connector)
        if car.get("ready", True):
            self.wait_status("Charging", connector=connector, after=mark)
        return self.transaction(connector)

    def transaction(self, connector: int = 1) -> int:
        """Give the number of the transaction that runs on a connector."""

        def running(backend: Backend) -> list[int | None]:
            found = backend.books.open_transactions()
            return [one.transaction_id for one in found if one.connector_id == connector]

        return int(self.backend.wait_until(running)[-1] or 0)

    def physical(
        self, condition: Callable[[Payload], bool], *, connector: int = 1, timeout_s: float = PATIENCE_S
    ) -> Payload:
        """Wait until the simulated world fulfils a condition."""
        return self.station.wait_sim(condition, number=connector, timeout_s=timeout_s)

    # --- between the cases

    def begin(self) -> None:
        """Open the page of a case."""
        self.begun = self.mark()
        books = self.backend.books
        self._seen = (len(self.backend.schema_errors), len(books.irregularities), len(self._overlaps()))

    def _overlaps(self) -> list[tuple[Frame, Frame]]:
        return list(self.backend.backend.overlapping_calls)

    def judge(self) -> None:
        """Check what holds for every case: frames by their schema, messages in order and once, one call at a time."""
        schema, irregular, overlaps = self._seen
        complaints = [f"{one.reason}: {one.frame.text[:300]!r}" for one in self.backend.schema_errors[schema:]]
        assert not complaints
        assert not self.backend.books.irregularities[irregular:]
        assert not self._overlaps()[overlaps:]

    def restore(self) -> None:
        """Bring both sides back to the basic state."""
        backend = self.backend
        backend.answers.clear()
        inner = backend.backend
        inner._next.clear()
        inner.refuse_with, inner.close_on_connect, inner.stall_handshake = None, None, False
        inner.subprotocols = ["ocpp1.6"]
        backend.listen()
        self.sim("/network", backend=True)
        self.sim("/speed", factor=1)
        self.sim("/reset")
        backend.wait_connected(timeout=15)
        wait_until(self._answers, timeout_s=15, what="an accepted station")
        for reservation in self.reservations:
            self.call("CancelReservation", reservationId=reservation)
        self.reservations.clear()
        self._put_back_keys()
        self.call("ClearChargingProfile")
        if self._list_used:
            self.call("SendLocalList", listVersion=1, updateType="Full", localAuthorizationList=[])
            self._list_used = False
        self.call("ClearCache")
        for connector in CONNECTORS:
            if self.told(connector)["status"] == "Preparing":
                # A card that waits for a car goes with the service.
                self.call("ChangeAvailability", connectorId=connector, type="Inoperative")
        for connector in (0, *CONNECTORS):
            self.call("ChangeAvailability", connectorId=connector, type="Operative")
        wait_until(self._is_clean, timeout_s=15, what="the basic state")

    def _answers(self) -> bool:
        with suppress(Exception):
            return bool(self.status_of("TriggerMessage", requestedMessage="Heartbeat") == "Accepted")
        return False

    def _put_back_keys(self) -> None:
        for key, value in self.writable().items():
            if key in self.baseline and self.baseline[key] != value and key != "CurrentDateTime":
                self.configure(**{key: self.baseline[key]})

    def _is_clean(self) -> bool:
        if self.backend.books.open_transactions():
            return False
        told = [self.told(each) for each in (0, *CONNECTORS)]
        if any((one["status"], one["errorCode"]) != ("Available", "NoError") for one in told):
            return False
        return not any(point["plugged"] for point in self.station.sim("/state")["connectors"])


def never(look: Callable[[], object], *, for_s: float) -> None:
    """Watch for a while that something does not come true."""
    with suppress(NeverHappened):
        found = wait_until(look, timeout_s=for_s)
        raise AssertionError(f"it came true: {json.dumps(found, default=str)[:500]}")
