"""This release of the software, and the distribution it runs on."""

import platform

# The version of this release; `pyproject.toml` says the same (checked by a test).
RELEASE = "0.1.0"


def distribution_name() -> str:
    """Return the name of the operating system's distribution, with its version and build."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return platform.system()
    parts = (release.get("PRETTY_NAME", ""), release.get("BUILD_ID", ""))
    return " · ".join(part for part in parts if part) or platform.system()


def distribution_version() -> str:
    """Return the version of the operating system's distribution."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return platform.release()
    return release.get("VERSION_ID") or release.get("BUILD_ID") or platform.release()
