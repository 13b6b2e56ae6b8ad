"""Why a fault may be there and how to find out, for support and electricians; the measure is `words.FAULT_ADVICE`."""

from django.utils.translation import gettext_lazy as _

from station.domain.faults import FaultCode
from station.ui.words import Words

CAUSES: Words = {
    FaultCode.WEAK_SIGNAL: _(
        "The antenna is badly placed or not connected, or the mobile network does not reach here."
    ),
    FaultCode.OVER_VOLTAGE_PROTECTION_FAILURE: _(
        "The surge arrester has done its work and is used up, or its contact is interrupted."
    ),
    FaultCode.REGULATORY_COMPLIANCE_FAILURE: _(
        "Sessions cannot be recorded: the disk is full, defective or write-protected."
    ),
    FaultCode.READER_FAILURE: _(
        "The reader has no supply, its cable is loose, or another port is set in the hardware configuration."
    ),
    FaultCode.UNDER_VOLTAGE: _("A fuse has blown, a phase of the supply has failed, or a clamp is loose."),
    FaultCode.EVSE_COMMUNICATION_ERROR: _(
        "The controller has no supply, its data cable is interrupted, or its address is another one."
    ),
    FaultCode.EV_COMMUNICATION_ERROR: _(
        "The pilot signal of the vehicle is invalid: a damaged cable, dirty contacts, or a defect in the vehicle."
    ),
    FaultCode.POWER_SWITCH_FAILURE: _(
        "The contacts of the contactor are welded, or its mirror contact is not wired as set."
    ),
    FaultCode.OVER_CURRENT_FAILURE: _(
        "The circuit breaker has tripped, or the vehicle has drawn more than it was allowed."
    ),
    FaultCode.GROUND_FAILURE: _(
        "A residual current flows: through a defect in the vehicle, a damaged cable, or moisture in the plug."
    ),
    FaultCode.CONNECTOR_LOCK_FAILURE: _("The plug is not pushed in all the way, or the lock's bolt is stuck."),
    FaultCode.POWER_METER_FAILURE: _(
        "The meter has no supply, its data cable is interrupted, or what it tells cannot be true."
    ),
    FaultCode.HIGH_TEMPERATURE: _("The sun, a blocked ventilation, or a clamp that is loose and gets hot."),
    FaultCode.INTERNAL_ERROR: _("The software or the controller has met a state that it cannot leave by itself."),
    FaultCode.LOCAL_LIST_CONFLICT: _("The backend refuses a card that its own list of cards accepts."),
    FaultCode.OTHER_ERROR: _("An auxiliary contact that the hardware configuration assigns to this fault is active."),
    FaultCode.OVER_VOLTAGE: _("The voltage of the supply is too high, or the neutral conductor is interrupted."),
    FaultCode.RESET_FAILURE: _("The computer or a controller has not carried out the restart that was ordered."),
    FaultCode.INPUT_MODULE_FAILURE: _(
        "The input module has no supply, its data cable is interrupted, or its address is another one."
    ),
    FaultCode.DATABASE_REPLACED: _("The storage is failing, or the power was cut while it was being written."),
}

CHECKS: Words = {
    FaultCode.WEAK_SIGNAL: _("Look at the reception on the page Mobile, and at the antenna's plug."),
    FaultCode.OVER_VOLTAGE_PROTECTION_FAILURE: _(
        "Look at the arrester's indicator: red means used up. If it is green, check the wires of its contact."
    ),
    FaultCode.REGULATORY_COMPLIANCE_FAILURE: _(
        "Create a log on the page Log files and read why the process hardware cannot write."
    ),
    FaultCode.READER_FAILURE: _("See whether the reader lights up, and on the page Components when it answered last."),
    FaultCode.UNDER_VOLTAGE: _(
        "Compare the voltages of L1, L2 and L3 on the page Connectors: which one is below 195 V?"
    ),
    FaultCode.EVSE_COMMUNICATION_ERROR: _(
        "See on the page Components when the controller answered last and how many errors the line has."
    ),
    FaultCode.EV_COMMUNICATION_ERROR: _(
        "Try another vehicle and another cable: does the fault stay with the charging point?"
    ),
    FaultCode.POWER_SWITCH_FAILURE: _(
        "With the station switched off, an electrician measures whether the contactor's main contacts are open."
    ),
    FaultCode.OVER_CURRENT_FAILURE: _(
        "Look at the lever of the circuit breaker. If it is up, compare current and limit on the page Connectors."
    ),
    FaultCode.GROUND_FAILURE: _(
        "See whether the residual-current device stays on without a vehicle, and whether it trips with another one."
    ),
    FaultCode.CONNECTOR_LOCK_FAILURE: _(
        "Look for dirt and damage in the socket; listen whether the lock moves when a plug goes in."
    ),
    FaultCode.POWER_METER_FAILURE: _(
        "See whether the meter's display is on, and on the page Components when it answered last."
    ),
    FaultCode.HIGH_TEMPERATURE: _("Look at the ventilation; have the clamps checked when it is not hot outside."),
    FaultCode.INTERNAL_ERROR: _(
        "Create a log on the page Log files and read what the process hardware says at that time."
    ),
    FaultCode.LOCAL_LIST_CONFLICT: _("See on the page Events which card was refused."),
    FaultCode.OTHER_ERROR: _("Look in the hardware configuration which input it is, and what is wired to it."),
    FaultCode.OVER_VOLTAGE: _("Compare the voltages on the page Connectors; 253 V is the highest that is allowed."),
    FaultCode.RESET_FAILURE: _("See on the page Events who ordered the restart and why it failed."),
    FaultCode.INPUT_MODULE_FAILURE: _(
        "See whether the module lights up; until it answers, the contacts wired to it count as they were read last."
    ),
    FaultCode.DATABASE_REPLACED: _("See on the page Events what was wrong with the file."),
}
