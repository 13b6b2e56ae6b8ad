"""The feature profiles of OCPP 1.6: which calls belong to each, and what a call of one that is off is answered."""

from typing import Any

from ocpp.v16 import call_result
from ocpp.v16.enums import Action, CancelReservationStatus, ReservationStatus, TriggerMessageStatus, UpdateStatus

# What a backend may ask of a station, and the feature profile each belongs to (None: always there).
PROFILES: dict[str, str | None] = {
    Action.change_availability: None,
    Action.change_configuration: None,
    Action.clear_cache: None,
    Action.data_transfer: None,
    Action.get_configuration: None,
    Action.remote_start_transaction: None,
    Action.remote_stop_transaction: None,
    Action.reset: None,
    Action.unlock_connector: None,
    Action.get_diagnostics: "FirmwareManagement",
    Action.update_firmware: "FirmwareManagement",
    Action.get_local_list_version: "LocalAuthListManagement",
    Action.send_local_list: "LocalAuthListManagement",
    Action.reserve_now: "Reservation",
    Action.cancel_reservation: "Reservation",
    Action.set_charging_profile: "SmartCharging",
    Action.clear_charging_profile: "SmartCharging",
    Action.get_composite_schedule: "SmartCharging",
    Action.trigger_message: "RemoteTrigger",
    Action.extended_trigger_message: None,
    Action.certificate_signed: None,
    Action.install_certificate: None,
    Action.delete_certificate: None,
    Action.get_installed_certificate_ids: None,
    Action.get_log: None,
    Action.signed_update_firmware: None,
}

# A profile that is off is answered in the response's own word where it has one. Without one are the calls of smart
# charging, for which section 3.13 asks for a CALLERROR, and UpdateFirmware, whose empty response would be a promise.
_RESPONSES_WHEN_OFF: dict[str, Any] = {
    # Section 5.15 and section 5.10, where -1 says that there is no list.
    Action.send_local_list: call_result.SendLocalList(UpdateStatus.not_supported),
    Action.get_local_list_version: call_result.GetLocalListVersion(-1),
    # Section 5.13; and without reservations none can be cancelled (section 5.1).
    Action.reserve_now: call_result.ReserveNow(ReservationStatus.rejected),
    Action.cancel_reservation: call_result.CancelReservation(CancelReservationStatus.rejected),
    # Section 7.50: "not implemented or unknown".
    Action.trigger_message: call_result.TriggerMessage(TriggerMessageStatus.not_implemented),
    # Section 5.9: no file name means that there is nothing to upload.
    Action.get_diagnostics: call_result.GetDiagnostics(),
}


def response_when_off(action: str) -> Any | None:
    """Return the response to a call whose profile is off; None where only a CALLERROR can say so."""
    return _RESPONSES_WHEN_OFF.get(action)
