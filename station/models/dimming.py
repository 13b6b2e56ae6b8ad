"""What the grid operator has ordered (§ 14a EnWG): kept for two years, to be proved."""

from collections.abc import Callable, Collection
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from station.domain.dimming import Cause, Drawn
from station.domain.stamps import Stamp
from station.domain.units import Watt


class InterventionQuerySet(models.QuerySet["DimmingIntervention"]):
    """Named filters over interventions."""

    def running(self) -> "InterventionQuerySet":
        """Those that have begun and not ended."""
        return self.filter(ended_at=None)

    def owed(self) -> "InterventionQuerySet":
        """Those of which the backend has not been told everything."""
        return self.filter(Q(begin_told_at=None) | Q(end_told_at=None, ended_at__isnull=False))

    def of_boots(self, boots: Collection[str]) -> "InterventionQuerySet":
        """Those with a moment of one of these boots."""
        return self.filter(Q(began_boot_id__in=boots) | Q(carried_out_boot_id__in=boots) | Q(ended_boot_id__in=boots))


class DimmingIntervention(models.Model):
    """The grid operator limits the station, or its cluster, to a power. A moment has three columns (`domain.stamps`).

    `carried_out_at` is the moment from which on no more was drawn than that. `greatest_w` is of the whole time,
    `greatest_carried_out_w` from that moment on; the mean is `watt_ms` by `measured_ms`. `refusals` are the backend's,
    of the message that is due.
    """

    began_at = models.DateTimeField()
    began_boot_id = models.CharField(max_length=36, default="", blank=True)
    began_steady_ms = models.BigIntegerField(null=True, blank=True)
    carried_out_at = models.DateTimeField(null=True, blank=True)
    carried_out_boot_id = models.CharField(max_length=36, default="", blank=True)
    carried_out_steady_ms = models.BigIntegerField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_boot_id = models.CharField(max_length=36, default="", blank=True)
    ended_steady_ms = models.BigIntegerField(null=True, blank=True)
    power_w = models.PositiveIntegerField()
    begun_by = models.CharField(max_length=10, choices=[(each.value, each.value) for each in Cause])
    ended_by = models.CharField(
        max_length=10, choices=[(each.value, each.value) for each in Cause], default="", blank=True
    )
    greatest_w = models.PositiveIntegerField(null=True, blank=True)
    greatest_carried_out_w = models.PositiveIntegerField(null=True, blank=True)
    watt_ms = models.BigIntegerField(default=0)
    measured_ms = models.BigIntegerField(default=0)
    begin_told_at = models.DateTimeField(null=True, blank=True)
    end_told_at = models.DateTimeField(null=True, blank=True)
    refusals = models.PositiveSmallIntegerField(default=0)

    objects = InterventionQuerySet.as_manager()

    class Meta:
        verbose_name = _("intervention of the grid operator")
        verbose_name_plural = _("interventions of the grid operator")
        indexes: ClassVar = [models.Index(fields=["began_at"]), models.Index(fields=["ended_at"])]

    def __str__(self) -> str:
        return f"{self.began_at:%Y-%m-%d %H:%M:%S} to {self.power_w} W"

    @property
    def began(self) -> Stamp:
        """The moment it began."""
        return Stamp(at=self.began_at, boot_id=self.began_boot_id, steady_ms=self.began_steady_ms)

    @property
    def carried_out(self) -> Stamp | None:
        """The moment from which on no more was drawn than the grid operator allows."""
        return self._stamp("carried_out")

    @property
    def ended(self) -> Stamp | None:
        """The moment it ended."""
        return self._stamp("ended")

    @property
    def stamps(self) -> tuple[Stamp, ...]:
        """Every moment of it that a clock has told with its boot, in their order."""
        told = (self.began, self.carried_out, self.ended)
        return tuple(stamp for stamp in told if stamp is not None and stamp.boot_id)

    @property
    def drawn(self) -> Drawn:
        """What was drawn."""
        return Drawn(
            greatest_w=None if self.greatest_w is None else Watt(self.greatest_w),
            greatest_carried_out_w=None if self.greatest_carried_out_w is None else Watt(self.greatest_carried_out_w),
            watt_ms=self.watt_ms,
            measured_ms=self.measured_ms,
        )

    def note(self, drawn: Drawn, carried_out: Stamp | None) -> None:
        """Remember what was drawn, so that a power cut loses little of it."""
        self.save(update_fields=self._take(drawn, carried_out))

    def end(self, drawn: Drawn, carried_out: Stamp | None, *, by: Cause, at: Stamp) -> None:
        """Close it."""
        self.ended_by = by.value
        self.save(update_fields=["ended_by", *self._take(drawn, carried_out), *self._put("ended", at)])

    def correct(self, correction: Callable[[Stamp], Stamp]) -> bool:
        """Put the true moments in the place of what a wrong clock told; return whether there were any."""
        changed: list[str] = []
        for name, before in (("began", self.began), ("carried_out", self.carried_out), ("ended", self.ended)):
            after = correction(before) if before is not None else None
            if after is not None and after != before:
                changed += self._put(name, after)
        if changed:
            self.save(update_fields=changed)
        return bool(changed)

    def _take(self, drawn: Drawn, carried_out: Stamp | None) -> list[str]:
        self.greatest_w, self.greatest_carried_out_w = drawn.greatest_w, drawn.greatest_carried_out_w
        self.watt_ms, self.measured_ms = drawn.watt_ms, drawn.measured_ms
        changed = ["greatest_w", "greatest_carried_out_w", "watt_ms", "measured_ms"]
        if carried_out is not None and self.carried_out_at is None:
            changed += self._put("carried_out", carried_out)
        return changed

    def _stamp(self, name: str) -> Stamp | None:
        at = getattr(self, f"{name}_at")
        if at is None:
            return None
        return Stamp(at=at, boot_id=getattr(self, f"{name}_boot_id"), steady_ms=getattr(self, f"{name}_steady_ms"))

    def _put(self, name: str, stamp: Stamp) -> list[str]:
        fields = {f"{name}_at": stamp.at, f"{name}_boot_id": stamp.boot_id, f"{name}_steady_ms": stamp.steady_ms}
        for field, value in fields.items():
            setattr(self, field, value)
        return list(fields)
