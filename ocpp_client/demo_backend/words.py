"""The words of the demo page in its two languages; the process runs without Django and so without gettext."""

LANGUAGES = ("en", "de")

_GERMAN = {
    "Accepted": "Angenommen",
    "Available": "Verfügbar",
    "Blocked": "Gesperrt",
    "Card": "Karte",
    "Charging": "Lädt",
    "Commands need JavaScript.": "Für Befehle wird JavaScript gebraucht.",
    "Connector": "Ladepunkt",
    "Demo backend": "Demo-Backend",
    "Energy": "Energie",
    "Expired": "Abgelaufen",
    "Faulted": "Gestört",
    "Finishing": "Beendet, noch gesteckt",
    "Invalid": "Ungültig",
    "Last heard": "Zuletzt gehört",
    "Messages": "Nachrichten",
    "No station has called yet. Its endpoint is {url}": "Noch hat sich keine Station gemeldet. Ihr Endpunkt ist {url}",
    "No transaction yet.": "Noch kein Ladevorgang.",
    "Number": "Nummer",
    "Preparing": "Vorbereitung",
    "Reason": "Grund",
    "Reserved": "Reserviert",
    "Restart": "Neu starten",
    "Start": "Starten",
    "Started": "Begonnen",
    "Station": "Station",
    "Status": "Zustand",
    "Stop": "Beenden",
    "Stopped": "Beendet",
    "SuspendedEV": "Pause durch das Auto",
    "SuspendedEVSE": "Pause durch die Station",
    "Times are UTC.": "Zeiten in UTC.",
    "Transactions": "Ladevorgänge",
    "Unavailable": "Außer Betrieb",
    "Unlock": "Entriegeln",
    "connected": "verbunden",
    "from the station": "von der Station",
    "not connected": "nicht verbunden",
    "running": "läuft",
    "to the station": "an die Station",
}

_ENGLISH = {
    "Finishing": "Finished, still plugged in",
    "SuspendedEV": "Paused by the car",
    "SuspendedEVSE": "Paused by the station",
}


def words(text: str, language: str) -> str:
    """Translate a text of the page; what is not a word of ours (a code of a station) comes back as it is."""
    return (_GERMAN if language == "de" else _ENGLISH).get(text, text)


def language_of(accept_language: str, wanted: str | None) -> str:
    """Choose the language: the one asked for in the address, else the browser's first of ours, else English."""
    if wanted in LANGUAGES:
        return str(wanted)
    ranked: list[tuple[float, str]] = []
    for part in accept_language.split(","):
        tag, _, weight = part.strip().partition(";q=")
        language = tag[:2].lower()
        if language in LANGUAGES:
            ranked.append((_weight(weight), language))
    return max(ranked, key=lambda one: one[0])[1] if ranked else "en"


def number(value: float, digits: int, language: str) -> str:
    """Write a decimal number the way the language does."""
    text = f"{value:,.{digits}f}"
    return text.translate(str.maketrans(",.", ".,")) if language == "de" else text


def _weight(text: str) -> float:
    try:
        return float(text) if text else 1.0
    except ValueError:
        return 0.0
