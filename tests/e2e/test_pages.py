"""How every page looks and behaves: narrow and wide, light and dark, German and English, on its own machine only."""

import gettext
import re
from pathlib import Path

import pytest

from tests.e2e.browser import DESKTOP, PHONE, Browser
from tests.e2e.tour import pages

pytestmark = [pytest.mark.e2e, pytest.mark.process]

CATALOGUE = Path(__file__).resolve().parents[2] / "locale/de/LC_MESSAGES/django.mo"
# Words that stand in no German sentence of this product, and the other way round. "Start" is a word of both languages;
# as the text of a button it is found in the catalogue.
ENGLISH = re.compile(
    r"\b(the|this|and|with|from|is|are|Charging|Charge|Connected|Free|Card|Energy|Password|Save|Reload|Cancel|Unlock"
    r"|Stop|since|Meter|Power|Fault|Swipe|Plug|Unplug|Lock|Records|Settings|Log)\b"
)
GERMAN = re.compile(r"\b(der|die|das|und|nicht|ist|Ladepunkt|Karte|Passwort|Speichern|Frei|Lädt|seit)\b|[äöüß]")
# Lines that are the same in both languages, or names.
NAMES = {"Log erstellen", "Deutsch", "English", "FR – Free · free"}
MOST_BYTES = 300_000
# WCAG 2.1, success criterion 1.4.3.
LEAST_CONTRAST = 4.5
LEAST_CONTRAST_LARGE = 3.0

FAINT_TEXT = """
const [least, leastLarge] = arguments;
const parse = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
const luminance = ([r, g, b]) => [r, g, b].map((v) => v / 255)
  .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const faint = [];
for (const element of document.querySelectorAll("body *:not(svg *):not(option)")) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (!own || !element.checkVisibility()) continue;
  const style = getComputedStyle(element);
  const [a, b] = [luminance(parse(style.color)), luminance(ground(element))].sort((x, y) => y - x);
  const size = parseFloat(style.fontSize);
  const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  const contrast = (a + 0.05) / (b + 0.05);
  if (contrast < (isLarge ? leastLarge : least)) {
    faint.push(`${element.textContent.trim().slice(0, 40)}: ${contrast.toFixed(2)}`);
  }
}
return faint;
"""

SMALL_TARGETS = """
const targets = document.querySelectorAll("nav a, nav button, .topbar a, .topbar summary, .topbar button, .button");
return [...targets].filter((target) => target.checkVisibility())
  .map((target) => [target.textContent.trim(), target.getBoundingClientRect()])
  .filter(([, box]) => box.height < 43.5 || box.width < 43.5)
  .map(([text, box]) => `${text}: ${box.width} x ${box.height}`);
"""


def test_a_phone_never_scrolls_sideways_and_a_finger_hits_every_button(charging: Browser) -> None:
    charging.resize(PHONE)
    try:
        for address in pages(charging):
            if address.startswith("/admin"):
                continue
            width = charging.driver.execute_script("return document.scrollingElement.scrollWidth")
            assert width <= PHONE[0], address
            assert charging.driver.execute_script(SMALL_TARGETS) == [], address
    finally:
        charging.resize(DESKTOP)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(charging: Browser, scheme: str) -> None:
    charging.prefer(scheme)

    for address in pages(charging):
        if address.startswith("/admin"):
            continue
        ground = charging.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        channels = [int(number) for number in re.findall(r"\d+", ground)[:3]]
        assert (max(channels) < 64) if scheme == "dark" else (min(channels) > 192), address
        assert charging.driver.execute_script(FAINT_TEXT, LEAST_CONTRAST, LEAST_CONTRAST_LARGE) == [], address


def test_pages_speak_one_language_at_a_time(charging: Browser) -> None:
    translated = {source for source, german in catalogue().items() if source != german}
    charging.choose_language("de")
    for address in pages(charging):
        lines = [line for line in lines_of(charging) if line not in NAMES]
        assert [line for line in lines if line in translated or ENGLISH.search(line)] == [], address

    charging.open("/")
    charging.choose_language("en")
    for address in pages(charging):
        assert [line for line in lines_of(charging) if line not in NAMES and GERMAN.search(line)] == [], address


def catalogue() -> dict[str, str]:
    """Read the one-line translations; those with places to fill in are found by the words."""
    with CATALOGUE.open("rb") as file:
        entries = vars(gettext.GNUTranslations(file))["_catalog"]
    return {
        source.rpartition("\x04")[2]: german
        for source, german in entries.items()
        if isinstance(source, str) and source and "%(" not in source
    }


def lines_of(browser: Browser) -> list[str]:
    return [line.strip() for line in browser.text("body").splitlines() if line.strip()]


def test_no_page_loads_more_than_300_kilobytes(charging: Browser) -> None:
    sizes = {address: charging.loaded_bytes(address) for address in list(pages(charging))}

    assert min(sizes.values()) > 10_000
    assert {address: size for address, size in sizes.items() if size > MOST_BYTES} == {}


def test_nothing_is_asked_of_another_machine(charging: Browser) -> None:
    for address in pages(charging):
        assert charging.hosts() <= {"127.0.0.1"}, address
    for address in ("/no-such-page", "/login"):
        charging.open(address)
        assert charging.hosts() <= {"127.0.0.1"}, address
    assert all("404" in complaint and "no-such-page" in complaint for complaint in charging.complaints())


QR_CODES_CUT_OFF = """
return [...document.querySelectorAll("#preview .display-point")].filter((point) => {
  const [frame, code, text] = [point, point.querySelector(".display-qr"), point.querySelector(".display-text")]
    .map((element) => element.getBoundingClientRect());
  const range = document.createRange();
  range.selectNodeContents(point.querySelector(".display-text"));
  return code.right > frame.right || code.bottom > frame.bottom || range.getBoundingClientRect().right > code.left
    || text.bottom > frame.bottom;
}).map((point) => point.innerText);
"""


def test_a_phone_can_read_the_code_on_the_display_in_every_state(charging: Browser) -> None:
    charging.open("/display/branding")
    charging.fill("[name=display-phoneAddress]", "https://192.168.1.20")
    charging.wait(lambda: charging.all("#preview .display-qr"), "the code in the preview")

    for language in ("de", "en"):
        charging.click(f"[name=display-language][value={language}]")
        for state in ("charging", "finished"):
            charging.click(f"#sample [value={state}]")
            charging.wait(
                lambda shown=f"#preview .driver-display[lang={language}] .display-energy": (
                    len(charging.all(shown)) == 2
                ),
                "the state in the preview",
            )
            assert charging.driver.execute_script(QR_CODES_CUT_OFF) == [], (language, state)
