"""A new address of the backend is on trial until a backend there has accepted the station.

Whoever changed it may have made a mistake, and then nobody could reach the station any more. An address that does not
lead to an Accepted BootNotification within five minutes is taken back, together with the profile and the key that
worked at the old one. Only the time in which this process ran counts, over restarts; neither the wall clock nor a
further change by the unknown backend prolongs it.
"""

import asyncio
import logging
import math
from datetime import datetime
from typing import Protocol

from django.db import DatabaseError, transaction

from ocpp_client.connection.endpoint import Endpoint
from ocpp_client.connection.state import ConnectionState, Trial
from ocpp_client.database import in_database
from station import clock
from station.domain.configuration import ConfigurationRefused, Origin
from station.models import BackendState
from station.services import configuration, event_log

logger = logging.getLogger(__name__)

TRIAL_S = 300.0
LOOK_S = 5.0
ACTOR = "trial of the address"


class TriedConnection(Protocol):
    """The connection whose address is on trial."""

    @property
    def proven(self) -> Endpoint | None:
        """What has led to an Accepted BootNotification last."""

    def reconnect(self) -> None:
        """Connect anew: the address has changed."""


class AddressTrial:
    """Takes back an address that does not work."""

    def __init__(
        self, state: ConnectionState, connection: TriedConnection, *, trial_s: float = TRIAL_S, look_s: float = LOOK_S
    ) -> None:
        self._state = state
        self._connection = connection
        self._trial_s = trial_s
        self._look_s = look_s
        self._seen_url: str | None = None
        self._may_have_spent = True
        # Time that could not be written down yet.
        self._unsaved_s = 0.0

    async def run(self) -> None:
        """Watch for as long as the process lives."""
        last_s = clock.monotonic_s()
        while True:
            await asyncio.sleep(self._look_s)
            now_s = clock.monotonic_s()
            elapsed_s, last_s = now_s - last_s, now_s
            try:
                await self._look(elapsed_s)
            except DatabaseError:
                logger.exception("The trial of the backend's address could not be written down")

    async def _look(self, elapsed_s: float) -> None:
        present, proven = self._state.endpoint, self._connection.proven
        url = present.base_url if present is not None else ""
        if url != self._seen_url:
            self._seen_url, self._unsaved_s = url, 0.0
            self._state.taken_back_url = await in_database(_taken_back_url)
            self._state.note_change()
        if present is None or proven is None or url == proven.base_url:
            if self._may_have_spent:
                await in_database(_settle)
                self._may_have_spent = False
            self._show(None)
            return
        self._may_have_spent = True
        if self._state.online:
            # Accepted; it is written down as the one that works in a moment.
            return
        self._unsaved_s += elapsed_s
        spent_s = await in_database(_spend, round(self._unsaved_s * 1000)) / 1000
        self._unsaved_s = 0.0
        if spent_s < self._trial_s:
            self._show(Trial(back_to=proven.base_url, minutes=math.ceil((self._trial_s - spent_s) / 60)))
            return
        if await in_database(_take_back, present, proven, clock.now()):
            self._show(None)
            self._connection.reconnect()

    def _show(self, trial: Trial | None) -> None:
        if trial != self._state.trial:
            self._state.trial = trial
            self._state.note_change()


def _taken_back_url() -> str:
    return BackendState.load().taken_back_url


def _settle() -> None:
    BackendState.objects.filter(trial_spent_ms__gt=0).update(trial_spent_ms=0)


def _spend(milliseconds: int) -> int:
    """Add to the time the trial has taken, and return it; a change at the station begins it anew."""
    with transaction.atomic():
        state = BackendState.load()
        state.trial_spent_ms += milliseconds
        state.save(update_fields=["trial_spent_ms"])
    return state.trial_spent_ms


def _take_back(failed: Endpoint, proven: Endpoint, at: datetime) -> bool:
    """Go back to what worked last; return whether that was possible."""
    if configuration.get("/ocpp/url") != failed.base_url:
        # Somebody has changed it this very moment.
        return False
    wanted = {
        "/ocpp/url": proven.base_url,
        "SecurityProfile": str(proven.security_profile),
        "AuthorizationKey": proven.authorization_key,
    }
    if configuration.get("/ocpp/chargeBoxIdentity") != proven.identity:
        wanted["/ocpp/chargeBoxIdentity"] = proven.identity
    with transaction.atomic():
        state = BackendState.load()
        try:
            configuration.change(wanted, origin=Origin.LOCAL, actor=ACTOR, at=at)
        except ConfigurationRefused:
            logger.exception("The address of the backend cannot be taken back")
            state.trial_spent_ms = 0
            state.save(update_fields=["trial_spent_ms"])
            return False
        state.trial_spent_ms, state.taken_back_url = 0, failed.base_url
        state.save(update_fields=["trial_spent_ms", "taken_back_url"])
        event_log.log("backend.address.taken_back", at=at, address=failed.base_url, back_to=proven.base_url)
    logger.warning("%s did not accept the station in time; back to %s", failed.base_url, proven.base_url)
    return True
