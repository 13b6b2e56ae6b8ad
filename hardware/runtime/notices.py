"""What other processes tell the control loop, and a look into the tables should such a message have been lost."""

from django.db import DatabaseError
from django.db.models import Count, Max

from hardware.runtime.authorizer import Authorizer
from hardware.runtime.cluster_shares import ClusterShares
from hardware.runtime.dimming import Dimming
from hardware.runtime.energy_manager import EnergyManager
from hardware.runtime.limits import LimitLoop
from hardware.runtime.parameters import Parameters
from hardware.runtime.records import RecordStore
from hardware.runtime.sampler import Sampler
from hardware.runtime.start_responses import StartResponses
from station.models import ChargingProfileRow
from station.services import configuration
from station.services.messages import (
    CardAuthorized,
    ConfigurationChanged,
    MessageToControlLoop,
    ProfilesChanged,
    StartAnswered,
)


class Notices:
    """Takes messages, and finds what they were about without them."""

    def __init__(
        self,
        records: RecordStore,
        *,
        parameters: Parameters,
        energy_manager: EnergyManager,
        dimming: Dimming,
        cluster_shares: ClusterShares,
        limits: LimitLoop,
        sampler: Sampler,
        authorizer: Authorizer,
        start_responses: StartResponses,
    ) -> None:
        self._records = records
        self._parameters = parameters
        self._energy_manager = energy_manager
        self._dimming = dimming
        self._cluster_shares = cluster_shares
        self._limits = limits
        self._sampler = sampler
        self._authorizer = authorizer
        self._start_responses = start_responses
        self._configuration: configuration.ConfigurationWatch | None = None
        self._profiles: object = None
        # News that could not be read yet; what changed between the first reading at the start and the first look is no
        # news to the watches.
        self._is_due = True

    async def take(self, message: MessageToControlLoop) -> None:
        """Take a message of another process."""
        match message:
            case CardAuthorized():
                self._authorizer.answered(message)
            case StartAnswered():
                await self._start_responses.take(message)
            case ConfigurationChanged() | ProfilesChanged():
                # What is taken back before the next look, and not told, would be no news to it.
                self._is_due = True
                await self._reload()

    async def catch_up(self) -> None:
        """Apply what other processes wrote, should their message have been lost."""
        await self._records.attempt(self._look)
        if self._is_due:
            # What is told while it is read is read again.
            self._is_due = False
            try:
                await self._reload()
            except BaseException as error:
                self._is_due = True
                if not isinstance(error, DatabaseError | OSError):
                    raise
                self._records.report_failure(error)
        await self._start_responses.catch_up()

    async def _reload(self) -> None:
        await self._parameters.load()
        await self._energy_manager.load()
        await self._dimming.load()
        await self._cluster_shares.load()
        await self._limits.load()
        self._sampler.wake()
        await self._limits.apply()

    def _look(self) -> None:
        """Note news the moment they are found: neither watch tells them twice, and the next question may fail."""
        if self._configuration is None:
            self._configuration = configuration.ConfigurationWatch()
        self._is_due |= self._configuration.has_news()
        profiles = ChargingProfileRow.objects.aggregate(Count("id"), Max("id"))
        self._is_due |= self._profiles is not None and profiles != self._profiles
        self._profiles = profiles
