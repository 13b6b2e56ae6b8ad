"""Display – Branding: form fields for people, a preview of what is not saved yet, logos that are pictures only."""

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from station import clock
from station.domain.commands import Origin
from station.models import AuditEntry
from station.services import branding, configuration
from tests.db.station.web.conftest import Parts, point
from tests.unit.station.domain.test_png import header, picture

ADDRESS = "/display/branding"


def entered(**changes: str) -> dict[str, str]:
    """Return the form as the page sends it."""
    values = {"display-branding": "vendor", "display-language": "en", "Gui-Operator-Contact-phone": ""}
    for number in (1, 2):
        values |= {f"hw-connectors-{number}-evseId": "", f"hw-connectors-{number}-evseLabel": ""}
        values |= {f"price-{number}-amount": "", f"price-{number}-currency": "EUR", f"price-{number}-unit": "kWh"}
        values |= {f"price-{number}-url": ""}
    return values | {name.replace("__", "-"): value for name, value in changes.items()}


def say(answer: Any) -> str:
    return answer.content.decode().replace("\N{NO-BREAK SPACE}", " ")


@pytest.fixture
def english(browser: Client) -> Client:
    browser.cookies["django_language"] = "en"
    return browser


def test_what_is_entered_is_in_force_for_ocpp_too(english: Client, parts: Parts):
    answer = english.post(
        ADDRESS,
        entered(
            display__branding="operator",
            hw__connectors__1__evseId="DE*ABC*E12345*1",
            price__1__amount="0,49",
            price__1__url="https://pay.example/1",
        ),
    )

    assert answer.status_code == 302
    assert configuration.get("/display/branding") == "operator"
    assert configuration.get("/hw/connectors/1/evseId") == "DE*ABC*E12345*1"
    assert json.loads(configuration.get("/Price/1/adhoc")) == {
        "price": 0.49,
        "currency": "EUR",
        "unit": "kWh",
        "url": "https://pay.example/1",
    }
    assert configuration.get("/Price/2/adhoc") == ""


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("hw-connectors-1-evseId", "1234", "An EVSE ID like DE*ABC*E12345 is expected."),
        ("price-1-amount", "free", "A price like 0.49 is expected."),
        ("price-1-amount", "-1", "A price like 0.49 is expected."),
        ("price-1-currency", "Euro", "Three letters are expected, like EUR."),
        ("price-1-url", "javascript:alert(1)", "An address like https://pay.example.com/1 is expected."),
        ("price-1-url", "https://x/" + "y" * 600, "At most 500 characters"),
        ("Gui-Operator-Contact-phone", "call us", "A phone number may contain"),
    ],
)
def test_what_cannot_be_is_refused_beside_its_field_and_nothing_is_saved(
    english: Client, parts: Parts, field: str, value: str, sentence: str
):
    answer = english.post(ADDRESS, entered(hw__connectors__2__evseLabel="B") | {field: value})

    assert answer.status_code == 422
    assert sentence in say(answer)
    assert value[:20] in say(answer)
    assert configuration.get("/hw/connectors/2/evseLabel") == ""


def test_what_a_backend_has_added_to_the_price_stays(english: Client, parts: Parts):
    english.post(ADDRESS, entered(price__1__amount="0.49"))
    stored = json.loads(configuration.get("/Price/1/adhoc")) | {"tariff": "T1"}
    english.post(ADDRESS, entered(price__1__amount="0.49"))
    configuration.change(
        {"/Price/1/adhoc": json.dumps(stored)},
        origin=Origin.BACKEND,
        actor="backend",
        at=clock.now(),
    )

    english.post(ADDRESS, entered(price__1__amount="0.59"))

    assert json.loads(configuration.get("/Price/1/adhoc")) == stored | {"price": 0.59}


def test_the_preview_shows_the_form_before_it_is_saved(english: Client, parts: Parts):
    parts.show(point(1, phase="available"), point(2, phase="available"))

    html = say(
        english.post(
            f"{ADDRESS}/preview",
            entered(hw__connectors__1__evseId="DE*ABC*E1", price__1__amount="0.5", display__language="de"),
        )
    )

    assert "DE*ABC*E1" in html
    assert "0,50 €/kWh" in html
    assert "Frei" in html
    assert configuration.get("/hw/connectors/1/evseId") == ""


@pytest.mark.parametrize(
    ("sample", "title"), [("charging", "Charging"), ("refused", "Card refused"), ("fault", "Fault"), ("x", "Free")]
)
def test_the_preview_shows_every_state_without_a_car(english: Client, parts: Parts, sample: str, title: str):
    parts.show(point(1, phase="available"), point(2, phase="available"))

    assert f'display-state">{title}<' in say(english.post(f"{ADDRESS}/preview", entered(sample=sample)))


def test_a_preview_in_both_languages_speaks_that_of_the_page(english: Client, parts: Parts):
    parts.show(point(1, phase="available"))

    for language, title in (("de", "Frei"), ("en", "Free")):
        english.cookies["django_language"] = language
        html = say(english.post(f"{ADDRESS}/preview", entered(display__language="both")))
        assert f'display-state">{title}<' in html


def test_a_preview_of_nonsense_is_no_error(english: Client, parts: Parts):
    nonsense = entered(display__branding="x", display__language="x", price__1__amount="x", price__1__unit="<u>")

    assert english.post(f"{ADDRESS}/preview", nonsense).status_code == 200


def upload(browser: Client, content: bytes, brand: str = "operator") -> str:
    file = SimpleUploadedFile("logo.png", content)
    return say(browser.post(f"{ADDRESS}/logo/{brand}/set", {"logo": file}, follow=True))


def test_a_logo_is_stored_shown_audited_and_removed(english: Client, parts: Parts):
    text = upload(english, picture(header()) + b"behind the end")

    assert "The logo is stored." in text
    assert f"{ADDRESS}/logo/operator?" in text
    assert english.get(f"{ADDRESS}/logo/operator")["Content-Type"] == "image/png"
    stored = branding.read_logo("operator")
    assert stored is not None
    assert b"behind" not in stored
    assert AuditEntry.objects.filter(command="SetLogo", actor="admin").count() == 1

    english.post(f"{ADDRESS}/logo/operator/remove")

    assert branding.read_logo("operator") is None
    assert english.get(f"{ADDRESS}/logo/operator").status_code == 404


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"<svg onload='x'/>", "This is not a PNG file."),
        (picture(header())[:-9], "The file is damaged."),
        (picture(header(2000, 2)), "too many pixels"),
        (b"\x89PNG" + bytes(300_000), "256 kB at most"),
    ],
)
def test_what_is_no_logo_is_refused_with_what_to_do(english: Client, parts: Parts, content: bytes, sentence: str):
    upload(english, picture(header()))

    assert sentence in upload(english, content)
    assert branding.read_logo("operator") is not None


def test_there_are_two_logos_only(english: Client, parts: Parts):
    assert english.post(f"{ADDRESS}/logo/secret.key/remove").status_code == 404
