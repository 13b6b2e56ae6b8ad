"""What `stationctl` offers: the station's own commands. Django's, some of which destroy data, are for developers."""

from collections.abc import Callable, Mapping, Sequence


def gettext_noop(text: str) -> str:
    """Mark a text for the catalogue; Django's own reads settings, which may be what somebody asks about."""
    return text


COMMANDS: Mapping[str, str] = {
    "doctor": gettext_noop("say what is missing and how to mend it"),
    "hardware": gettext_noop("find controllers, meters and readers, write hardware.json or check it"),
    "config": gettext_noop("read and change settings"),
    "user": gettext_noop("make a user, or give one another role"),
    "changepassword": gettext_noop("set the password of a user"),
    "backup": gettext_noop("write everything but private keys into one file"),
    "restore": gettext_noop("put a backup into this station"),
    "provision": gettext_noop("give a new station its serial number and factory password"),
    "cluster": gettext_noop("load management: pairing code, state, forget a station"),
    "signedrecords": gettext_noop("check, export and annotate the archive of signed meter data"),
    "rotatekey": gettext_noop("encrypt the stored secrets with a new key"),
}
# systemd runs these; started by hand they would only be refused.
OF_SYSTEMD = frozenset({"runprocess", "runstation"})
_FLAGS_OF_HELP = frozenset({"-h", "--help"})
_HELP = _FLAGS_OF_HELP | {"help"}
_UNKNOWN = gettext_noop("stationctl knows no command “%(name)s”.")
_OPTION_FIRST = gettext_noop("The command comes first: stationctl COMMAND %(name)s …")
_LANGUAGE = "--lang"
_DETAILS = gettext_noop("The details are in English:")


class NoSuchCommand(Exception):
    """What was typed is no command of the station; the message lists those that are."""


def listing(translate: Callable[[str], str]) -> str:
    """Return every command with a line of what it does; `translate` gives a text in the reader's language."""
    width = max(map(len, COMMANDS)) + 2
    return "\n".join(
        [
            translate(gettext_noop("Commands of the station: sudo stationctl COMMAND …")),
            *(f"  {name:<{width}}{translate(does)}" for name, does in COMMANDS.items()),
            translate(gettext_noop("What a command takes: sudo stationctl help COMMAND")),
        ]
    )


def answer(arguments: Sequence[str], translate: Callable[[str], str]) -> str | None:
    """Return what to print instead of running a command; None where there is one. Raises NoSuchCommand."""
    first = arguments[0] if arguments else "help"
    wanted = next((each for each in arguments[1:2] if not each.startswith("-")), "") if first in _HELP else first
    if wanted.startswith("-"):
        # An option with nothing behind it but its value asks for nothing; a command behind it must not pass for done.
        if len(arguments) > (2 if wanted == _LANGUAGE else 1):
            raise NoSuchCommand(f"{translate(_OPTION_FIRST) % {'name': wanted}}\n{listing(translate)}")
        return listing(translate)
    if not wanted:
        return listing(translate)
    if wanted not in COMMANDS:
        raise NoSuchCommand(f"{translate(_UNKNOWN) % {'name': wanted}}\n{listing(translate)}")
    return None


def introduction(arguments: Sequence[str], translate: Callable[[str], str]) -> str | None:
    """Return what stands above the help of a command for whoever reads another language; None: nothing does.

    What argparse says of a command exists in English only.
    """
    is_help = arguments[0] in _HELP
    says = translate(_DETAILS)
    if says == _DETAILS or not (is_help or _FLAGS_OF_HELP.intersection(arguments)):
        return None
    name = arguments[1] if is_help else arguments[0]
    return f"{name}: {translate(COMMANDS[name])}\n{says}\n"
