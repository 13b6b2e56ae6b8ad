"""A refused card is explained on the page, for as long as it is news."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import translation

from station import clock
from station.domain.authorization import Reason
from station.domain.commands import Refusal
from station.domain.roles import Role
from station.services import event_log
from station.web import fragments, present, refusals
from tests.db.station.web.conftest import Parts

NAMELESS: dict[str, Any] = {"reason": Refusal.NO_CONNECTOR_FREE.value}


def refuse(id_tag: str = "BLOC", *, ago_s: float = 1, **data: Any) -> None:
    event_log.log("start.refused", at=clock.now() - timedelta(seconds=ago_s), id_tag=id_tag, **data)


def latest() -> refusals.RefusedCard | None:
    with translation.override("en"):
        return refusals.latest(present.look(clock.now()))


def test_the_newest_refusal_is_named_with_its_reason(db, parts: Parts) -> None:
    refuse("AAAA", ago_s=5, reason=Refusal.TAG_REFUSED.value, because=Reason.BACKEND_EXPIRED.value)
    refuse("BBBB", ago_s=1, reason=Refusal.TAG_REFUSED.value, because=Reason.OFFLINE_LISTED_BLOCKED.value)

    found = latest()

    assert found is not None
    assert (found.card, found.reason) == ("BBBB…", "The card is blocked.")


def test_a_refusal_for_another_reason_than_the_card_names_that(db, parts: Parts) -> None:
    refuse(**NAMELESS)

    found = latest()

    assert found is not None
    assert found.reason == "No charging point is free."


@pytest.mark.parametrize("ago_s", [refusals.SHOWN_S + 1, -3600])
def test_a_refusal_is_no_news_for_long_nor_from_the_future(db, parts: Parts, ago_s: float) -> None:
    refuse(ago_s=ago_s, **NAMELESS)

    assert latest() is None


def test_the_live_socket_brings_it_in_the_readers_language(db, parts: Parts) -> None:
    refuse(reason=Refusal.TAG_REFUSED.value, because=Reason.BACKEND_INVALID.value)

    part = fragments.render_page("dashboard", present.look(clock.now()), Role.VIEWER, language="de")["refusal"]

    assert "Das Backend kennt die Karte nicht." in part
    assert 'id="refusal"' in part


def test_pages_show_a_refusal_without_scripts(browser: Client, parts: Parts) -> None:
    refuse(**NAMELESS)

    assert "BLOC…" in browser.get("/").content.decode()
