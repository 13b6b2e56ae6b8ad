"""Which device hangs on which line, as hardware.json says it; for pages, which must not import drivers."""

import json
from dataclasses import dataclass
from typing import Any

from django.conf import settings

CONTROLLER, METER, READER = "controller", "meter", "reader"


@dataclass(frozen=True, kw_only=True)
class WiredDevice:
    """A device and its line; `connector_id` None: it belongs to the station."""

    kind: str
    connector_id: int | None
    driver: str
    line: str


def devices() -> tuple[WiredDevice, ...]:
    """Return the devices in the order of the charging points; none where the file cannot be read."""
    try:
        content = json.loads(settings.DATA.hardware.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()
    found: list[WiredDevice] = []
    if not isinstance(content, dict):
        return ()
    for number, point in enumerate(_list(content.get("connectors")), 1):
        kinds = [kind for kind in (CONTROLLER, METER) if isinstance(point.get(kind), dict)]
        found += [_device(kind, number, point[kind]) for kind in kinds]
    found += [_device(READER, reader.get("connector"), reader) for reader in _list(content.get("readers"))]
    return tuple(found)


def _list(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _device(kind: str, connector_id: Any, options: dict[str, Any]) -> WiredDevice:
    parts = [str(options.get("port", "")).rpartition("/")[2]]
    if "address" in options:
        parts.append(f"#{options['address']}")
    if "baudrate" in options:
        parts.append(f"{options['baudrate']} Bd")
    number = connector_id if isinstance(connector_id, int) else None
    return WiredDevice(kind=kind, connector_id=number, driver=str(options.get("driver", "")), line=" · ".join(parts))
