"""The manuals follow the menu, name things as the pages do, and show every page."""

import gettext
import re
from pathlib import Path

import pytest
from django.utils import translation

from station.web import menu

ROOT = Path(__file__).resolve().parents[4]
DOCS = ROOT / "docs"
MANUALS = {"en": DOCS / "manual.md", "de": DOCS / "handbuch.md"}
# What is written on the page but stands in no catalogue: names.
NAMES = {"admin", "Slave", "DE | EN", "OCPP", "CSV", "Modbus", "Deutsch", "English"}


def headings(text: str) -> list[str]:
    return [line.lstrip("# ").strip() for line in text.splitlines() if re.match(r"##+ ", line)]


def labels(language: str) -> list[str]:
    with translation.override(language):
        return [
            str(label)
            for section in menu.SECTIONS
            for label in (section.label, *(page.label for page in section.pages))
            if label
        ]


def said(language: str) -> set[str]:
    """Return every text of the pages in a language."""
    catalogue = ROOT / "locale/de/LC_MESSAGES/django.mo"
    with catalogue.open("rb") as file:
        entries = vars(gettext.GNUTranslations(file))["_catalog"]
    found = set()
    for source, german in entries.items():
        name = source[0] if isinstance(source, tuple) else source
        found.add(german if language == "de" else name.rpartition("\x04")[2])
    return found


@pytest.mark.parametrize("language", MANUALS)
def test_the_chapters_stand_in_the_order_of_the_menu(language: str) -> None:
    wanted = labels(language)

    found = [heading for heading in headings(MANUALS[language].read_text()) if heading in wanted]

    assert found == wanted


@pytest.mark.parametrize("language", MANUALS)
def test_every_picture_exists_and_every_one_is_shown(language: str) -> None:
    shown = set(re.findall(rf"images/{language}/([\w-]+)\.webp", MANUALS[language].read_text()))

    taken = {path.stem for path in (DOCS / "images" / language).glob("*.webp")}

    assert shown <= taken
    assert taken - shown <= {"sim", "system-restart"}


@pytest.mark.parametrize("language", MANUALS)
def test_what_is_bold_stands_on_a_page_in_these_words(language: str) -> None:
    bold = set(re.findall(r"\*\*([^*]+)\*\*", MANUALS[language].read_text()))
    parts = {part for each in bold for part in re.split(r" – | / ", " ".join(each.split()))}
    known = {text.rstrip(":").lower() for text in said(language)} | {name.lower() for name in NAMES}

    assert {part for part in parts if part.lower() not in known} == set()


def test_both_manuals_have_the_same_chapters() -> None:
    english, german = (MANUALS[language].read_text() for language in ("en", "de"))

    assert [len(re.match(r"#+", line)[0]) for line in english.splitlines() if line.startswith("#")] == [
        len(re.match(r"#+", line)[0]) for line in german.splitlines() if line.startswith("#")
    ]
