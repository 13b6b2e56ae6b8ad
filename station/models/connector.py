"""What is known about each charging point, and about the station as a whole (number 0)."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class Connector(models.Model):
    """State of one OCPP connector; number 0 is the station itself.

    `phase` is the name of the connector machine's state (`station.domain.connector.Phase`). `status`, `error_code`,
    `info`, `vendor_error_code` and `status_at` are what the backend is told. `fault_codes` lists all active faults.
    `scheduled_operative` is an availability change waiting for the end of the running session. `aligned_wh` is the
    register of the last clock-aligned sample: the next one tells what flowed since. `flash_ordered_at`: when somebody
    wanted the controller's firmware written, until that is done; `flash_firmware_before`: which it was, once begun.
    """

    number = models.PositiveSmallIntegerField(primary_key=True)
    phase = models.CharField(max_length=32, default="available")
    phase_since = models.DateTimeField(null=True)
    operative = models.BooleanField(default=True)
    scheduled_operative = models.BooleanField(null=True, default=None)
    status = models.CharField(max_length=20, default="Available")
    error_code = models.CharField(max_length=30, default="NoError")
    info = models.CharField(max_length=50, default="", blank=True)
    vendor_error_code = models.CharField(max_length=50, default="", blank=True)
    status_at = models.DateTimeField(null=True)
    status_revision = models.PositiveBigIntegerField(default=0)
    fault_codes = models.JSONField(default=list)
    aligned_wh = models.PositiveBigIntegerField(null=True, blank=True)
    meter_serial = models.CharField(max_length=64, default="", blank=True)
    meter_vendor = models.CharField(max_length=64, default="", blank=True)
    meter_model = models.CharField(max_length=64, default="", blank=True)
    meter_public_key = models.TextField(default="", blank=True)
    controller_model = models.CharField(max_length=64, default="", blank=True)
    controller_serial = models.CharField(max_length=64, default="", blank=True)
    controller_hardware_id = models.CharField(max_length=64, default="", blank=True)
    controller_firmware = models.CharField(max_length=64, default="", blank=True)

    flash_ordered_at = models.DateTimeField(null=True, blank=True)
    flash_firmware_before = models.CharField(max_length=64, default="", blank=True)

    class Meta:
        verbose_name = _("charging point")
        verbose_name_plural = _("charging points")
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(number__lte=2), name="connector_number_is_0_to_2"),
        ]

    def __str__(self) -> str:
        return f"connector {self.number}: {self.status}"
