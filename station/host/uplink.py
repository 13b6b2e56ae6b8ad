"""Which network interface leads to the backend, as the kernel's routes say."""

from pathlib import Path

_ROUTES = Path("/proc/net/route")
_ANYWHERE = "00000000"
_INTERFACE, _DESTINATION, _METRIC = 0, 1, 6


def default_interface(routes: Path = _ROUTES) -> str | None:
    """Return the interface of the default route that is preferred; None when there is none."""
    try:
        rows = [line.split() for line in routes.read_text().splitlines()[1:]]
    except OSError:
        return None
    found = [
        (int(row[_METRIC]), row[_INTERFACE]) for row in rows if len(row) > _METRIC and row[_DESTINATION] == _ANYWHERE
    ]
    return min(found)[1] if found else None
