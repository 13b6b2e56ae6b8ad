"""The page of the modem, and its antenna mode."""

import json
from typing import Any

import pytest
from django.test import Client

from station.models import AuditEntry
from station.paths import DataDirectory
from station.services import configuration
from tests.system_bus import SystemBus

PAGE, ANTENNA = "/network/mobile", "/network/mobile/antenna"


def world(data: DataDirectory, **modem: object) -> None:
    data.simulation.mkdir(exist_ok=True)
    (data.simulation / "host.json").write_text(json.dumps({"modem": modem}))


def page(browser: Client, path: str = PAGE, language: str = "en") -> str:
    answer = browser.get(path, headers={"Accept-Language": language})
    assert answer.status_code == 200
    return answer.content.decode()


def enter(browser: Client, language: str = "en", **values: str) -> tuple[int, str]:
    form = {f"mobile-{name}": value for name, value in values.items()}
    answer = browser.post(PAGE, form, headers={"Accept-Language": language}, follow=True)
    return answer.status_code, answer.content.decode()


def test_an_online_modem_shows_what_it_says(browser: Client, data: DataDirectory) -> None:
    world(data, signal=62)

    shown = page(browser)

    assert "Online over the mobile network." in shown
    assert "62\N{NO-BREAK SPACE}% · good" in shown
    assert 'data-fact="imei">004999010640000<' in shown


@pytest.mark.parametrize(
    ("modem", "english", "german"),
    [
        ({"sim": "absent"}, "There is no SIM card in the modem.", "Im Modem ist keine SIM-Karte."),
        ({"sim": "locked"}, "The SIM card asks for its PIN.", "Die SIM-Karte verlangt ihre PIN."),
        ({"registration": "denied"}, "The mobile network refuses the SIM card.", "weist die SIM-Karte ab."),
        ({"registration": "searching"}, "The modem is searching", "Das Modem sucht ein Mobilfunknetz."),
        ({"registration": "searching", "signal": 9}, "The signal is too weak", "Das Signal ist zu schwach"),
    ],
)
def test_an_offline_modem_says_why(
    browser: Client, data: DataDirectory, modem: dict[str, object], english: str, german: str
) -> None:
    world(data, **modem)

    assert english in page(browser)
    assert german in page(browser, language="de")


def test_a_wrong_pin_is_told_with_the_tries_left_and_is_never_sent_twice(browser: Client, data: DataDirectory) -> None:
    world(data, sim="locked")

    _status, said = enter(browser, pin="9999")
    enter(browser, serviceMode="4g")

    assert "The SIM card has refused the PIN." in said
    assert "Tries left: 2." in page(browser)
    assert "Verbleibende Versuche: 2." in page(browser, language="de")
    assert "9999" not in page(browser)
    assert "9999" not in str(list(AuditEntry.objects.values_list("data", flat=True)))


def test_an_entry_that_is_refused_does_not_have_the_old_pin_sent_again(browser: Client, data: DataDirectory) -> None:
    world(data, sim="locked")
    enter(browser, pin="9999")

    enter(browser, pin="12")
    enter(browser, serviceMode="4g")

    assert "Tries left: 2." in page(browser)


def test_a_pin_that_is_not_sent_because_one_try_is_left_is_told(browser: Client, data: DataDirectory) -> None:
    world(data, sim="locked")
    enter(browser, pin="9999")
    enter(browser, pin="8888")

    _status, said = enter(browser, pin="1234")

    # As the answer to what was entered, and as the state of the modem.
    assert said.count("The station sends none.") == 2


def test_the_right_pin_goes_online(browser: Client, data: DataDirectory) -> None:
    world(data, sim="locked")

    enter(browser, pin="1234")

    assert "Online over the mobile network." in page(browser)


def test_a_refused_access_point_is_told_and_another_provider_mends_it(browser: Client, data: DataDirectory) -> None:
    world(data, signal=80)
    enter(browser, provider="custom", apn="wrong.invalid")
    assert "refuses the access point (APN)" in page(browser)

    enter(browser, provider="de-vodafone")

    assert "Online over the mobile network." in page(browser)
    assert 'data-fact="apn">web.vodafone.de<' in page(browser)


def test_a_provider_of_ones_own_needs_its_access_point(browser: Client) -> None:
    status, said = enter(browser, provider="custom", apn="")

    assert status == 422
    assert "A provider of your own needs its APN" in said
    assert configuration.get("/mobile/provider") == "automatic"


@pytest.mark.parametrize("pin", ["12", "123456789", "12a4"])
def test_what_is_no_pin_is_refused_beside_the_field(browser: Client, pin: str) -> None:
    status, said = enter(browser, "de", pin=pin)

    assert status == 422
    assert "Eine PIN hat 4 bis 8 Ziffern." in said


def test_the_antenna_mode_keeps_the_best_value_seen(browser: Client, data: DataDirectory) -> None:
    world(data, signal=40)
    assert 'name="best" value="40"' in page(browser, ANTENNA)

    world(data, signal=71)
    assert 'name="best" value="71"' in page(browser, f"{ANTENNA}/live?best=40")

    world(data, signal=30)
    shown = page(browser, f"{ANTENNA}/live?best=71")
    assert 'data-fact="best">71\N{NO-BREAK SPACE}%<' in shown
    assert "<output>30\N{NO-BREAK SPACE}%</output>" in shown


@pytest.mark.parametrize("best", ["-1", "1e3", "999", "x", "٣"])
def test_nonsense_is_no_best_value(browser: Client, data: DataDirectory, best: str) -> None:
    world(data, signal=50)

    shown = page(browser, f"{ANTENNA}/live?best={best}")

    assert 'name="best" value="50"' in shown or 'name="best" value="100"' in shown


def test_on_a_computer_without_the_service_the_page_says_so(
    browser: Client, system_bus: SystemBus, settings: Any
) -> None:
    settings.SIMULATE = False

    assert "Not available: ModemManager does not run on this computer." in page(browser)
    _status, said = enter(browser, "de", provider="de-vodafone")

    assert "das Modem hat sie noch nicht übernommen. Nicht verfügbar: ModemManager läuft" in said
    assert configuration.get("/mobile/provider") == "de-vodafone"
