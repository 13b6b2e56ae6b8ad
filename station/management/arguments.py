"""What the command lines of several commands have in common."""

from argparse import ArgumentParser

from django.conf import settings

_WITH_VALUE = {"--data-dir", "--settings", "--pythonpath", "-v", "--verbosity"}
_STANDARD_INPUT = "-"


def add_language(parser: ArgumentParser) -> None:
    """Declare --lang, the language of what the command says; its code arrives as the option `lang`."""
    parser.add_argument("--lang", choices=[code for code, _name in settings.LANGUAGES], default="en")


def options_first(arguments: list[str]) -> list[str]:
    """Move options to the front: argparse does not collect positional arguments that follow an option."""
    options: list[str] = []
    words: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            words.extend(rest)
        elif argument.startswith("-") and argument != _STANDARD_INPUT:
            options.append(argument)
            if argument in _WITH_VALUE:
                options.extend([value for value in [next(rest, None)] if value is not None])
        else:
            words.append(argument)
    return [*options, *words]
