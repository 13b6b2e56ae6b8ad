"""A started station whose processes die and stop, and whose network fails, while its drivers go on charging."""

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.backend import ThreadedBackend
from tests.process.judgement import complaints_about_books, complaints_about_energy, tracebacks, wait_until_delivered
from tests.reliability.shim import Shim
from tests.station import NeverHappened, SimulatorRefused, Station, wait_until

CONFIG = {
    "/ocpp/reconnectMinS": "1",
    "/ocpp/reconnectMaxS": "2",
    "TransactionMessageRetryInterval": "1",
    "MeterValueSampleInterval": "1",
    "WebSocketPingInterval": "2",
    "LocalAuthorizeOffline": "true",
    "AllowOfflineTxForUnknownId": "true",
}
SPEED = 120
CARD = "04A2B3C4"
# By what a station cannot do without, as the doses of the catalogue are (reference/reliability.md, F1).
VICTIMS = {"hardware": 10, "ocpp": 10, "web": 3, "worker": 2, "redis": 3}
# How often the power fails again while the station starts.
CUT_AGAIN = 0.3
READY_S = 40.0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was wrong in the end: in the books, and in the logs, which costs nobody anything and must be mended too."""

    books: list[str]
    tracebacks: list[str]

    @property
    def problems(self) -> list[str]:
        """Everything found."""
        return [*self.books, *self.tracebacks]


@dataclass
class Storm:
    """One station under fire; `weather` is one act of fate, `judge` what must be true after any number of them."""

    station: Station
    backend: ThreadedBackend
    shim: Shim
    dice: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    recovered_s: list[float] = field(default_factory=list)
    diary: list[str] = field(default_factory=list)
    _cards: int = 0

    def begin(self) -> None:
        """Let energy count faster, so that a lost session shows."""
        self._sim("/speed", factor=SPEED)

    def weather(self) -> None:
        """Let drivers do something, then fate, at moments nobody has chosen."""
        self._drivers()
        time.sleep(self.dice.uniform(0.0, 0.7))
        act = self.dice.choices((self.kill, self.stop, self.power_cut, self.network), weights=(20, 1, 4, 3))[0]
        act()

    # --- drivers

    def _drivers(self) -> None:
        for number in (1, 2):
            match self.dice.randrange(4):
                case 0 | 1:
                    self._cards += 1
                    self._sim(f"/connectors/{number}/plug")
                    time.sleep(self.dice.uniform(0.0, 0.4))
                    self._sim("/reader/swipe", uid=f"{CARD}{self._cards:06d}")
                case 2:
                    self._sim(f"/connectors/{number}/unplug", side="vehicle")
                case _:
                    open_ones = [one for one in self.backend.books.open_transactions() if one.connector_id == number]
                    if open_ones and open_ones[-1].transaction_id is not None:
                        with suppress(Exception):
                            payload = {"transactionId": open_ones[-1].transaction_id}
                            self.backend.call("RemoteStopTransaction", payload, timeout=0.3)

    def _sim(self, path: str, **body: Any) -> None:
        with suppress(SimulatorRefused, OSError, NeverHappened):
            self.station.sim(path, body)

    # --- fate

    def kill(self) -> None:
        """SIGKILL one process, or two at once; the supervisor brings them back."""
        wanted = self.dice.choices(list(VICTIMS), weights=list(VICTIMS.values()), k=self.dice.choice((1, 1, 2)))
        living = self.station.child_pids()
        before = {name: living[name] for name in wanted if name in living}
        self._note(f"SIGKILL {' and '.join(before)}")
        for name, pid in before.items():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self.kills[name] += 1
        self._until_replaced(before)

    def stop(self) -> None:
        """SIGSTOP the control loop, Redis or both: it must be noticed, and they must be replaced."""
        living = self.station.child_pids()
        wanted = self.dice.choice((("hardware",), ("redis",), ("hardware", "redis")))
        before = {name: living[name] for name in wanted if name in living}
        self._note(f"SIGSTOP {' and '.join(before)}")
        for name, pid in before.items():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
            self.kills[f"{name} (stopped)"] += 1
        self._until_replaced(before)

    def _until_replaced(self, before: dict[str, int]) -> None:
        began_s = time.monotonic()
        for name, pid in before.items():
            wait_until(
                lambda name=name, pid=pid: self.station.child_pids().get(name, pid) != pid,
                timeout_s=READY_S,
                what=f"a new {name}",
            )
        if "hardware" in before:
            self._until_ready(began_s)

    def power_cut(self) -> None:
        """SIGKILL everything and start again."""
        self._note("power cut")
        self.station.kill_group()
        self.kills["all"] += 1
        if self.dice.random() < CUT_AGAIN:
            self.station.launch(ready=False)
            time.sleep(self.dice.uniform(0.0, 3.0))
            self._note("power cut during the start")
            self.station.kill_group()
            self.kills["all (starting)"] += 1
        self.station.launch(wait_timeout_s=READY_S)
        self.begin()

    def network(self) -> None:
        """Break the way to the backend, in one of the ways networks know."""
        match self.dice.randrange(4):
            case 0:
                self._note("RST")
                self.shim.reset()
            case 1:
                self._note("no backend for a while")
                self.shim.refuse()
                self.shim.reset()
                time.sleep(self.dice.uniform(0.2, 3.0))
                self.shim.listen()
            case 2:
                self._note("slow network")
                self.shim.delay_s = self.dice.uniform(0.1, 0.6)
                time.sleep(2.0)
                self.shim.delay_s = 0.0
            case _:
                # The station's own ping would find out after its pong time-out; the reset comes first.
                self._note("half-open")
                self.shim.silent = True
                time.sleep(self.dice.uniform(0.5, 4.0))
                self.shim.reset()
                self.shim.silent = False

    def _until_ready(self, began_s: float) -> None:
        wait_until(self.station.healthy, timeout_s=READY_S, what="healthz 200")
        self.recovered_s.append(time.monotonic() - began_s)

    def _note(self, text: str) -> None:
        self.diary.append(f"{time.monotonic():.1f} {text}")

    # --- the account

    def judge(self) -> Verdict:
        """Let everybody leave, wait until all is told, and compare backend, database and meters."""
        self.station.wait_healthy(timeout_s=READY_S)
        for number in (1, 2):
            self._sim(f"/connectors/{number}/unplug", side="vehicle")
            self.station.wait_sim(lambda point: point["cp_state"] == "A" and point["power_w"] == 0, number=number)
        wait_until_delivered(self.station, self.backend, timeout_s=60.0)
        registers = {point["id"]: point["energy_wh"] for point in self.station.sim("/state")["connectors"]}
        books = complaints_about_books(self.station, self.backend)
        for connector, register_wh in registers.items():
            books += complaints_about_energy(self.backend.books, connector, first_wh=0, last_wh=register_wh)
        # The library of the channel layer cleans up in tasks of its own, which say so when Redis dies under them.
        crashes = [each for each in tracebacks(self.station.data) if "redis.exceptions.ConnectionError" not in each]
        return Verdict(books=books, tracebacks=crashes)
