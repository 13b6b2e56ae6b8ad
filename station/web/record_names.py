"""What the tables of the records are called. The models have technical names; people read these."""

from collections.abc import Mapping

from django.contrib.auth.models import User
from django.db.models import Model
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from station import models
from whitelist.models import Card

RECORD_NAMES: Mapping[type[Model], Promise] = {
    models.AuditEntry: _("Commands given"),
    models.BackendState: _("State of the backend link"),
    models.CachedAuthorization: _("Remembered answers about cards"),
    models.ChargingProfileRow: _("Charging profiles"),
    models.ChargingSession: _("Charging sessions"),
    models.ConfigurationValue: _("Changed configuration keys"),
    models.Connector: _("Charging points"),
    models.FileJob: _("File transfers"),
    models.LogEntry: _("Event log"),
    models.MeterSample: _("Meter values"),
    models.OutboxMessage: _("Messages for the backend"),
    models.ReservationRow: _("Reservations"),
    models.SecurityEvent: _("Security events"),
    models.SignInDelay: _("Failed log-ins"),
    models.TrustedCertificate: _("Certificates"),
    models.UserProfile: _("User settings"),
    Card: _("Cards"),
    User: _("Users"),
}
