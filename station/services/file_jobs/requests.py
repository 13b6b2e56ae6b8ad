"""What the backend has asked for, as a row keeps it: whole, but encrypted; readable without what opens the place."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from station.models import FileJob
from station.services import secret_storage

_LOCATIONS = ("location", "remoteLocation")


def protected(request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return a request encrypted, and readable without its secrets; what holds none needs no encryption."""
    readable = without_secrets(request)
    return ("" if readable == request else secret_storage.encrypt(json.dumps(request))), readable


def whole(job: FileJob) -> dict[str, Any]:
    """Return a job's request; without its location where the key to it is lost."""
    if not job.encrypted_request:
        return dict(job.request)
    clear = secret_storage.decrypt(job.encrypted_request)
    return dict(json.loads(clear)) if clear is not None else _without_locations(job.request)


def locations(request: Mapping[str, Any]) -> Iterator[str]:
    """Find the locations in a request of any of the four kinds."""
    nested = (request.get("firmware", {}).get("location"), request.get("log", {}).get("remoteLocation"))
    yield from (str(one) for one in (request.get("location"), *nested) if one)


def without_secrets(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request without user, password and query of its locations."""
    return _replaced(request, _without_secret)


def _without_locations(request: Mapping[str, Any]) -> dict[str, Any]:
    return _replaced(request, lambda _location: "")


def _replaced(request: Mapping[str, Any], replace: Any) -> dict[str, Any]:
    cleaned: dict[str, Any] = {}
    for name, value in request.items():
        if isinstance(value, dict):
            cleaned[name] = _replaced(value, replace)
        else:
            cleaned[name] = replace(str(value)) if name in _LOCATIONS else value
    return cleaned


def _without_secret(location: str) -> str:
    try:
        parts = urlsplit(location)
    except ValueError:
        return ""
    # A query may be a signature that opens the place.
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
