"""One function takes out of any text what opens a door."""

import json
import logging

import pytest

from station.host.logs import MaskSecrets, UtcFormatter, mask_secrets

CANARY = "canary4711"


@pytest.mark.parametrize(
    "text",
    [
        f"https://files.example.com/up?sig={CANARY}",
        f"https://files.example.com/up?sv=2024&sp=w&sig={CANARY}%2F%3D&se=2026",
        f"https://bucket.example.com/k?X-Amz-Credential=A&X-Amz-Signature={CANARY}",
        f"https://files.example.com/up?{CANARY}",
        f"https://files.example.com/up?a=1#access_token={CANARY}",
        f"ftp://user:{CANARY}@files.example.com/up",
        f"https://{CANARY}@files.example.com/up",
        rf'[2,"1","GetDiagnostics",{{"location":"https:\/\/files.example.com\/up?sig=a\/{CANARY}"}}]',
        rf'[2,"1","GetDiagnostics",{{"location":"ftp:\/\/user:{CANARY}@files.example.com\/up"}}]',
        f'{{"location":"https://files.example.com/up?a=1\\u0026sig={CANARY}"}}',
        f"PUT /up?part=1&sig={CANARY} answered 403",
        f"GET /up?X-Goog-Signature={CANARY}",
        f"wss://backend.example.com/ocpp/CP1?token={CANARY}",
        f"token={CANARY}",
    ],
)
def test_no_form_of_a_signed_address_is_readable(text: str) -> None:
    assert CANARY not in mask_secrets(text)


@pytest.mark.parametrize(
    "text",
    [
        "wss://backend.example.com:443/ocpp/CP1",
        '[2,"1","StatusNotification",{"connectorId":1,"errorCode":"NoError","status":"Available"}]',
        "https://files.example.com/up/firmware-1.2.3.img: the server answered 404",
        "Why? Because.",
    ],
)
def test_what_opens_nothing_stays_readable(text: str) -> None:
    assert mask_secrets(text) == text


def test_the_place_itself_stays_readable() -> None:
    masked = mask_secrets(f"ftp://anna:{CANARY}@files.example.com/up?sig={CANARY}: refused")

    assert masked.startswith("ftp://anna:***@files.example.com/up?***")


def test_an_error_in_the_log_does_not_tell_the_address_it_is_about() -> None:
    handler = logging.Handler()
    handler.setFormatter(UtcFormatter("{message}", style="{"))
    try:
        raise OSError(f"https://files.example.com/up?sig={CANARY}")  # noqa: TRY301
    except OSError as error:
        record = logging.LogRecord("x", logging.ERROR, "x", 1, "failed", (), (type(error), error, error.__traceback__))
    MaskSecrets().filter(record)

    assert CANARY not in handler.format(record)
    assert "files.example.com" in handler.format(record)


def test_a_hostile_text_costs_no_more_than_its_length() -> None:
    for text in ("a://" * 20_000, "https://" + "a" * 80_000, "?" * 80_000, "&sig=" * 16_000, "a:b@" * 20_000):
        # Catastrophic backtracking would not come to an end here.
        mask_secrets(text)


@pytest.mark.parametrize("token", ["a", 'a"b', "a\\b", "x\\", "a\nb"])
def test_a_secret_in_the_text_of_a_data_transfer_is_masked(token):
    data = json.dumps({"token": token, "idTag": "CARD"})

    shown = mask_secrets(json.dumps([2, "1", "DataTransfer", {"data": data}]))

    assert json.loads(json.loads(shown)[3]["data"]) == {"token": "***", "idTag": "CARD"}
