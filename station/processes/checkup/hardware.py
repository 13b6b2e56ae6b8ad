"""The hardware description and the ports it names."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from hardware.drivers.config import HardwareConfig, HardwareConfigInvalid, load
from station.processes.checkup.computer import is_running
from station.processes.checkup.finding import Finding, problem


def _load() -> HardwareConfig | None:
    try:
        return load(settings.DATA.hardware)
    except HardwareConfigInvalid:
        return None


def description() -> Iterator[Finding]:
    """Check hardware.json."""
    subject = "hardware.json"
    if not settings.DATA.hardware.exists():
        yield problem(
            subject,
            _("there is none, so the station cannot charge"),
            _("Search what is connected: “hardware find” writes the file."),
        )
        return
    try:
        config = load(settings.DATA.hardware)
    except HardwareConfigInvalid as error:
        for mistake in error.problems:
            yield problem(
                subject,
                f"{mistake.where}: {_(mistake.template) % mistake.data}",
                _("Mend this entry and restart the station."),
            )
    else:
        yield Finding(subject=subject, text=_("charging points: %(count)d") % {"count": len(config.connectors)})


def ports() -> Iterator[Finding]:
    """See whether each serial port is there and may be used."""
    config = _load()
    if config is None:
        return
    for port in sorted(_ports_of(config)):
        subject = _("port %(port)s") % {"port": port}
        path = Path(port)
        if path.parent == settings.DATA.simulation and not is_running():
            yield Finding(subject=subject, text=_("simulated; appears when the station runs"))
        elif not path.exists():
            yield problem(subject, _("not there"), _("Check the cable and the adapter, or correct hardware.json."))
        elif not stat.S_ISCHR(path.stat().st_mode):
            yield problem(subject, _("is no serial port"), _("Correct hardware.json."))
        elif not os.access(path, os.R_OK | os.W_OK):
            yield problem(
                subject,
                _("must not be used by this user"),
                _("Put the user the station runs as into the group dialout: usermod -aG dialout USER"),
            )
        else:
            yield Finding(subject=subject, text=_("there, readable and writable"))


def _ports_of(config: HardwareConfig) -> set[str]:
    devices = [item.controller for item in config.connectors]
    devices += [item.meter for item in config.connectors if item.meter is not None]
    devices += [*config.readers, *([config.io] if config.io else [])]
    return {device.port for device in devices}
