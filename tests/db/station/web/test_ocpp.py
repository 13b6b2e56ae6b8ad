"""The pages under OCPP: the way to the server, the trial of settings, messages and queue."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from station import clock
from station.domain.backend_ladder import Observation, Registered, Step
from station.domain.commands import Origin
from station.domain.facts import Fact, SessionBegan, SessionEnded
from station.domain.roles import Role
from station.domain.stamps import Stamp
from station.domain.units import WattHour
from station.models import AuditEntry, ChargingSession, OutboxMessage, UserProfile
from station.models.backend import OutboxStatus
from station.services import accounts, configuration, outbox, secret_storage
from station.services.messages import CheckBackend, MessageToOcpp, OutboxChanged, TryBackend
from station.web.pages import ocpp_trial
from tests.db.station.web.conftest import PASSWORD, Parts

pytestmark = pytest.mark.django_db
KEY = "0123456789abcdef"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[MessageToOcpp]:
    """What the OCPP process was told."""
    messages: list[MessageToOcpp] = []

    def tell(message: MessageToOcpp) -> bool:
        messages.append(message)
        return True

    for module in ("station.web.pages.ocpp", "station.web.pages.ocpp_queue", "station.web.backend_trials"):
        monkeypatch.setattr(f"{module}.send_to_ocpp_sync", tell)
    for module in ("station.web.pages.ocpp_trial", "station.web.settings_form"):
        monkeypatch.setattr(f"{module}.send_to_control_loop", lambda _message: True)
    return messages


def attempt(**changes: Any) -> Observation:
    seen = Observation(
        at=clock.now(), url="ws://csms.example.net/ocpp", host="csms.example.net", port=80, step=Step.BOOT, is_over=True
    )
    return replace(seen, **changes)


def page(browser: Client, path: str = "/communication/ocpp") -> str:
    return browser.get(path, HTTP_ACCEPT_LANGUAGE="en").content.decode()


def ask_for_trial(browser: Client, **entered: str) -> Any:
    form = {"action": "check", "ocpp-url": "wss://new.example.net/ocpp"} | entered
    return browser.post("/communication/ocpp", form, HTTP_ACCEPT_LANGUAGE="en")


def show(parts: Parts, **changes: Any) -> None:
    assert parts.backend is not None
    parts.backend = replace(parts.backend, **changes)


def test_the_step_that_fails_is_shown_with_what_to_do(browser: Client, parts: Parts) -> None:
    show(parts, connected=False, attempt=attempt(step=Step.WEBSOCKET, failure="identity_unknown", http_status=404))

    shown = page(browser)

    assert 'data-step="websocket" data-verdict="bad"' in shown
    assert "HTTP 404" in shown
    assert "Check the path in the address" in shown


def test_the_last_failure_is_told_while_a_connection_stands(browser: Client, parts: Parts) -> None:
    failed = attempt(step=Step.TCP, failure="connection_refused", ended_at=clock.now())
    show(parts, attempt=attempt(), registered=Registered(phase="accepted"), failed=failed)

    assert "Last failure" in page(browser)


def test_an_operator_sees_the_way_but_not_the_settings(admin: Any, parts: Parts, told: list[MessageToOcpp]) -> None:
    show(parts, attempt=attempt(), registered=Registered(phase="accepted"))
    user = accounts.make_user("wart", PASSWORD, Role.OPERATOR, origin=Origin.WEB, at=clock.now())
    UserProfile.objects.filter(user=user).update(must_change_password=False)
    operator = Client(HTTP_HOST="localhost")
    operator.post("/login", {"username": "wart", "password": PASSWORD})

    shown = page(operator)

    assert 'data-step="tcp"' in shown
    assert "ocpp-form" not in shown
    assert operator.post("/communication/ocpp", {"ocpp-url": "ws://x"}).status_code == 403
    assert operator.post("/communication/ocpp/check").status_code == 302
    assert told == [CheckBackend()]


def test_settings_are_tried_before_anything_is_saved(browser: Client, parts: Parts, told: list[MessageToOcpp]) -> None:
    before = configuration.get("/ocpp/url")

    answer = ask_for_trial(browser, SecurityProfile="1", AuthorizationKey=f"  {KEY} ")

    assert answer.url == "/communication/ocpp/trial"
    (message,) = told
    assert isinstance(message, TryBackend)
    assert KEY not in message.sealed
    tried = json.loads(secret_storage.decrypt(message.sealed) or "")
    assert tried["/ocpp/url"] == "wss://new.example.net/ocpp"
    assert tried["AuthorizationKey"] == KEY
    assert configuration.get("/ocpp/url") == before
    assert "being tried" in page(browser, "/communication/ocpp/trial")


def test_impossible_settings_are_refused_beside_the_field_and_not_tried(
    browser: Client, parts: Parts, told: list[MessageToOcpp]
) -> None:
    answer = ask_for_trial(browser, **{"ocpp-url": "http://wrong"})

    assert answer.status_code == 422
    assert "field-error" in answer.content.decode()
    assert told == []


def test_an_emptied_address_does_not_end_the_connection_in_force_unasked(
    browser: Client, parts: Parts, told: list[MessageToOcpp]
) -> None:
    configuration.change({"/ocpp/url": "wss://works.example.net"}, origin=Origin.WEB, actor="admin", at=clock.now())

    answer = ask_for_trial(browser, **{"ocpp-url": ""})

    assert answer.status_code == 422
    assert "There is no address to check" in answer.content.decode()
    assert configuration.get("/ocpp/url") == "wss://works.example.net"
    assert told == []


def test_a_trial_that_works_leads_back_to_the_page(browser: Client, parts: Parts, told: list[MessageToOcpp]) -> None:
    ask_for_trial(browser)
    show(parts, tried=attempt(), tried_id=told[0].trial_id)  # type: ignore[attr-defined]

    assert browser.get("/communication/ocpp/trial").url == "/communication/ocpp"  # type: ignore[attr-defined]
    polled = browser.get("/communication/ocpp/trial/seen", headers={"HX-Request": "true"})
    assert polled.status_code in {200, 302}


def test_a_trial_that_stopped_before_the_websocket_does_not_claim_that_the_connection_works(
    browser: Client, parts: Parts, told: list[MessageToOcpp]
) -> None:
    ask_for_trial(browser)
    tried = attempt(step=Step.TLS, stopped_early=True)
    show(parts, tried=tried, tried_id=told[0].trial_id)  # type: ignore[attr-defined]

    shown = browser.get("/communication/ocpp/trial", follow=True).content.decode()

    assert "The connection works" not in shown
    assert "Whether it takes the station was not tried" in shown


def test_a_trial_whose_settings_are_in_force_is_not_said_to_have_saved_nothing(
    browser: Client, parts: Parts, told: list[MessageToOcpp], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The OCPP process is killed between saving the settings and saying so."""
    monkeypatch.setattr(ocpp_trial, "_LONGEST", timedelta(0))
    ask_for_trial(browser, SecurityProfile="1", AuthorizationKey=KEY)
    wanted = json.loads(secret_storage.decrypt(told[0].sealed) or "")  # type: ignore[attr-defined]
    configuration.change(wanted, origin=Origin.WEB, actor="admin", at=clock.now())

    answer = browser.get("/communication/ocpp/trial", follow=True)

    assert "Nothing was saved" not in answer.content.decode()
    assert answer.redirect_chain[-1][0] == "/communication/ocpp"


