"""What becomes of settings in the language of nft."""

import pytest

from station.host import firewall
from station.host.firewall import Networks, Openings, SettingMakesNoSense, elements


def test_what_is_switched_on_is_written_once_and_read_again(tmp_path):
    file = tmp_path / "firewall.json"
    openings = Openings(modbus_ports=(502, 503), cluster_port=6380, mdns=True)

    assert openings.write(file)
    assert not openings.write(file)

    assert Openings.read(file) == openings
    assert file.stat().st_mode & 0o077 == 0


def test_nothing_is_opened_by_what_is_missing_or_no_port(tmp_path):
    file = tmp_path / "firewall.json"
    assert Openings.read(file) == Openings()

    file.write_text('{"modbus_ports": [502, true, 0, 65536, "22", 1.5], "cluster_port": "22"}')

    assert Openings.read(file) == Openings(modbus_ports=(502,))


def test_the_sets_hold_exactly_the_settings():
    networks = Networks.read({"STATION_SERVICE_INTERFACES": "usb0 usb1", "STATION_LAN_INTERFACES": ""})

    assert elements(Openings(modbus_ports=(502,)), networks) == (
        "flush set inet station service_interfaces\n"
        'add element inet station service_interfaces { "usb0", "usb1" }\n'
        "flush set inet station lan_interfaces\n"
        "flush set inet station shared_interfaces\n"
        "flush set inet station lan_ports\n"
        "add element inet station lan_ports { 80, 443, 502 }\n"
        "flush set inet station lan_udp_ports\n"
    )


def test_stations_of_a_cluster_find_one_another_only_while_it_is_switched_on():
    added = "add element inet station lan_udp_ports { 5353 }\n"

    assert added in elements(Openings(mdns=True), Networks())
    assert added not in elements(Openings(), Networks())


@pytest.mark.parametrize("name", ['eth0"', "a;b", "eth0}", "-eth0", "a" * 16, "$lan", "wlan*"])
def test_a_name_that_nft_would_read_otherwise_is_no_interface(name):
    with pytest.raises(SettingMakesNoSense):
        Networks.read({"STATION_LAN_INTERFACES": name})


def test_the_web_interface_is_open_or_not_but_never_perhaps():
    with pytest.raises(SettingMakesNoSense):
        Networks.read({"STATION_WEB_OVER_LAN": "off"})


def test_only_an_interface_of_the_site_is_ever_shared(tmp_path):
    networks = Networks.read({"STATION_LAN_INTERFACES": "eth0 eth1"})

    assert 'add element inet station shared_interfaces { "eth1" }' in elements(
        Openings(shared_interface="eth1"), networks
    )
    for other in ("usb0", "wwan0", "", "eth0; drop"):
        assert "add element inet station shared_interfaces" not in elements(Openings(shared_interface=other), networks)
    file = tmp_path / "firewall.json"
    Openings(shared_interface="eth1").write(file)
    assert Openings.read(file).shared_interface == "eth1"
    file.write_text('{"shared_interface": "eth0 } ; flush ruleset"}')
    assert Openings.read(file).shared_interface == ""


def test_what_is_switched_on_while_the_firewall_is_being_loaded_is_loaded_too(tmp_path, monkeypatch):
    rules, file, loaded = tmp_path / "rules", tmp_path / "firewall.json", []
    rules.write_text("table")

    def load(transaction: str) -> None:
        loaded.append(transaction)
        Openings(modbus_ports=(502,)).write(file)

    monkeypatch.setattr(firewall, "load", load)

    assert firewall.main([str(rules), str(file)]) == 0
    assert ["502" in each for each in loaded] == [False, True]


def test_a_setting_that_makes_no_sense_is_no_reason_to_try_again(tmp_path, monkeypatch):
    loaded = []
    (tmp_path / "rules").write_text("table")
    monkeypatch.setattr(firewall, "load", loaded.append)
    monkeypatch.setenv("STATION_WEB_OVER_LAN", "perhaps")

    # RestartPreventExitStatus= of the unit.
    assert firewall.main([str(tmp_path / "rules"), str(tmp_path / "firewall.json")]) == 78
    assert loaded == ["table"]
