"""Settings of the connection that are tried before they are saved: kept with whoever entered them, encrypted."""

import json
import uuid
from datetime import datetime

from django.http import HttpRequest

from station.services import secret_storage
from station.services.messages import TryBackend, send_to_ocpp_sync
from station.web.requests import signed_in

_TRIAL = "backend_trial"


def begin(request: HttpRequest, wanted: dict[str, str], *, at: datetime) -> None:
    """Have settings tried."""
    trial_id, sealed = str(uuid.uuid4()), secret_storage.encrypt(json.dumps(wanted))
    actor = signed_in(request).get_username()
    is_sent = send_to_ocpp_sync(TryBackend(trial_id=trial_id, sealed=sealed, actor=actor))
    request.session[_TRIAL] = {"id": trial_id, "sealed": sealed, "at": at.isoformat(), "is_sent": is_sent}


def current(request: HttpRequest) -> tuple[str, datetime, bool] | None:
    """Return the trial's id, when it began and whether the OCPP process was told; None where there is none."""
    held = request.session.get(_TRIAL)
    return (held["id"], datetime.fromisoformat(held["at"]), held["is_sent"]) if held else None


def settings(request: HttpRequest) -> dict[str, str]:
    """Return what is tried, secrets included; empty where there is nothing."""
    held = request.session.get(_TRIAL)
    opened = secret_storage.decrypt(held["sealed"]) if held else None
    wanted: dict[str, str] = json.loads(opened) if opened else {}
    return wanted


def forget(request: HttpRequest) -> None:
    """Drop the trial."""
    request.session.pop(_TRIAL, None)
