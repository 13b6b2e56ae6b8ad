"""Whatever a backend sends, each lawful call is answered once, nothing crashes and memory stays (F8, F6, F7)."""

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from channels.layers import channel_layers
from django.db import DatabaseError

from station import clock
from station.domain.configuration import Origin
from station.models import Connector
from station.paths import DataDirectory
from station.services import configuration
from tests.fakes import Clock, FakeComputer
from tests.reliability import processes, world
from tests.reliability.computer import Layer, LiveRedis
from tests.reliability.disk import Disk
from tests.reliability.fuzz.ocpp_frames import FuzzedFrame, frames
from tests.reliability.fuzz.ocpp_target import AnyStation, FuzzingPeer, batches, unanswered
from tests.reliability.virtual import MortalLoop, Process
from tests.reliability.wire import Network

SMALL_DOSE = 2_000
BATCH = 40
# What a batch may take until everything is answered: the longest the peer lets a command wait, and the time-outs of
# the station's own calls, which rubbish answers.
SETTLES_S = 5.0
GROWTH_MIB = 40.0


def test_any_frame_of_a_backend_is_answered_or_ignored_and_never_breaks_the_connection_for_good(
    *,
    request: pytest.FixtureRequest,
    transactional_db: None,
    station_directory: DataDirectory,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    note: Callable[..., None],
) -> None:
    dose = request.config.getoption("--frames") or SMALL_DOSE
    dice = random.Random(seed)
    loop = MortalLoop()
    timers = world.Timers(loop)
    peer = FuzzingPeer(timers, dice, rubbish=0.2)
    network = Network(world=timers, peer=peer)
    disk = Disk(dice, latency_s=0.0005)
    processes.install(monkeypatch, clock=Clock(loop), network=network, disk=disk, dice=dice)
    problems: list[str] = []
    memory: list[float] = []
    sent = owed = 0

    async def scenario() -> None:
        nonlocal sent, owed
        ended: list[str] = []
        process = Process(loop, "ocpp", on_end=lambda dead: ended.append(dead.name))
        ocpp = processes.Ocpp(AnyStation(dice), FakeComputer().host(), process)
        monkeypatch.setitem(channel_layers.backends, "default", Layer(LiveRedis(), ocpp.heard))
        with disk.attached():
            process.start(ocpp.main)
            await _registered(network, peer)
            for batch in batches(frames(dice, prefix=f"s{seed}"), dose, BATCH):
                await _feed(network, peer, batch)
                sent += len(batch)
                owed += sum(frame.owed is not None for frame in batch)
                problems.extend(unanswered(peer, batch))
                problems.extend(peer.complaints)
                problems.extend(f"the process {name} has ended" for name in ended)
                peer.answers.clear()
                peer.complaints.clear()
                memory.append(world.rss_mib())
                if len(problems) > 20:
                    break
            await world.bury(disk, [process])

    configuration.change(
        {"/ocpp/url": "ws://127.0.0.1:9/", "/ocpp/chargeBoxIdentity": "CP1"},
        origin=Origin.LOCAL,
        actor="test",
        at=clock.now(),
    )
    for number in range(3):
        Connector.objects.create(number=number, status_at=clock.now(), status_revision=1)
    with world.watched_logs(lambda error: isinstance(error, DatabaseError)) as logs:
        lost = world.live(loop, timers, scenario)

    growth = memory[-1] - memory[len(memory) // 10]
    note("fuzz OCPP", seed=seed, frames=sent, owed=owed, problems=len(problems), growth_mib=round(growth, 1))
    found = problems + logs.found + lost
    assert not found, f"--seed {seed}, {len(found)} problems:\n" + "\n".join(found[:20])
    assert growth < GROWTH_MIB


async def _registered(network: Network, peer: FuzzingPeer) -> None:
    for _ in range(600):
        if network.socket is not None and peer.own_calls["StatusNotification"] >= 3:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"never registered: {peer.own_calls}")


async def _feed(network: Network, peer: FuzzingPeer, batch: list[FuzzedFrame]) -> None:
    """Send a batch over one connection, however often the frames before it made the station connect anew."""
    socket = await _ready(network, peer)
    for frame in batch:
        socket.deliver(frame.text)
    await asyncio.sleep(SETTLES_S)


async def _ready(network: Network, peer: FuzzingPeer) -> Any:
    for turn in range(600):
        socket = network.socket
        if socket is not None:
            probe = f"probe-{socket.number}-{turn}-{peer.answers.total()}"
            socket.deliver(json.dumps([2, probe, "GetConfiguration", {"key": ["HeartbeatInterval"]}]))
            await asyncio.sleep(1.0)
            if peer.answers[probe] == 1 and socket.open:
                return socket
        await asyncio.sleep(1.0)
    raise AssertionError("the station does not answer any more")
