"""The topper lamp of a charging point: four coloured elements, switched one by one, and what a person sees of them."""

from dataclasses import dataclass, field

from hardware.protocols.digital_io import COILS_PER_LAMP, LampElement
from station.domain.ports import LampColour

# Blinks follow one another within this time; a longer darkness ends a group of blinks.
GROUP_GAP_S = 1.5
# A lamp that has not changed for this long is steady.
STEADY_AFTER_S = 4.0


@dataclass(kw_only=True)
class Lamp:
    """The elements now lit, and the number of blinks in the last complete group."""

    lit: list[bool] = field(default_factory=lambda: [False] * COILS_PER_LAMP)
    changed_at_s: float = 0.0
    blinking: LampColour = LampColour.OFF
    _counted: int = 0
    _complete: int = 0

    @property
    def colour(self) -> LampColour:
        """The colour now lit; the first one when wrong wiring lights several."""
        for element in LampElement:
            if self.lit[element]:
                return LampColour(element.name.lower())
        return LampColour.OFF

    def switch(self, element: int, *, on: bool, now_s: float) -> None:
        """Light or darken one element."""
        if self.lit[element] == on:
            return
        was_dark, dark_s = not any(self.lit), now_s - self.changed_at_s
        self.lit[element] = on
        self.changed_at_s = now_s
        if not on:
            return
        if self.colour is not self.blinking:
            self._counted = self._complete = 0
            self.blinking = self.colour
        elif was_dark and dark_s > GROUP_GAP_S:
            self._complete, self._counted = self._counted, 0
        self._counted += 1

    def blinks(self, *, now_s: float) -> int:
        """Return how many blinks make a group, 0 while the lamp is steady or dark, or no group is complete yet."""
        return self._complete if now_s - self.changed_at_s < STEADY_AFTER_S else 0
