"""The one page of the demo backend. Whatever a station sent passes through `_safe` before it becomes HTML."""

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ocpp_client.demo_backend.books import Books, Station, Transaction
from ocpp_client.demo_backend.words import LANGUAGES, number, words

TRANSACTIONS_SHOWN = 50
REFRESH_S = 5


def render(
    books: Books, *, connected: Iterable[str], messages: Sequence[Mapping[str, Any]], endpoint: str, language: str
) -> str:
    """Write the whole page."""
    present = frozenset(connected)

    def say(text: str) -> str:
        return escape(words(text, language))

    stations = "".join(
        _station(books, one, language, is_connected=one.identity in present) for one in books.stations.values()
    )
    if not stations:
        sentence = words("No station has called yet. Its endpoint is {url}", language).format(url=endpoint)
        stations = f'<section><p class="quiet">{escape(sentence)}</p></section>'
    languages = "".join(
        f'<a href="/?lang={code}" lang="{code}" hreflang="{code}"{_current(code, language)}>{code.upper()}</a>'
        for code in LANGUAGES
    )
    return f"""<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{say("Demo backend")}</title>
<link rel="stylesheet" href="/style.css">
<noscript><meta http-equiv="refresh" content="{REFRESH_S}"></noscript>
<script src="/app.js" defer></script>
</head>
<body>
<header><h1>{say("Demo backend")}</h1><nav>{languages}</nav></header>
<p id="outcome" role="status"></p>
<noscript><p>{say("Commands need JavaScript.")}</p></noscript>
<main id="live">
{stations}
{_transactions(books.transactions, language)}
{_messages(messages, language)}
<p class="quiet">{say("Times are UTC.")}</p>
</main>
</body>
</html>
"""


def _station(books: Books, station: Station, language: str, *, is_connected: bool) -> str:
    state, word = ("connected", "connected") if is_connected else ("away", "not connected")
    facts = [
        station.boot.get("chargePointVendor"),
        station.boot.get("chargePointModel"),
        station.boot.get("firmwareVersion"),
    ]
    running = {one.connector_id: one for one in books.open_transactions(station.identity)}
    rows = "".join(
        _connector(station, connector, running.get(int(connector)) if connector.isdigit() else None, language)
        for connector in sorted(station.connectors, key=lambda one: (len(one), one))
    )
    headings = "".join(f"<th>{_say(one, language)}</th>" for one in ("Connector", "Status", "Energy", "Card"))
    return (
        f"<section><h2>{_safe(station.identity)} "
        f'<span data-state="{state}">{_say(word, language)}</span></h2>'
        f'<p class="quiet">{" · ".join(_safe(fact) for fact in facts if fact)} · '
        f"{_say('Last heard', language)} {_moment(station.last_seen_at)}</p>"
        f'<div class="scroll"><table><thead><tr>{headings}<th></th></tr></thead><tbody>{rows}</tbody></table></div>'
        f"{_command(station.identity, 'Reset', {'type': 'Soft'}, 'Restart', language)}</section>"
    )


def _connector(station: Station, connector: str, running: Transaction | None, language: str) -> str:
    notice = station.connectors[connector]
    status, error = str(notice.get("status", "")), str(notice.get("errorCode", "NoError"))
    shown = _say(status, language) + ("" if error == "NoError" else f" · {_safe(error)}")
    commands = ""
    if connector.isdigit() and int(connector) > 0:
        place = {"connectorId": int(connector)}
        if running is None:
            label = _say("Card", language)
            field = (
                f'<input id="card-{_safe(station.identity)}-{connector}" name="idTag" value="DEMO" maxlength="20" '
                f'required aria-label="{label}">'
            )
            commands = _command(station.identity, "RemoteStartTransaction", place, "Start", language, field=field)
        else:
            number_of_it = {"transactionId": running.transaction_id}
            commands = _command(station.identity, "RemoteStopTransaction", number_of_it, "Stop", language)
        commands += _command(station.identity, "UnlockConnector", place, "Unlock", language)
    return (
        f'<tr><td>{_safe(connector)}</td><td data-state="{_safe(status)}">{shown}</td>'
        f"<td>{_energy(running, language) if running else ''}</td>"
        f"<td>{_safe(running.id_tag) if running else ''}</td><td>{commands}</td></tr>"
    )


def _command(
    station: str, action: str, payload: Mapping[str, Any], label: str, language: str, *, field: str = ""
) -> str:
    return (
        f'<form data-station="{_safe(station)}" data-action="{action}" data-payload="{_safe(json.dumps(payload))}">'
        f"{field}<button>{_say(label, language)}</button></form>"
    )


def _transactions(transactions: Sequence[Transaction], language: str) -> str:
    names = ("Number", "Station", "Connector", "Card", "Started", "Stopped", "Energy", "Reason")
    headings = "".join(f"<th>{_say(name, language)}</th>" for name in names)
    rows = "".join(
        f"<tr><td>{_safe(one.transaction_id)}</td><td>{_safe(one.station)}</td><td>{one.connector_id}</td>"
        f"<td>{_safe(one.id_tag)}{_doubt(one, language)}</td><td>{_moment(one.started_at)}</td>"
        f"<td>{_say('running', language) if one.stopped_at is None else _moment(one.stopped_at)}</td>"
        f"<td>{_energy(one, language)}</td><td>{_safe(one.reason or '')}</td></tr>"
        for one in list(transactions)[: -TRANSACTIONS_SHOWN - 1 : -1]
    )
    body = (
        f'<div class="scroll"><table><thead><tr>{headings}</tr></thead><tbody>{rows}</tbody></table></div>'
        if rows
        else f'<p class="quiet">{_say("No transaction yet.", language)}</p>'
    )
    return f"<section><h2>{_say('Transactions', language)}</h2>{body}</section>"


def _messages(messages: Sequence[Mapping[str, Any]], language: str) -> str:
    way = {"from_station": "from the station", "to_station": "to the station"}
    rows = "".join(
        f"<tr><td>{_moment(one['at'])}</td><td>{_safe(one['station'])}</td>"
        f"<td>{_say(way[one['direction']], language)}</td><td><code>{_safe(one['text'])}</code></td></tr>"
        for one in reversed(messages)
    )
    return (
        f'<section><details id="messages"><summary>{_say("Messages", language)} ({len(messages)})</summary>'
        f'<div class="scroll"><table><tbody>{rows}</tbody></table></div></details></section>'
    )


def _doubt(transaction: Transaction, language: str) -> str:
    status = transaction.id_tag_status
    return "" if status == "Accepted" else f" · {_say(status, language)}"


def _energy(transaction: Transaction, language: str) -> str:
    energy_wh = transaction.energy_wh
    return "" if energy_wh is None else f"{number(energy_wh / 1000, 2, language)} kWh"


def _moment(text: str) -> str:
    return f'<time datetime="{_safe(text)}">{_safe(text[:19].replace("T", " "))}</time>'


def _current(code: str, language: str) -> str:
    return ' aria-current="true"' if code == language else ""


def _say(text: str, language: str) -> str:
    return escape(words(text, language))


def _safe(value: object) -> str:
    return escape(str(value))
