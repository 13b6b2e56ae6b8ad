"""Which credentials to try: the configured ones, and those that worked last while new ones have not proved themselves.

A new AuthorizationKey or SecurityProfile is used from the next connection on. Until it has worked once, the proven
ones are tried in turn with it: the backend may not have stored the key yet, or the profile may not work (security
whitepaper, A02 and A05).
"""

import json
import logging
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from ocpp_client.connection.endpoint import Endpoint
from ocpp_client.connection.failures import CREDENTIALS, Failure
from station import private_files
from station.domain.configuration import ConfigurationRefused, Origin
from station.services import configuration, event_log, secret_storage

logger = logging.getLogger(__name__)


def _proven_file() -> Path:
    return settings.DATA.certificates / "proven_credentials.json"


@dataclass(kw_only=True)
class Credentials:
    """Remembers what worked, over restarts, and chooses the next attempt. Called in the database thread."""

    _proven: Endpoint | None = field(default=None, repr=False)
    _fall_back: bool = False

    def load(self) -> None:
        """Read what worked last."""
        try:
            content: dict[str, Any] = json.loads(_proven_file().read_text())
            stored = content.pop("authorization_key")
            key = secret_storage.decrypt(stored)
            # Credentials whose key is lost are of no use.
            self._proven = None if key is None else Endpoint(**content, authorization_key=key)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            self._proven = None
            return
        if self._proven is not None and stored and stored == key:
            # An earlier version has written it in clear.
            _save(self._proven)

    @property
    def proven(self) -> Endpoint | None:
        """What worked last."""
        return self._proven

    def forget(self) -> None:
        """Forget what worked."""
        self._proven = None
        _proven_file().unlink(missing_ok=True)

    def choose(self, wanted: Endpoint) -> Endpoint:
        """Return the endpoint for the next attempt."""
        proven = self._proven
        if not self._fall_back or proven is None or not proven.fits(wanted):
            return wanted
        return wanted.with_credentials_of(proven)

    def failed(self, wanted: Endpoint, failure: Failure) -> None:
        """Learn from a failed attempt: change sides if that may help."""
        proven = self._proven
        if proven is None or not proven.fits(wanted) or wanted.with_credentials_of(proven) == wanted:
            return
        if failure in CREDENTIALS:
            self._fall_back = not self._fall_back

    def reset(self) -> None:
        """Begin with the configured ones again: they have changed."""
        self._fall_back = False

    def worked(self, used: Endpoint, wanted: Endpoint, at: datetime) -> None:
        """Learn from an accepted registration; a SecurityProfile that did not work goes back to the one that did."""
        if used.security_profile != wanted.security_profile:
            event_log.log("backend.profile.fallback", at=at, wanted=wanted.security_profile, used=used.security_profile)
            try:
                configuration.change(
                    {"SecurityProfile": str(used.security_profile)}, origin=Origin.LOCAL, actor="fallback", at=at
                )
            except ConfigurationRefused:
                logger.exception("The security profile cannot be taken back")
        proven = replace(used, verify_hostname=True)
        if self._proven is not None and proven.base_url != self._proven.base_url:
            event_log.log("backend.address.accepted", at=at, address=proven.base_url, before=self._proven.base_url)
        if proven != self._proven:
            self._proven = proven
            try:
                _save(proven)
            except (OSError, secret_storage.KeyFileUnusable):
                # The connection is worth more than the memory of it.
                logger.exception("What has worked cannot be remembered over a restart")


def _save(proven: Endpoint) -> None:
    content = {
        "base_url": proven.base_url,
        "identity": proven.identity,
        "security_profile": proven.security_profile,
        "authorization_key": proven.authorization_key and secret_storage.encrypt(proven.authorization_key),
    }
    private_files.write(_proven_file(), json.dumps(content).encode())
