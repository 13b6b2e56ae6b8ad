"""Session records: each is written before energy flows."""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from station.domain.id_tags import MAX_ID_TAG_LENGTH


class SessionQuerySet(models.QuerySet["ChargingSession"]):
    """Named filters over sessions."""

    def running(self) -> "SessionQuerySet":
        """Sessions that have begun and not ended."""
        return self.filter(stopped_at=None)

    def on(self, connector_id: int) -> "SessionQuerySet":
        """Sessions of one charging point."""
        return self.filter(connector_id=connector_id)


class ChargingSession(models.Model):
    """One charging session, from the committed permission to the last meter value.

    Energies are meter registers in Wh, as read, never re-based. `transaction_id` is the backend's number (it may be
    zero, negative or beyond 32 bits, OCPP 1.6 errata 3.54); None until the backend has answered. `parent_id_tag` is
    the group that may stop the session. `authorized_by` is an `authorization.Reason`. `deauthorized_at` marks a session
    whose card the backend refused afterwards; `energy_allowed_wh` is what it may still draw (MaxEnergyOnInvalidId).
    `stop_requested_at` marks a session that was stopped, for `stop_reason` by `stop_id_tag`, and is being brought to
    its end; it gets no energy any more, whatever restarts in between.
    """

    connector_id = models.PositiveSmallIntegerField()
    id_tag = models.CharField(max_length=MAX_ID_TAG_LENGTH)
    parent_id_tag = models.CharField(max_length=MAX_ID_TAG_LENGTH, default="", blank=True)
    authorized_by = models.CharField(max_length=40, default="", blank=True)
    origin = models.CharField(max_length=20, default="", blank=True)
    reservation_id = models.BigIntegerField(null=True, blank=True)
    transaction_id = models.BigIntegerField(null=True, blank=True)
    started_at = models.DateTimeField()
    meter_start_wh = models.PositiveBigIntegerField()
    meter_last_wh = models.PositiveBigIntegerField()
    meter_last_at = models.DateTimeField()
    stop_requested_at = models.DateTimeField(null=True, blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True)
    meter_stop_wh = models.PositiveBigIntegerField(null=True, blank=True)
    stop_reason = models.CharField(max_length=20, default="", blank=True)
    stop_id_tag = models.CharField(max_length=MAX_ID_TAG_LENGTH, default="", blank=True)
    deauthorized_at = models.DateTimeField(null=True, blank=True)
    energy_allowed_wh = models.PositiveBigIntegerField(null=True, blank=True)

    objects = SessionQuerySet.as_manager()

    class Meta:
        verbose_name = _("charging session")
        verbose_name_plural = _("charging sessions")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["connector_id"], condition=Q(stopped_at=None), name="one_running_session_per_connector"
            ),
            models.CheckConstraint(
                condition=Q(meter_stop_wh=None) | Q(meter_stop_wh__gte=F("meter_start_wh")),
                name="meter_stop_is_not_below_start",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["transaction_id"]), models.Index(fields=["started_at"])]

    def __str__(self) -> str:
        return f"session {self.pk} on connector {self.connector_id}, {self.id_tag}, {self.started_at:%Y-%m-%d %H:%M:%S}"

    def note_meter(self, *, wh: int, at: datetime) -> None:
        """Remember the newest register so that a power cut loses nothing."""
        self.meter_last_wh, self.meter_last_at = wh, at
        self.save(update_fields=["meter_last_wh", "meter_last_at"])

    def end(self, *, wh: int, at: datetime, reason: str, id_tag: str = "") -> None:
        """Close the session with its final register."""
        self.meter_stop_wh = self.meter_last_wh = wh
        self.stopped_at = self.meter_last_at = at
        self.stop_reason, self.stop_id_tag = reason, id_tag
        self.save(
            update_fields=[
                "meter_stop_wh",
                "meter_last_wh",
                "stopped_at",
                "meter_last_at",
                "stop_reason",
                "stop_id_tag",
            ]
        )


class MeterSample(models.Model):
    """A meter value kept to be told with the end of its session, as `station.domain.facts` encodes its parts."""

    session = models.ForeignKey(ChargingSession, on_delete=models.CASCADE, related_name="samples")
    at = models.DateTimeField()
    context = models.CharField(max_length=20)
    quantities = models.JSONField()
    signed = models.JSONField(null=True, blank=True)

    class Meta:
        verbose_name = _("meter value")
        verbose_name_plural = _("meter values")
        indexes: ClassVar = [models.Index(fields=["session", "at"])]

    def __str__(self) -> str:
        return f"{self.context} of session {self.session_id} at {self.at:%H:%M:%S}"
