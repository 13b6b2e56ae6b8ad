"""Every page that a menu leads to, one after the other."""

from collections.abc import Iterator

from tests.e2e.browser import Browser


def pages(browser: Browser) -> Iterator[str]:
    """Open each page that a menu leads to, with everything unfolded."""
    browser.open("/")
    links = [str(link.get_attribute("href")) for link in browser.all(".sidebar a, #user-menu a")]
    addresses = [link.removeprefix(browser.base_url) for link in links]
    assert len(addresses) >= 7
    for address in addresses:
        browser.open(address)
        if address.startswith("/admin"):
            yield address
            continue
        browser.wait(lambda: browser.all("h1"), f"a heading on {address}")
        # A page may have further ones beside it.
        beside = [str(link.get_attribute("href")).removeprefix(browser.base_url) for link in browser.all(".tabs a")]
        addresses.extend(each for each in beside if each not in addresses)
        browser.driver.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
        yield address
