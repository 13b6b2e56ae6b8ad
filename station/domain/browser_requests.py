"""Which requests to a port of this computer a web page of somebody else has made, or nobody can tell.

Any page that is open in a browser can address the loopback interface of its computer. A program sends none of the
headers read here; a browser cannot leave them out.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

# Fetch Metadata: the page itself, and an address typed in.
_OWN_SITES = frozenset({"same-origin", "none"})
_OF_BROWSERS = ("origin", "referer", "cookie", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest")


def foreign_page(headers: Mapping[str, str]) -> str | None:
    """Return why a request to a loopback port is refused, None for a program or an own page.

    The names of the headers are in lower case. A request without Host comes from no browser.
    """
    host = headers.get("host")
    if host is not None and not _names_loopback(host):
        return f"this port answers to localhost and loopback addresses, not to {host[:80]!r}"
    origin = headers.get("origin")
    if origin is not None and (host is None or origin.lower() != f"http://{host.lower()}"):
        return f"pages of {origin[:80]!r} may not ask here"
    is_followed_link = headers.get("sec-fetch-mode") == "navigate"
    if headers.get("sec-fetch-site", "none") not in _OWN_SITES and not is_followed_link:
        return "pages of other sites may not ask here"
    return None


def is_of_browser(headers: Mapping[str, str]) -> bool:
    """Return whether a browser must have sent the request."""
    return any(name in headers for name in _OF_BROWSERS)


def _names_loopback(host: str) -> bool:
    try:
        parts = urlsplit(f"//{host}")
        name = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return False
    if not _is_host_and_port(parts):
        return False
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _is_host_and_port(parts: SplitResult) -> bool:
    return not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
