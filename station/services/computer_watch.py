"""What is looked after on the computer all the time: its modem and its time follow the settings, and are reported."""

import logging
from collections.abc import Callable

from station.host.dbus.bus import ServiceAbsent, ServiceRefused
from station.host.modem import ReportedModem
from station.host.ports import MobilePort, TimePort
from station.services import mobile, time_setting

logger = logging.getLogger(__name__)

# What each subject said last, so that the log tells of a refusal once and not every ten seconds.
_said: dict[str, str] = {}


def step(*, time_port: TimePort, mobile_port: MobilePort, report: ReportedModem | None) -> None:
    """Look once. A service that is not there or refuses keeps nobody from the rest.

    `report`: where processes that must not wait for the modem read what it says.
    """
    _try("time", lambda: time_setting.follow(time_port))
    _try("modem", lambda: _look_after_modem(mobile_port, report))


def _look_after_modem(port: MobilePort, report: ReportedModem | None) -> None:
    if report is None:
        mobile.follow(port)
        return
    try:
        # Reported before anything is changed: a setting the modem refuses leaves its signal as it is.
        report.report(port.examine())
        report.report(mobile.follow(port))
    except ServiceAbsent:
        report.report(None)
        raise


def _try(subject: str, act: Callable[[], object]) -> None:
    try:
        act()
    except ServiceRefused as refusal:
        said = str(refusal)
    else:
        said = ""
    if said != _said.get(subject, ""):
        if said:
            logger.warning("the computer's %s cannot be looked after: %s", subject, said)
        else:
            logger.info("the computer's %s is looked after again", subject)
        _said[subject] = said
