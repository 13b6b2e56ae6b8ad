"""The configuration says what the firewall opens."""

from datetime import UTC, datetime

import pytest

from station.domain.commands import Origin
from station.host.firewall import CLUSTER_PORT, Openings
from station.paths import DataDirectory
from station.services import configuration

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.django_db
def test_what_is_switched_on_is_told_to_the_firewall_and_taken_back(data: DataDirectory) -> None:
    def change(**keys: str) -> Openings:
        named = {f"/{key.replace('_', '/')}": value for key, value in keys.items()}
        configuration.change(named, origin=Origin.WEB, actor="admin", at=AT)
        return Openings.read(data.firewall)

    assert change(modbus_enabled="true") == Openings(modbus_ports=(502, 503))
    leading = change(cluster_enabled="true", cluster_role="master", cluster_address="0.0.0.0:6390", cluster_limitA="63")
    assert leading == Openings(modbus_ports=(502, 503), cluster_port=6390, mdns=True)
    # A master that was told no address listens at the usual port.
    assert change(modbus_enabled="false", cluster_address="").cluster_port == CLUSTER_PORT
    # A slave asks; nobody needs to reach it, but it searches.
    assert change(cluster_role="slave", cluster_key="a pairing code") == Openings(mdns=True)
    assert change(cluster_enabled="false") == Openings()

    change(modbus_enabled="true")
    configuration.reset_to_factory(origin=Origin.WEB, actor="admin", at=AT)
    assert Openings.read(data.firewall) == Openings()
