"""Restarting the computer over logind. Programs that hold an inhibitor are respected, and named."""

from station.host.dbus.bus import Bus, CallIsRefused, run
from station.host.ports import Inhibitor

_SERVICE, _PATH = "org.freedesktop.login1", "/org/freedesktop/login1"
_MANAGER = f"{_SERVICE}.Manager"
_SHUTDOWN, _BLOCK = "shutdown", "block"
# CanReboot: “challenge” would ask a person for a password, and nobody is there.
_MAY = "yes"
_NOT_INTERACTIVE = False


def inhibitors() -> tuple[Inhibitor, ...]:
    """Return what keeps the computer from restarting now. Raises ServiceRefused."""
    return run(_inhibitors)


def reboot() -> None:
    """Restart the computer. Raises ServiceRefused; `CallIsRefused` names the programs that do not want it."""
    run(_reboot)


async def _inhibitors(bus: Bus) -> tuple[Inhibitor, ...]:
    rows = await bus.call(_SERVICE, _PATH, f"{_MANAGER}.ListInhibitors")
    return tuple(
        Inhibitor(who=str(who), why=str(why))
        for what, who, why, mode, _uid, _pid in rows
        # A program that only wants to be waited for (“delay”) is given its time by logind.
        if _SHUTDOWN in str(what).split(":") and mode == _BLOCK
    )


async def _reboot(bus: Bus) -> None:
    in_the_way = await _inhibitors(bus)
    if in_the_way:
        raise CallIsRefused(_SERVICE, "; ".join(f"{each.who}: {each.why}" for each in in_the_way))
    may = str(await bus.call(_SERVICE, _PATH, f"{_MANAGER}.CanReboot"))
    if may != _MAY:
        raise CallIsRefused(_SERVICE, f"CanReboot says “{may}”; the polkit rule of the station is missing")
    await bus.call(_SERVICE, _PATH, f"{_MANAGER}.Reboot", "b", [_NOT_INTERACTIVE])
