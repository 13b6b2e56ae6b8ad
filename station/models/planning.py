"""Charging profiles and reservations set by the backend."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from station.domain.id_tags import MAX_ID_TAG_LENGTH


class ChargingProfileRow(models.Model):
    """One installed charging profile (OCPP 1.6 section 3.13); `profile` is the csChargingProfiles object.

    `session` binds a TxProfile to its transaction; it is deleted when the transaction ends. `installed_at` is the
    beginning of a relative schedule outside a transaction.
    """

    connector_id = models.PositiveSmallIntegerField()
    profile_id = models.IntegerField()
    purpose = models.CharField(max_length=24)
    stack_level = models.PositiveIntegerField()
    profile = models.JSONField()
    session = models.ForeignKey(
        "station.ChargingSession", null=True, blank=True, on_delete=models.CASCADE, related_name="profiles"
    )
    installed_at = models.DateTimeField()

    class Meta:
        verbose_name = _("charging profile")
        verbose_name_plural = _("charging profiles")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["connector_id", "purpose", "stack_level"], name="one_profile_per_purpose_level_and_connector"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} {self.profile_id}, level {self.stack_level}, connector {self.connector_id}"


class ReservationRow(models.Model):
    """A reservation (OCPP 1.6 section 3.11); connector 0 keeps any one charging point free."""

    reservation_id = models.BigIntegerField(primary_key=True)
    connector_id = models.PositiveSmallIntegerField()
    id_tag = models.CharField(max_length=MAX_ID_TAG_LENGTH)
    parent_id_tag = models.CharField(max_length=MAX_ID_TAG_LENGTH, default="", blank=True)
    expires_at = models.DateTimeField()

    class Meta:
        verbose_name = _("reservation")
        verbose_name_plural = _("reservations")

    def __str__(self) -> str:
        return f"reservation {self.reservation_id} on connector {self.connector_id} for {self.id_tag}"
