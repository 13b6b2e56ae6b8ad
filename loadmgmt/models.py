"""What load management keeps: the trail of set-points, and the stations of a cluster."""

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


class ClusterMember(models.Model):
    """A station this master leads; bound to the password with which it registered first."""

    station = models.CharField(max_length=50, unique=True)
    name = models.CharField(max_length=64, blank=True)
    points = models.PositiveSmallIntegerField()
    rating_ma = models.PositiveIntegerField()
    fallback_ma = models.PositiveIntegerField()
    password_hash = models.CharField(max_length=64)
    registered_at = models.DateTimeField()

    class Meta:
        verbose_name = _("station of the cluster")
        verbose_name_plural = _("stations of the cluster")

    def __str__(self) -> str:
        return f"{self.station} ({self.name}), {self.points} points"

    def note(self, **columns: str | int) -> None:
        """Take over what a station says of itself; nothing is written when nothing has changed."""
        changed = [name for name, value in columns.items() if getattr(self, name) != value]
        for name in changed:
            setattr(self, name, columns[name])
        if changed:
            self.save(update_fields=changed)
