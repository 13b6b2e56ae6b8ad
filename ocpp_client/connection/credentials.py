"""Which credentials to try: the configured ones, and those that worked last while new ones have not proved themselves.

A new AuthorizationKey or SecurityProfile is used from the next connection on. Until it has worked once, the proven
ones are tried in turn with it: the backend may not have stored the key yet, or the profile may not work (security
whitepaper, A02 and A05).

A key that came over a link on which the backend has not proved who it is may be an attacker's, who takes whatever key
the station shows. The key before it is therefore kept, and tried where the others are refused.
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
    _earlier_key: str = field(default="", repr=False)
    # Which of the possible endpoints is next.
    _turn: int = 0

    def load(self) -> None:
        """Read what worked last."""
        try:
            content: dict[str, Any] = json.loads(_proven_file().read_text())
            self._earlier_key = secret_storage.decrypt(content.pop("earlier_key", "")) or ""
            stored = content.pop("authorization_key")
            key = secret_storage.decrypt(stored)
            # Credentials whose key is lost are of no use.
            self._proven = None if key is None else Endpoint(**content, authorization_key=key)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            self._proven = None
            return
        if self._proven is not None and stored and stored == key:
            # An earlier version has written it in clear.
            _save(self._proven, self._earlier_key)

    @property
    def proven(self) -> Endpoint | None:
        """What worked last."""
        return self._proven

    def forget(self) -> None:
        """Forget what worked."""
        self._proven, self._earlier_key = None, ""
        _proven_file().unlink(missing_ok=True)

    def choose(self, wanted: Endpoint) -> Endpoint:
        """Return the endpoint for the next attempt."""
        possible = self._possible(wanted)
        return possible[self._turn % len(possible)]

    def _possible(self, wanted: Endpoint) -> list[Endpoint]:
        proven = self._proven
        if proven is None or not proven.fits(wanted):
            return [wanted]
        possible = [wanted, wanted.with_credentials_of(proven)]
        if self._earlier_key:
            possible.append(replace(wanted, authorization_key=self._earlier_key))
        return list(dict.fromkeys(possible))

    def failed(self, wanted: Endpoint, failure: Failure) -> None:
        """Learn from a failed attempt: try others if that may help."""
        if failure in CREDENTIALS and len(self._possible(wanted)) > 1:
            self._turn += 1

    def reset(self) -> None:
        """Begin with the configured ones again: they have changed."""
        self._turn = 0

    def worked(self, used: Endpoint, wanted: Endpoint, at: datetime, *, is_trusted: bool = False) -> None:
        """Learn from an accepted registration; a SecurityProfile that did not work goes back to the one that did.

        `is_trusted`: the backend has proved who it is.
        """
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
        earlier_key = "" if is_trusted else self._key_to_keep(used)
        if (proven, earlier_key) != (self._proven, self._earlier_key):
            if earlier_key and used.authorization_key == earlier_key != wanted.authorization_key:
                event_log.log("backend.key.fallback", at=at)
            self._proven, self._earlier_key = proven, earlier_key
            try:
                _save(proven, earlier_key)
            except (OSError, secret_storage.KeyFileUnusable):
                # The connection is worth more than the memory of it.
                logger.exception("What has worked cannot be remembered over a restart")

    def _key_to_keep(self, used: Endpoint) -> str:
        """Return the key that worked before anybody unproven has set another one."""
        before = self._proven
        if before is None or not before.fits(used):
            return ""
        if self._earlier_key or before.authorization_key == used.authorization_key:
            return self._earlier_key
        return before.authorization_key


def _save(proven: Endpoint, earlier_key: str) -> None:
    content = {
        "base_url": proven.base_url,
        "identity": proven.identity,
        "security_profile": proven.security_profile,
        "authorization_key": proven.authorization_key and secret_storage.encrypt(proven.authorization_key),
        "earlier_key": earlier_key and secret_storage.encrypt(earlier_key),
    }
    private_files.write(_proven_file(), json.dumps(content).encode())
