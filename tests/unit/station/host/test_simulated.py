import json

from station.host.network import SimulatedNetwork
from station.host.simulated.host_file import HostFile
from station.host.simulated.memory import Memory
from station.host.simulated.modem import SimulatedModem


def test_the_bench_cuts_the_link_and_turns_the_signal_down(tmp_path) -> None:
    path = tmp_path / "host.json"
    file = HostFile(path)
    network, modem = SimulatedNetwork(file), SimulatedModem(file, Memory(tmp_path / "modem.json"))
    assert network.uplink_up()

    path.write_text(json.dumps({"modem": {"signal": 7}, "backend_link": False, "revision": 2}))

    assert not network.uplink_up()
    assert modem.status().signal == 7


def test_a_broken_file_means_the_basic_state(tmp_path) -> None:
    path = tmp_path / "host.json"
    for content in ("", "{", "[]", '{"modem": 3}', '{"modem": {"signal": null}}'):
        path.write_text(content)

        assert SimulatedNetwork(HostFile(path)).uplink_up()
