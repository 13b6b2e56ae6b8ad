"""What load management keeps: the trail of set-points."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class SetPointRow(models.Model):
    """A set-point that an energy manager wrote; energy managers write often, so not each of them is kept."""

    at = models.DateTimeField()
    connector_id = models.PositiveSmallIntegerField()
    current_ma = models.PositiveIntegerField(null=True, blank=True)
    power_w = models.PositiveIntegerField(null=True, blank=True)
    client = models.CharField(max_length=45)

    class Meta:
        verbose_name = _("set-point")
        verbose_name_plural = _("set-points")
        indexes: ClassVar = [models.Index(fields=["connector_id", "-id"], name="newest_set_points")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} connector {self.connector_id}: {self.current_ma} mA, {self.power_w} W"
