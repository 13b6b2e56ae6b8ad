"""Where live configuration keys come from, and who stores the values of write-only keys.

The same in every process: measured values are read from the live snapshot and the tables, never from another process.
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from datetime import datetime

from django.conf import settings

from station import clock
from station.domain.configuration import ConfigurationKey, InvalidValue
from station.domain.faults import FaultCode
from station.domain.firmware import ImageRefused
from station.domain.moments import to_wire
from station.models import Connector
from station.services import accounts, backend_ca, configuration, identity, live

# The row the accepted activation code is kept in; the key itself is write-only and never listed.
_ACTIVATION_ROW = "/Product/ActivationCode"


def _number_in(key: ConfigurationKey) -> str:
    return str(key.connector_id)


def _current_date_time(_key: ConfigurationKey) -> str:
    return to_wire(clock.now())


def _meter_data(key: ConfigurationKey) -> str | None:
    hardware = live.hardware()
    point = hardware.point(int(_number_in(key))) if hardware else None
    if point is None or point.energy_wh is None:
        return None
    data = {
        "voltage": [None if value is None else value / 1000 for value in point.voltages_mv],
        "current": [None if value is None else value / 1000 for value in point.currents_ma],
        "power": point.power_w,
        "energy": point.energy_wh,
    }
    return json.dumps(data, separators=(",", ":"))


def _meter_key(key: ConfigurationKey) -> str:
    row = Connector.objects.filter(number=int(_number_in(key))).first()
    # As it is printed on the meter, and as the backend is handed it: one key, one spelling.
    return "".join(row.meter_public_key.split()).upper() if row else ""


def _mobile_signal(_key: ConfigurationKey) -> str | None:
    from station import host

    modem = host.for_settings().modem.status()
    return None if modem is None or modem.signal is None else str(modem.signal)


def _overvoltage_protection_failed(_key: ConfigurationKey) -> str:
    row = Connector.objects.filter(number=0).first()
    failed = row is not None and FaultCode.OVER_VOLTAGE_PROTECTION_FAILURE.value in row.fault_codes
    return "true" if failed else "false"


def _feature(_key: ConfigurationKey) -> str:
    # Only features that the activation code switches on have a key at all.
    return "true"


def features_of(rows: Mapping[str, str]) -> tuple[str, ...]:
    """Name the product features that the activation code among the stored rows switches on."""
    code = rows.get(_ACTIVATION_ROW)
    if code is None:
        return ()
    try:
        return _read_code(code)
    except InvalidValue:
        return ()


def _read_code(code: str) -> tuple[str, ...]:
    """Check an activation code: base64url of {"serial", "features"}, a dot, base64url of the maker's signature."""
    from station.host.updates import update_key

    body, _, signature = code.strip().partition(".")
    try:
        message, proof = base64.urlsafe_b64decode(_padded(body)), base64.urlsafe_b64decode(_padded(signature))
        update_key(settings.DATA, is_simulated=settings.SIMULATE).verify(proof, message)
        content = json.loads(message)
        named = content["features"]
        if content["serial"] != identity.load().serial or not all(isinstance(name, str) for name in named):
            raise InvalidValue("activation_code")
    except (binascii.Error, ValueError, KeyError, TypeError, ImageRefused) as problem:
        raise InvalidValue("activation_code") from problem
    return tuple(sorted(named))


def _padded(text: str) -> str:
    return text + "=" * (-len(text) % 4)


def _take_activation_code(value: str, at: datetime) -> None:
    _read_code(value)
    configuration.store(_ACTIVATION_ROW, value, at)


LIVE: Mapping[str, Callable[[ConfigurationKey], str | None]] = {
    "CurrentDateTime": _current_date_time,
    "/hw/connectors/<connector-id>/data": _meter_data,
    "/hw/connectors/<connector-id>/meter/key": _meter_key,
    "MeterPublicKey<connector-id>": _meter_key,
    "/Network/Gateway/Device/Connection/signal": _mobile_signal,
    "/Safety/Ovp/failed": _overvoltage_protection_failed,
    "/Product/Features/<feature>": _feature,
}
WRITE: Mapping[str, Callable[[str, datetime], None]] = {
    "/ocpp/caFile": backend_ca.install_file,
    "/WebUi/password/reset": accounts.take_password_from_backend,
    "/Product/ActivationCode": _take_activation_code,
}
