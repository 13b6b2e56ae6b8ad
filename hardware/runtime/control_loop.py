"""The control loop: all charging points of a station, their devices, and what binds them together.

This module composes. What the parts share stands at the bottom (`state`, `records`, `parameters`, the points
themselves); each part is given what it needs, and nothing has the loop.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from hardware.runtime.admission import Admission
from hardware.runtime.archive import Archive
from hardware.runtime.authorizer import Authorizer
from hardware.runtime.clock_watch import ClockWatch
from hardware.runtime.cluster.service import ClusterService
from hardware.runtime.cluster_shares import ClusterShares
from hardware.runtime.command_handlers.availability import AvailabilityHandlers
from hardware.runtime.command_handlers.charging import ChargingHandlers
from hardware.runtime.command_handlers.dispatcher import CommandDispatcher
from hardware.runtime.command_handlers.flashing import FlashingHandlers
from hardware.runtime.command_handlers.reserving import ReservationHandlers
from hardware.runtime.command_handlers.reset import ResetHandlers
from hardware.runtime.command_handlers.unlocking import UnlockHandlers
from hardware.runtime.database import DatabaseThread
from hardware.runtime.device_events import DeviceEvents
from hardware.runtime.dimming import Dimming
from hardware.runtime.driver_guard import guarded
from hardware.runtime.energy_manager import EnergyManager
from hardware.runtime.energy_off import WITHDRAW_S, withdraw_energy
from hardware.runtime.flashing import Flasher
from hardware.runtime.heartbeat import BoardHeartbeats
from hardware.runtime.lamp import Lamps
from hardware.runtime.limits import LimitLoop
from hardware.runtime.modbus_server.service import ModbusService
from hardware.runtime.notices import Notices
from hardware.runtime.parameters import Parameters
from hardware.runtime.periodic import Periodic
from hardware.runtime.point import ChargingPoint
from hardware.runtime.point_choice import PointChoice
from hardware.runtime.pollers import ReaderPoll, poll_controller, poll_io, poll_meter
from hardware.runtime.records import RecordStore
from hardware.runtime.recovery import Recovery
from hardware.runtime.refusals import Refusals
from hardware.runtime.reservation_cache import ReservationCache
from hardware.runtime.sampler import Sampler
from hardware.runtime.session_records import SessionRecords
from hardware.runtime.signed_metering import SignedMetering, Signing
from hardware.runtime.snapshot_publisher import SnapshotPublisher
from hardware.runtime.start_responses import StartResponses
from hardware.runtime.state import Changes, ReaderRecord, StationState
from hardware.runtime.status_writer import StatusWriter
from hardware.runtime.wake_ups import WakeUps
from station import clock
from station.domain.ports import MOST_PHASES, Devices, Signal, SigningMeter
from station.domain.units import MilliAmpere
from station.host import Host
from station.services import connectors
from station.services.commands import Envelope
from station.services.messages import MessageToControlLoop

# Energy may count so much faster on a bench (DESIGN.md section 6, /speed); what is more is implausible there, too.
FASTEST_SIMULATION = 100_000


class ControlLoop:
    """The live station. `run` never returns by itself; `stop` says what becomes of the energy."""

    def __init__(self, devices: Devices, *, host: Host, redis: Any, has_lock: bool, rating: MilliAmpere) -> None:
        devices = guarded(devices)
        # What the parts share. The points are made last, as they need what looks at all of them together.
        self.points: dict[int, ChargingPoint] = {}
        changes = Changes()
        self.state = StationState(changes, started_at=clock.now())
        self.database = DatabaseThread()
        self.records = RecordStore(self.database, self.state)
        shared = (self.points, self.state, self.records)
        self._parameters = Parameters(self.records)
        wake_ups = WakeUps()

        self.dimming = Dimming(
            *shared, wake_ups, has_input=devices.io is not None and Signal.DIMMING in devices.io.signals
        )
        self.energy_manager = EnergyManager(devices.controllers, self.records, metered=devices.meters)
        self.cluster_shares = ClusterShares(devices.controllers, self.state, self.records, held=self._held_by_board)
        self.limits = LimitLoop(
            *shared,
            leased=self.energy_manager,
            dimming=self.dimming,
            cluster=self.cluster_shares,
            wall_clock=host.clock,
        )
        self._reservations = ReservationCache(*shared)
        choice = PointChoice(*shared, self._reservations)
        session_records = SessionRecords(
            self.records,
            self._parameters,
            wake_ups,
            reservations=choice,
            dependents=(self.limits, self._reservations),
        )
        for number, controller in devices.controllers.items():
            self.points[number] = ChargingPoint(
                number,
                controller=controller,
                meter=devices.meters.get(number),
                has_lock=has_lock,
                rating=MilliAmpere(rating * FASTEST_SIMULATION) if host.is_simulated else rating,
                connected_phases=devices.phases.get(number, MOST_PHASES),
                records=self.records,
                parameters=self._parameters,
                session_records=session_records,
                limits=self.limits,
                changes=changes,
            )

        self._signed_metering = self._make_signed_metering(devices.signing_meters, host, wake_ups)

        # What is published.
        self._statuses = StatusWriter(*shared, wake_ups)
        self._lamps = Lamps(devices.io, self.points, self.state)
        refusals = Refusals(self.records, changes)
        self.snapshots = SnapshotPublisher(
            *shared,
            limits=self.limits,
            reservations=self._reservations,
            refusals=refusals,
            energy_manager=self.energy_manager,
            dimming=self.dimming,
            cluster_shares=self.cluster_shares,
            redis=redis,
        )
        self.sampler = Sampler(self.points, self._parameters, self.records, wall_clock=host.clock)

        # What is decided.
        authorizer = Authorizer(self.state, self.records, redis)
        self.admission = Admission(*shared, choice=choice, authorizer=authorizer, refusals=refusals, lamps=self._lamps)
        start_responses = StartResponses(self.points, self.records, authorizer=authorizer, limits=self.limits)
        self._device_events = DeviceEvents(
            *shared,
            dimming=self.dimming,
            limits=self.limits,
            reservations=self._reservations,
            admission=self.admission,
            start_responses=start_responses,
            snapshots=self.snapshots,
        )
        self._flasher = Flasher(devices.firmware_writers, self.records)
        self._notices = Notices(
            self.records,
            parameters=self._parameters,
            energy_manager=self.energy_manager,
            dimming=self.dimming,
            cluster_shares=self.cluster_shares,
            limits=self.limits,
            sampler=self.sampler,
            authorizer=authorizer,
            start_responses=start_responses,
        )
        self._commands = CommandDispatcher(
            self.state,
            self.records,
            redis,
            [
                ChargingHandlers(self.points, self.records, self.admission),
                UnlockHandlers(self.points),
                FlashingHandlers(self.points, self._flasher),
                AvailabilityHandlers(*shared, self._reservations),
                ReservationHandlers(*shared, self._reservations),
                ResetHandlers(*shared, device_events=self._device_events, power=host.power),
            ],
        )

        # What runs.
        self._recovery = Recovery(
            *shared,
            changes=changes,
            reservations=self._reservations,
            session_records=session_records,
            dimming=self.dimming,
            limits=self.limits,
            start_responses=start_responses,
            statuses=self._statuses,
            wake_ups=wake_ups,
        )
        self._periodic = Periodic(
            *shared,
            reservations=self._reservations,
            notices=self._notices,
            cars=self.admission,
            modem=host.modem,
            clock_watch=ClockWatch(self.points, self.records, host.clock),
        )
        self.state.readers = [ReaderRecord(connector_id=connector_id) for connector_id, _ in devices.readers]
        self._readers = [
            ReaderPoll(reader, record, self._device_events, points=self.points.values())
            for (_, reader), record in zip(devices.readers, self.state.readers, strict=True)
        ]
        self._io = devices.io
        self._board_heartbeats = BoardHeartbeats(devices.heartbeats, points=self.points, database=self.database)
        self._modbus = ModbusService(
            *shared, energy_manager=self.energy_manager, limits=self.limits, snapshots=self.snapshots
        )
        self._cluster = ClusterService(
            *shared,
            shares=self.cluster_shares,
            limits=self.limits,
            snapshots=self.snapshots,
            grid_operator=self.dimming,
        )
        changes.listen(
            points=(
                self._reservations,
                self._statuses,
                self.snapshots,
                self.limits,
                self.sampler,
                self._lamps,
                self.admission,
                self._cluster,
            ),
            station=(self._statuses, self.snapshots, self.limits, self._lamps),
        )

    def _make_signed_metering(
        self, meters: Mapping[int, SigningMeter], host: Host, wake_ups: WakeUps
    ) -> SignedMetering | None:
        """Give the points with a calibrated meter what signs there; None: there is none."""
        signing = [(self.points[number], meter) for number, meter in meters.items() if number in self.points]
        if not signing:
            return None
        archive = Archive(self.records, self.state)
        for point, meter in signing:
            point.set_signing(
                Signing(
                    point,
                    meter,
                    archive,
                    records=self.records,
                    parameters=self._parameters,
                    wake_ups=wake_ups,
                    wall_clock=host.clock,
                )
            )
        return SignedMetering(archive, self.state, {point.number: point for point, _ in signing})

    def _held_by_board(self, number: int) -> MilliAmpere | None:
        held = self.points[number].actuator.held
        return held.limit if held is not None else None

    async def run(self) -> None:
        """Recover what a restart interrupted, then control the hardware until cancelled."""
        await self._load()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._statuses.run())
            group.create_task(self.snapshots.run())
            group.create_task(self._recovery.run())
            for point in self.points.values():
                group.create_task(poll_controller(point, self._device_events, self._flasher))
                group.create_task(poll_meter(point, self._device_events))
            for number in self._board_heartbeats.boards:
                group.create_task(self._board_heartbeats.run(number))
            for reader in self._readers:
                group.create_task(reader.run())
            if self._io is not None:
                group.create_task(poll_io(self._io, self._device_events, self.dimming))
                if Signal.DIMMING in self._io.signals:
                    group.create_task(self.dimming.watch())
            if self._signed_metering is not None:
                group.create_task(self._signed_metering.run())
            group.create_task(self.sampler.run())
            group.create_task(self.limits.run())
            group.create_task(self.dimming.run())
            group.create_task(self._periodic.run())
            group.create_task(self._modbus.run())
            group.create_task(self._cluster.run())

    async def _load(self) -> None:
        await self._parameters.load()
        await self.energy_manager.load()
        await self.dimming.load()
        await self.cluster_shares.load()
        await self.limits.load()
        await self._reservations.reload()
        await self.admission.load()
        for point in self.points.values():
            point.load_availability(await self.records.execute(connectors.availability, point.number))
            await self._flasher.load(point)
            point.take_aligned_register(await self.records.execute(connectors.aligned_register, point.number))
        of_station = await self.records.execute(connectors.availability, 0)
        self.state.set_operative(operative=of_station.operative)

    async def stop(self, *, comes_back: bool) -> None:
        """End with registers noted and sessions open in the books; the next start resumes or closes them.

        `comes_back`: another control loop follows at once and takes the energy over as it is. Otherwise energy is
        withdrawn first, because the boards would go on delivering with nobody in control.
        """
        if not comes_back:
            actuators = {number: point.actuator for number, point in self.points.items()}
            await withdraw_energy(actuators, until_s=clock.monotonic_s() + WITHDRAW_S)
        # The others are lent the current only now that the boards are off.
        await self._cluster.stop(comes_back=comes_back)
        for point in self.points.values():
            await self._device_events.note_register(point)
        self.records.close()

    def told(self) -> str:
        """Return what it does, for systemd; empty until the first snapshot."""
        return f"controls {len(self.points)} charging points" if self.snapshots.has_begun else ""

    async def command(self, envelope: Envelope) -> None:
        """Carry out a command that came through the one door."""
        await self._commands.take(envelope)

    async def informed(self, message: MessageToControlLoop) -> None:
        """Take a message of another process."""
        await self._notices.take(message)
