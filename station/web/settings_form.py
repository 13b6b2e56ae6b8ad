"""Forms made from configuration keys: a page says which keys it shows and how it names them.

What is in force is shown, what differs is changed, all or nothing, through the same door as OCPP and the command line;
a refusal stands beside its field.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from station import clock
from station.domain.commands import Origin
from station.domain.configuration import Change, ConfigurationKey, ConfigurationRefused, Effect, Problem
from station.domain.configuration.values import SERIAL_PLACEHOLDER
from station.services import accounts, configuration
from station.services.messages import ConfigurationChanged, send_to_control_loop
from station.ui import problems
from station.web.requests import signed_in

Text = str | Promise


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One field: the key behind it, its name and what people have to know.

    `choices` are the values offered with their words (and an explanation each), in their order. `warning` is shown in
    its colour. `example` is a good value. `expert`: only people who have switched to expert mode see it. `shows`:
    another key, whose value the field begins with. `is_template`: shown as it was written, not what it makes.
    `folded`: the choices stand in a list that opens, because they are many. `only_with`: value of the page's first list
    that makes this field matter; with any other it is not shown.
    """

    key: str
    label: Text
    help: Text = ""
    warning: Text = ""
    example: str = ""
    unit: str = ""
    choices: Sequence[tuple[str, Text, Text]] = ()
    expert: bool = False
    shows: str = ""
    is_template: bool = False
    folded: bool = False
    only_with: str = ""


@dataclass(frozen=True, kw_only=True)
class Field:
    """A setting as the template draws it; `kind` is text, secret, number, switch, choices or list."""

    setting: Setting
    name: str
    kind: str
    value: str
    is_set: bool
    errors: tuple[str, ...]
    key: str
    needs_restart: bool
    is_locked: bool
    preview: str


class SettingsForm:
    """The settings of one form on a page. `locked` are values that nobody enters: something else decides on them."""

    def __init__(
        self, request: HttpRequest, settings: Iterable[Setting], *, locked: Mapping[str, str] | None = None
    ) -> None:
        self._locked = locked or {}
        self._request = request
        self._expert = accounts.profile_of(signed_in(request)).expert
        self._settings = tuple(each for each in settings if self._expert or not each.expert)
        self._entered: dict[str, str] = {}
        self._errors: dict[str, list[str]] = {}
        self._trimmed = False
        self.other_errors: list[str] = []

    @staticmethod
    def name_of(setting: Setting) -> str:
        """Return what its field is called in the form."""
        return field_name(setting.key)

    @property
    def is_refused(self) -> bool:
        """Whether something that was entered cannot be."""
        return bool(self._errors or self.other_errors)

    @property
    def fields(self) -> list[Field]:
        """Return what to draw, with what was entered or else what is in force."""
        registry = configuration.snapshot().registry
        return [self._field(each, registry.find(each.key)) for each in self._settings]

    def save(self, more: Mapping[str, str] | None = None) -> bool:
        """Change what differs from what is in force; return whether it is in force now. Says so on the next page.

        `more`: values of other keys that the page has fields of its own for.
        """
        wanted = self._read() | {key: value for key, value in (more or {}).items() if value != configuration.get(key)}
        try:
            changes = configuration.change(
                wanted, origin=Origin.WEB, actor=signed_in(self._request).get_username(), at=clock.now()
            )
        except ConfigurationRefused as refusal:
            self._take(refusal.problems)
            return False
        _tell(self._request, changes, trimmed=self._trimmed)
        return True

    def check(self) -> dict[str, str] | None:
        """Return what differs from what is in force and could be saved; None where something was refused."""
        wanted = self._read()
        try:
            configuration.proposed(wanted)
        except ConfigurationRefused as refusal:
            self._take(refusal.problems)
            return None
        if self._trimmed:
            messages.info(self._request, _("Blanks before or after a value were removed."))
        return wanted

    def show(self, entered: Mapping[str, str]) -> None:
        """Begin with these values instead of those in force."""
        self._entered = {setting.key: entered[setting.key] for setting in self._settings if setting.key in entered}

    def _read(self) -> dict[str, str]:
        wanted: dict[str, str] = {}
        for setting in self._settings:
            key = configuration.snapshot().registry.find(setting.key)
            name = field_name(setting.key)
            if setting.key in self._locked:
                if self._locked[setting.key] != _in_force(setting, key):
                    wanted[setting.key] = self._locked[setting.key]
                continue
            if name not in self._request.POST:
                continue
            raw = self._request.POST[name]
            entered = raw.strip()
            self._trimmed |= entered != raw
            self._entered[setting.key] = entered
            if not key.readable:
                # An empty field of a secret leaves it as it is; it is taken away by its own box.
                if self._request.POST.get(f"{name}-remove") == "true":
                    wanted[setting.key] = ""
                elif entered:
                    wanted[setting.key] = entered
            elif entered != _in_force(setting, key):
                wanted[setting.key] = entered
        return wanted

    def refuse(self, reason: str) -> None:
        """Keep what was entered without saving it, and say why above the fields."""
        for setting in self._settings:
            entered = self._request.POST.get(field_name(setting.key))
            if entered is not None:
                self._entered[setting.key] = entered.strip()
        self.other_errors.append(reason)

    def _take(self, refused: Iterable[Problem]) -> None:
        shown = {each.key.lower() for each in self._settings}
        for problem in refused:
            text = problems.say(problem.code, problem.data)
            if problem.key.lower() in shown:
                self._errors.setdefault(problem.key.lower(), []).append(text)
            else:
                self.other_errors.append(f"{problem.key}: {text}")

    def _field(self, setting: Setting, key: ConfigurationKey) -> Field:
        value = self._locked.get(setting.key, _in_force(setting, key))
        shown = "" if not key.readable else self._entered.get(setting.key, value)
        return Field(
            setting=setting,
            name=field_name(setting.key),
            kind=_kind(setting, key),
            value=shown,
            is_set=bool(value),
            errors=tuple(self._errors.get(setting.key.lower(), ())),
            key=key.name if self._expert else "",
            needs_restart=key.effect is Effect.RESTART,
            is_locked=setting.key in self._locked,
            preview=_with_serial(shown) if setting.is_template else "",
        )


def field_name(key: str) -> str:
    """Return the name a key's field is sent under."""
    return key.strip("/").replace("/", "-")


def _with_serial(template: str) -> str:
    return template.replace(SERIAL_PLACEHOLDER, configuration.get("/identity/serial"))


def _kind(setting: Setting, key: ConfigurationKey) -> str:
    if not key.readable:
        return "secret"
    if setting.choices:
        return "list" if setting.folded else "choices"
    if key.type == "bool":
        return "switch"
    return "number" if key.type.startswith("int") else "text"


def _in_force(setting: Setting, key: ConfigurationKey) -> str:
    present = configuration.snapshot()
    if setting.is_template:
        return present.stored.get(key.name, key.default)
    return present[setting.shows or key.name]


def _tell(request: HttpRequest, changes: Sequence[Change], *, trimmed: bool) -> None:
    if not changes:
        messages.info(request, _("Nothing was different."))
        return
    send_to_control_loop(ConfigurationChanged())
    messages.success(request, _("Saved."))
    effects = configuration.effects_of(changes)
    if trimmed:
        messages.info(request, _("Blanks before or after a value were removed."))
    if Effect.OCPP_CONNECTION in effects:
        messages.info(request, _("The station connects to the server anew."))
    if Effect.RESTART in effects:
        messages.warning(request, _("This takes effect when the daemon is restarted (menu at the top right)."))