def test_a_trial_that_fails_offers_to_save_anyway_and_keeps_what_was_entered(
    browser: Client, parts: Parts, told: list[MessageToOcpp]
) -> None:
    ask_for_trial(browser, SecurityProfile="1", AuthorizationKey=KEY)
    show(parts, tried=attempt(step=Step.NAME, failure="name_unknown"), tried_id=told[0].trial_id)  # type: ignore[attr-defined]

    assert "Save untried settings" in page(browser, "/communication/ocpp/trial")
    assert "wss://new.example.net/ocpp" in page(browser)
    ask_for_trial(browser, SecurityProfile="1")
    assert json.loads(secret_storage.decrypt(told[1].sealed) or "")["AuthorizationKey"] == KEY  # type: ignore[attr-defined]

    browser.post("/communication/ocpp/trial/save")

    assert configuration.get("/ocpp/url") == "wss://new.example.net/ocpp"
    assert configuration.get("AuthorizationKey") == KEY


def test_a_discarded_trial_changes_nothing(browser: Client, parts: Parts, told: list[MessageToOcpp]) -> None:
    before = configuration.get("/ocpp/url")
    ask_for_trial(browser)

    browser.post("/communication/ocpp/trial/drop")

    assert configuration.get("/ocpp/url") == before
    assert "new.example.net" not in page(browser)


