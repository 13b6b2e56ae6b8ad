"""What was ever wrong with the station, for whoever is called to it."""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class FaultMemory(models.Model):
    """One fault at one place (0: the whole station): how often it came, when it came last and until when it stayed.

    One row per fault and place, so the table cannot grow; nobody clears it. `until` is None while the fault lasts.
    """

    number = models.PositiveSmallIntegerField()
    code = models.CharField(max_length=50)
    first_at = models.DateTimeField()
    since = models.DateTimeField()
    until = models.DateTimeField(null=True, blank=True)
    count = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = _("fault memory entry")
        verbose_name_plural = _("fault memory")
        constraints: ClassVar = [models.UniqueConstraint(fields=["number", "code"], name="one_memory_per_fault")]

    def __str__(self) -> str:
        return f"{self.code} at {self.number or 'the station'}, {self.count} times, last {self.since:%Y-%m-%d %H:%M:%S}"

    def begin(self, at: datetime) -> None:
        """Count one more; one that lasts already is the same."""
        if self.until is None and self.count:
            return
        self.since, self.until, self.count = at, None, self.count + 1
        self.save(update_fields=["since", "until", "count"])
