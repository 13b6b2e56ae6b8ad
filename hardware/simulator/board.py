"""The logic of the charge controller board: commissioning, commands, permitted current.

Coils and the current limit are lost when the board restarts; it then stands available, not released, unlocked, with the
smallest limit. Like the real board it has no watchdog: what was released stays released when nobody talks to it.
"""

from dataclasses import dataclass, field

from hardware.protocols.phoenix import (
    BY_REGISTER,
    COMMISSIONED,
    MAXIMUM_CURRENT_A,
    MINIMUM_CURRENT_A,
    BoardError,
    Output,
    Setting,
)

# Limit set by the switches of the board: the charging points are built for 32 A.
DIP_LIMIT_A = 32
# Time the board does not answer after a restart command.
RESTART_S = 0.5
FACTORY_SETTINGS: dict[Setting, int] = {
    Setting.RELEASE_SOURCE: 1,
    Setting.AVAILABILITY_SOURCE: 1,
    Setting.LOCK_SOURCE: 1,
    Setting.CONTACTOR_MONITORING: 0,
    Setting.CONTACTOR_DELAY_MS: 200,
    Setting.PERMIT_STATE_D: 0,
    Setting.RESIDUAL_CURRENT_MONITOR: 0,
    Setting.CCR_ANALOGUE: 0,
    Setting.CCR_THRESHOLD_MV: 0,
    # What each output signals as delivered is our assumption: nothing, state E, state C, state B.
    Setting.OUTPUT_OUT_EVENTS: 0,
    Setting.OUTPUT_ERR_EVENTS: 7,
    Setting.OUTPUT_CHG_EVENTS: 5,
    Setting.OUTPUT_CON_EVENTS: 2,
}
# As the installer of this station leaves it: driven over the bus, with the mirror contact watched.
STATION_SETTINGS: dict[Setting, int] = {**FACTORY_SETTINGS, **COMMISSIONED, Setting.CONTACTOR_MONITORING: 1}
_OUTPUT_SETTINGS: dict[Output, Setting] = {
    Output.OUT: Setting.OUTPUT_OUT_EVENTS,
    Output.ERR: Setting.OUTPUT_ERR_EVENTS,
    Output.CHG: Setting.OUTPUT_CHG_EVENTS,
    Output.CON: Setting.OUTPUT_CON_EVENTS,
}
# The board signals no current while one of these is present. Not on the list: state F, which has no PWM anyway, and
# a bolt that does not open, which is no danger.
STOPS_PWM = frozenset(
    {
        BoardError.PILOT_INVALID,
        BoardError.LOCKING_FAILED,
        BoardError.LOCK_FEEDBACK_LOST,
        BoardError.CONTACTOR,
        BoardError.RESIDUAL_CURRENT,
    }
)


@dataclass(kw_only=True)
class Board:
    """Registers that decide what the board does."""

    settings: dict[Setting, int] = field(default_factory=lambda: dict(STATION_SETTINGS))
    release_coil: bool = False
    available_coil: bool = True
    lock_coil: bool = False
    limit_a: int = MINIMUM_CURRENT_A
    silent_until_s: float = 0.0
    # What switches each output while it signals what its register holds; lost when the board restarts.
    outputs: dict[Output, int] = field(default_factory=lambda: dict.fromkeys(Output, 0))

    def lit_outputs(self, signalled: Output) -> Output:
        """Return the outputs that are on, where the board itself would signal these."""
        lit = Output(0)
        for output, setting in _OUTPUT_SETTINGS.items():
            if self.settings[setting] != BY_REGISTER:
                lit |= output & signalled
            elif self.outputs[output]:
                lit |= output
        return lit

    def is_restarting(self, *, now_s: float) -> bool:
        """Whether the board is starting and neither answers nor releases anything."""
        return now_s < self.silent_until_s

    @property
    def released(self) -> bool:
        """Whether charging is released; input EN is not wired, so other sources than 'always' and the coil mean no."""
        source = self.settings[Setting.RELEASE_SOURCE]
        return source == 0 or (source == COMMISSIONED[Setting.RELEASE_SOURCE] and self.release_coil)

    @property
    def available(self) -> bool:
        """Whether the board is in service; input XR is wired to 'available'."""
        by_coil = self.settings[Setting.AVAILABILITY_SOURCE] == COMMISSIONED[Setting.AVAILABILITY_SOURCE]
        return self.available_coil if by_coil else True

    def wants_lock(self, *, vehicle_connected: bool) -> bool:
        """Whether the bolt shall be in: by coil, or in automatic mode as long as a car is connected."""
        by_coil = self.settings[Setting.LOCK_SOURCE] == COMMISSIONED[Setting.LOCK_SOURCE]
        return self.lock_coil if by_coil else vehicle_connected

    def permitted_a(self, *, cable_a: int) -> float:
        """Return the current the PWM signals when it is on: the least of limit, cable and switches."""
        return min(self.limit_a, cable_a, DIP_LIMIT_A)

    def set_limit(self, amperes: int) -> bool:
        """Take a new limit; return False, and keep the old one, for what the register does not take."""
        if not MINIMUM_CURRENT_A <= amperes <= MAXIMUM_CURRENT_A:
            return False
        self.limit_a = amperes
        return True

    def advance(self, *, now_s: float) -> None:
        """Do what a board does by itself as time passes; without a watchdog, nothing."""

    def restart(self, *, now_s: float) -> None:
        """Lose everything volatile and stay silent while starting."""
        self.release_coil = self.lock_coil = False
        self.available_coil = True
        self.limit_a = MINIMUM_CURRENT_A
        self.outputs = dict.fromkeys(Output, 0)
        self.silent_until_s = now_s + RESTART_S

    def reset_to_factory(self) -> None:
        """Forget the commissioning."""
        self.settings = dict(FACTORY_SETTINGS)
