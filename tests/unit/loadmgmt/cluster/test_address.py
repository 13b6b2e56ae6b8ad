"""One configuration key says where a master listens, or where it is found."""

import pytest

from loadmgmt.cluster.address import EVERY_ADDRESS, Target
from station.host.firewall import CLUSTER_PORT


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("192.168.1.5:6390", "192.168.1.5", 6390),
        ("[fd00::5]:6390", "fd00::5", 6390),
        ("station-1.local:1", "station-1.local", 1),
    ],
)
def test_an_address_is_read_and_written_the_same(text: str, host: str, port: int) -> None:
    assert Target.parse(text) == Target(host, port)
    assert str(Target.parse(text)) == text
    assert Target.to_listen(text) == Target(host, port)


def test_a_master_without_an_address_listens_everywhere_at_the_usual_port() -> None:
    assert Target.to_listen("") == Target(EVERY_ADDRESS, CLUSTER_PORT)