def test_a_trial_nobody_carries_out_is_told(browser: Client, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("station.web.backend_trials.send_to_ocpp_sync", lambda _message: False)
    ask_for_trial(browser)

    assert "nothing could be tried" in page(browser, "/communication/ocpp/trial")


LOG = (
    '2026-11-20T12:00:00.000Z > [2,"1","Authorize",{"idTag":"04A2B3C4D5"}]\n'
    '2026-11-20T12:00:00.080Z < [3,"1",{"idTagInfo":{"status":"Accepted","parentIdTag":"GROUP-77"}}]\n'
    '2026-11-20T12:00:01.000Z < [2,"2","Reset",{"type":"Soft"}]\n'
    '2026-11-20T12:00:01.010Z > [4,"2","NotSupported","<b>no</b>",{}]\n'
)


@pytest.fixture
def log(data: Any) -> None:
    (data.logs / "ocpp.log").write_text(LOG)


def test_messages_are_shown_newest_first_with_answer_and_latency(browser: Client, log: None) -> None:
    shown = page(browser, "/communication/ocpp/messages")

    assert shown.index("Reset") < shown.index(">Authorize</a>")
    assert "80\N{NO-BREAK SPACE}ms" in shown
    assert "CALLERROR NotSupported: &lt;b&gt;no&lt;/b&gt;" in shown


def test_messages_can_be_narrowed(browser: Client, log: None) -> None:
    shown = page(browser, "/communication/ocpp/messages?only=faults&asked_by=server")

    assert ">Reset</a>" in shown
    assert ">Authorize</a>" not in shown


def test_the_number_of_a_card_is_hidden_in_full_view_and_download(browser: Client, log: None) -> None:
    listed = page(browser, "/communication/ocpp/messages?action=Authorize")
    path = listed.split('href="/communication/ocpp/messages/')[-1].split('"')[0]

    full = page(browser, f"/communication/ocpp/messages/{path}")
    file = b"".join(browser.get("/communication/ocpp/messages/ocpp.log")).decode()

    for text in (full, file):
        assert "04A2" in text
        assert "04A2B3C4D5" not in text
        assert "GROUP-77" not in text
    assert file.count("\n") == 4


def test_a_long_log_is_handed_out_in_few_portions_and_in_order(browser: Client, data: Any) -> None:
    lines = [f'2026-11-20T12:00:01.010Z > [3,"{number}",{{}}]\n' for number in range(9000)]
    (data.logs / "ocpp.log.1").write_text("".join(lines[:5000]))
    (data.logs / "ocpp.log").write_text("".join(lines[5000:]))

    portions = list(browser.get("/communication/ocpp/messages/ocpp.log"))

    assert b"".join(portions).decode() == "".join(lines)
    assert len(portions) < 20


def test_a_message_that_is_gone_is_not_found(browser: Client, log: None) -> None:
    assert browser.get("/communication/ocpp/messages/0123456789abcdef").status_code == 404


def refused_session() -> ChargingSession:
    at = clock.now() - timedelta(hours=2)
    session = ChargingSession.objects.create(
        connector_id=1, id_tag="04A2B3C4", started_at=at, meter_start_wh=0, meter_last_wh=10, meter_last_at=at
    )
    with transaction.atomic():
        facts: list[Fact] = [
            SessionBegan(at=at, connector_id=1, id_tag="04A2B3C4", register=WattHour(0)),
            SessionEnded(at=at, register=WattHour(10), reason="Local"),
        ]
        for fact in facts:
            outbox.enqueue(fact, session=session, at=Stamp(at=at))
    return session


def test_what_waits_is_counted_per_session_with_its_age(browser: Client) -> None:
    refused_session()

    shown = page(browser, "/communication/ocpp/queue")

    assert "2 messages" in shown
    assert "2:00:0" in shown


def test_a_session_that_was_set_aside_is_sent_again_as_a_whole(browser: Client, told: list[MessageToOcpp]) -> None:
    refused_session()
    for row in OutboxMessage.objects.all():
        outbox.set_aside(row, "InternalError: <i>tariff unknown</i>", clock.now())
    first = OutboxMessage.objects.order_by("id")[0]

    shown = page(browser, "/communication/ocpp/queue")
    browser.post(f"/communication/ocpp/queue/{first.pk}")

    assert "&lt;i&gt;tariff unknown" in shown
    assert set(OutboxMessage.objects.values_list("status", flat=True)) == {OutboxStatus.PENDING}
    assert told == [OutboxChanged()]
    assert AuditEntry.objects.filter(command="SendMessagesAgain", actor="admin").exists()


def test_a_number_beyond_those_of_the_database_names_no_message(browser: Client, told: list[MessageToOcpp]) -> None:
    answer = browser.post(f"/communication/ocpp/queue/{2**63}", follow=True)

    assert "This message is not set aside any more." in answer.content.decode()
    assert told == []


def install_profile(data: Any, text: str, name: str = "acme.toml") -> None:
    data.operators.mkdir(exist_ok=True)
    (data.operators / name).write_text(text)


ACME = """
name = "Acme <Charging>"
vendor = "Acme"
server_profile = "Production"
url = "wss://ocpp.acme.example/stations"
security_profile = 2
ca_hint = "A public CA."
"""


def test_an_operator_fills_and_locks_the_settings(
    browser: Client, parts: Parts, told: list[MessageToOcpp], data: Any
) -> None:
    install_profile(data, ACME)

    shown = page(browser, "/communication/ocpp?operator=acme")
    answer = ask_for_trial(browser, operator="acme", **{"ocpp-url": "wss://attacker.example", "AuthorizationKey": KEY})

    assert 'value="wss://ocpp.acme.example/stations"' in shown
    assert "A public CA." in shown
    assert "Acme &lt;Charging&gt;" in shown
    assert answer.status_code == 302
    tried = json.loads(secret_storage.decrypt(told[0].sealed) or "")  # type: ignore[attr-defined]
    assert tried["/ocpp/url"] == "wss://ocpp.acme.example/stations"
    assert tried["SecurityProfile"] == "2"
    assert tried["AuthorizationKey"] == KEY
    # Whoever comes back to correct something finds what was chosen.
    assert '<option value="acme" selected>' in page(browser)


def test_the_operator_in_force_is_the_one_whose_settings_are(browser: Client, parts: Parts, data: Any) -> None:
    install_profile(data, ACME)
    wanted = {"/ocpp/url": "wss://ocpp.acme.example/stations", "SecurityProfile": "2"}
    configuration.change(wanted, origin=Origin.LOCAL, actor="test", at=clock.now())

    assert '<option value="acme" selected>' in page(browser)

    configuration.change({"/ocpp/url": "wss://other.example"}, origin=Origin.LOCAL, actor="test", at=clock.now())

    assert '<option value="custom" selected>' in page(browser)


@pytest.mark.parametrize(
    "text", ["no TOML", 'name = "A"', 'name = "A"\nurl = "http://x"', 'name = 1\nurl = "wss://x"', ACME + "key = 'x'"]
)
def test_a_file_that_is_no_profile_is_named_with_the_reason(
    browser: Client, parts: Parts, data: Any, text: str
) -> None:
    install_profile(data, text, "broken.toml")

    shown = page(browser)

    assert "broken.toml cannot be used" in shown
    assert 'value="broken"' not in shown


def test_the_example_of_a_profile_can_be_used(browser: Client, parts: Parts, data: Any) -> None:
    example = Path(__file__).parents[4] / "deploy" / "operators" / "example.toml"
    install_profile(data, example.read_text(), "example.toml")

    assert '<option value="example"' in page(browser)
    assert "cannot be used" not in page(browser)


def test_the_chargebox_id_is_previewed_from_its_template(browser: Client, parts: Parts) -> None:
    assert ">TE100002440</output>" in page(browser)
