"""The tables of the station. The database is the truth; everything in Redis can be made again from here."""

from station.models.account import PasswordRecovery, SignInDelay, UserProfile, VendorAccess
from station.models.authorization import CachedAuthorization
from station.models.backend import BackendState, OutboxMessage, SecurityEvent
from station.models.configuration import ConfigurationValue
from station.models.connector import Connector
from station.models.dimming import DimmingIntervention
from station.models.event_log import AuditEntry, LogEntry
from station.models.fault_memory import FaultMemory
from station.models.files import FileJob, TrustedCertificate
from station.models.planning import ChargingProfileRow, ReservationRow
from station.models.session import ChargingSession, MeterSample

__all__ = [
    "AuditEntry",
    "BackendState",
    "CachedAuthorization",
    "ChargingProfileRow",
    "ChargingSession",
    "ConfigurationValue",
    "Connector",
    "DimmingIntervention",
    "FaultMemory",
    "FileJob",
    "LogEntry",
    "MeterSample",
    "OutboxMessage",
    "PasswordRecovery",
    "ReservationRow",
    "SecurityEvent",
    "SignInDelay",
    "TrustedCertificate",
    "UserProfile",
    "VendorAccess",
]
